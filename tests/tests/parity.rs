//! The tables of the guide for users of python-memcached2 are complete, and every test they name exists; so are the tables of
//! memcached's commands, and of its tests. What the guides for users of other clients name exists, and so does each heading that is
//! linked.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, reason = "a panic is the failure of the test")]

#[path = "parity/lists.rs"]
mod lists;

use std::collections::BTreeSet;
use std::fs;
use std::path::{Path, PathBuf};

use self::lists::{COMMANDS, NAMES, TESTS};

const PROTOCOL: &str = include_str!("../../memcached2-proto/src/guide/protocol.md");
const MEMCACHED_TESTS: &str = include_str!("../MEMCACHED_TESTS.md");
const GUIDE: &str = include_str!("../../memcached2-proto/src/guide/from_python_memcached2.md");

/// The guides for users of other clients, and how many rows each has at least.
const OTHER_CLIENTS: &[(&str, &str, usize)] = &[
    ("memcache", include_str!("../../memcached2-proto/src/guide/from_memcache.md"), 20),
    ("async-memcached", include_str!("../../memcached2-proto/src/guide/from_async_memcached.md"), 18),
    ("pymemcache", include_str!("../../memcached2-proto/src/guide/from_pymemcache.md"), 24),
    ("dalli", include_str!("../../memcached2-proto/src/guide/from_dalli.md"), 24),
];

/// What stands in backticks.
fn code(text: &str) -> impl Iterator<Item = &str> {
    text.split('`').skip(1).step_by(2)
}

/// The rows of the table below a heading of the guide for users of python-memcached2: the first cell, and the last.
fn rows(heading: &str) -> impl Iterator<Item = (&'static str, &'static str)> {
    rows_of(GUIDE, heading)
}

fn rows_of(guide: &'static str, heading: &str) -> impl Iterator<Item = (&'static str, &'static str)> {
    let (_, section) = guide.split_once(&format!("\n# {heading}\n")).expect("the heading");
    rows_in(section.split("\n# ").next().unwrap())
}

/// The middle cells of that table: what is in the place of each name.
fn replacements() -> impl Iterator<Item = (&'static str, &'static str)> {
    let (_, section) = GUIDE.split_once("\n# Names: classes, methods, options, exceptions\n").expect("the heading");
    let lines = section.split("\n# ").next().unwrap().lines().filter(|line| line.starts_with('|')).skip(2);
    lines.map(|line| {
        let (theirs, rest) = line[1..].split_once('|').unwrap();
        (theirs, rest.trim_end_matches('|').rsplit_once('|').unwrap().0)
    })
}

fn rows_in(table: &'static str) -> impl Iterator<Item = (&'static str, &'static str)> {
    // Without its head and the line below that.
    let lines = table.lines().filter(|line| line.starts_with('|')).skip(2);
    lines.map(|line| {
        let cells = line.trim_matches('|');
        (cells.split('|').next().unwrap(), cells.rsplit('|').next().unwrap())
    })
}

/// The functions below a folder, each with the file it is in.
fn functions(folder: &Path, found: &mut BTreeSet<String>) {
    for entry in fs::read_dir(folder).expect("a folder") {
        let path = entry.expect("an entry").path();
        if path.is_dir() {
            functions(&path, found);
        } else if path.extension().is_some_and(|extension| extension == "rs") {
            // The tests of `error.rs` may be in `error/tests.rs`.
            let named = if path.ends_with("tests.rs") { folder } else { &path };
            let stem = named.file_stem().unwrap().to_string_lossy().into_owned();
            let text = fs::read_to_string(&path).expect("a source");
            let names = text.lines().filter_map(|line| line.trim().split_once("fn ")?.1.split_once('('));
            found.extend(names.map(|(name, _)| format!("{stem}::{name}")));
        }
    }
}

/// All tests, as `file::name`.
fn tests() -> BTreeSet<String> {
    let mut found = BTreeSet::new();
    for folder in ["tests/cases", "tests/tests", "memcached2-proto/src"] {
        functions(&root().join(folder), &mut found);
    }
    found
}

fn root() -> &'static Path {
    Path::new(env!("CARGO_MANIFEST_DIR")).parent().unwrap()
}

#[test]
fn every_command_of_memcached_has_its_row() {
    for (heading, commands) in COMMANDS {
        let known: BTreeSet<_> = rows_of(PROTOCOL, heading).flat_map(|(command, _)| code(command)).collect();
        let expected: BTreeSet<_> = commands.iter().copied().collect();
        assert_eq!(known, expected, "the rows of {heading}");
    }
}

#[test]
fn every_name_and_every_test_has_its_row() {
    let known: BTreeSet<_> = rows("Names: classes, methods, options, exceptions")
        .flat_map(|(names, _)| code(names))
        // What stands in parentheses are its options.
        .map(|name| name.split('(').next().unwrap())
        .collect();
    for (class, names) in NAMES {
        for name in names.split(' ') {
            let whole = if class.is_empty() { name.to_owned() } else { format!("{class}.{name}") };
            let is_there = known.iter().any(|known| *known == whole || known.split('.').next() == Some(whole.as_str()));
            assert!(is_there, "{whole} has no row");
        }
    }
    let known: BTreeSet<_> = rows("Its tests, and their counterparts")
        .flat_map(|(names, _)| {
            let mut names = code(names);
            let file = names.next().unwrap();
            names.map(move |name| (file, name))
        })
        .collect();
    for (file, names) in TESTS {
        names.split(' ').for_each(|name| assert!(known.contains(&(*file, name)), "{file} {name} has no row"));
    }
}

#[test]
fn every_proof_is_there() {
    let there = tests();
    for heading in ["Names: classes, methods, options, exceptions", "Its tests, and their counterparts"] {
        for (row, proofs) in rows(heading) {
            assert!(code(proofs).next().is_some(), "{row} has no proof");
            code(proofs).for_each(|proof| assert!(there.contains(proof), "{row} is held by {proof}, which is nowhere"));
        }
    }
}

#[test]
fn every_test_of_memcached_has_its_row_and_every_counterpart_is_there() {
    /// How many files `t/*.t` memcached 1.6.45 has.
    const FILES: usize = 114;
    let there = tests();
    let mut files = BTreeSet::new();
    for (row, proofs) in rows_in(MEMCACHED_TESTS) {
        code(row).for_each(|file| assert!(files.insert(file), "{file} has two rows"));
        assert!(
            code(proofs).next().is_some() || proofs.trim().starts_with("none"),
            "{row} has neither a test nor a reason"
        );
        for proof in code(proofs) {
            let exists = match proof.ends_with(".txt") {
                true => root().join("tests").join(proof).is_file(),
                false => there.contains(proof),
            };
            assert!(exists, "{row} is tested by {proof}, which is nowhere");
        }
    }
    assert_eq!(files.len(), FILES);
}

/// The sources of the core and of two clients.
fn sources() -> impl Iterator<Item = String> {
    let mut found = Vec::new();
    for folder in ["memcached2-proto/src", "memcached2-sync/src", "memcached2-tokio/src"] {
        files(&root().join(folder), &["rs"], &mut found);
    }
    found.into_iter().map(|path| fs::read_to_string(path).expect("a source"))
}

/// Their words that follow one of these words.
fn words_after(starts: &[&str]) -> BTreeSet<String> {
    let mut found = BTreeSet::new();
    for text in sources() {
        for start in starts {
            found.extend(text.split(start).skip(1).map(|rest| word(rest).to_owned()));
        }
    }
    found
}

/// Their variants: what a line begins with, before a comma or what the variant holds.
fn variants() -> BTreeSet<String> {
    let mut found = BTreeSet::new();
    for text in sources() {
        let lines = text.lines().map(str::trim_start);
        let is_variant = |line: &&str| [",", "(", " {"].iter().any(|end| line[word(line).len()..].starts_with(end));
        found.extend(lines.filter(is_variant).map(|line| word(line).to_owned()));
    }
    found
}

/// The identifier that a text begins with.
fn word(text: &str) -> &str {
    text.split(|c: char| !c.is_alphanumeric() && c != '_').next().unwrap_or_default()
}

#[test]
fn every_method_and_type_that_replaces_one_of_another_client_exists() {
    let functions = words_after(&["fn "]);
    let types = words_after(&["struct ", "enum ", "trait "]);
    for (client, guide, least) in OTHER_CLIENTS {
        let (_, calls) = guide.split_once("\n# Calls\n").expect("a table");
        let calls = calls.split("\n# ").next().unwrap();
        let mut count = 0;
        for (theirs, ours) in rows_in(calls) {
            count += 1;
            for code in code(ours) {
                // Methods and associated functions: behind a point or a double colon, before a parenthesis.
                for (at, _) in code.match_indices(['.', ':']) {
                    let name = word(&code[at + 1..]);
                    let called = code[at + 1..][name.len()..].starts_with(['(', ':']);
                    let is_function = called && name.starts_with(|c: char| c.is_lowercase());
                    assert!(!is_function || functions.contains(name), "{client}: {theirs}: there is no fn {name}");
                }
                let names = code.split(|c: char| !c.is_alphanumeric() && c != '_');
                let names = names
                    .filter(|name| name.len() > 1 && *name != "None" && name.starts_with(|c: char| c.is_uppercase()));
                for name in names.filter(|name| !code.contains(&format!("::{name}"))) {
                    assert!(types.contains(name), "{client}: {theirs}: there is no type {name}");
                }
            }
        }
        assert!(count >= *least, "{client}: {count} rows");
    }
    // What follows a double colon: variants.
    for (client, guide, _) in OTHER_CLIENTS {
        for (kind, source) in [
            ("Error::", include_str!("../../memcached2-proto/src/error.rs")),
            ("Selection::", include_str!("../../memcached2-proto/src/routing/selection.rs")),
        ] {
            for name in code(guide).filter_map(|code| code.strip_prefix(kind)).map(word) {
                let there = [" ", "("].iter().any(|end| source.contains(&format!("    {name}{end}")))
                    || source.contains(&format!("    {name},"));
                assert!(there, "{client}: there is no {kind}{name}");
            }
        }
    }
}

#[test]
fn everything_that_replaces_a_name_of_python_memcached2_exists() {
    const OF_RUST: [&str; 6] = ["Arc", "None", "Ok", "Some", "false", "parse"];
    let values = words_after(&["fn ", "pub ", "mod ", "feature = \""]);
    let mut types = words_after(&["struct ", "enum ", "trait ", "const "]);
    types.append(&mut variants());
    let (mut count, mut missing) = (0, Vec::new());
    for (theirs, ours) in replacements() {
        for code in code(ours) {
            let mut before = "";
            // Each word, with what stands before it.
            for rest in code.split_inclusive(|c: char| !c.is_alphanumeric() && c != '_') {
                let name = word(rest);
                let is_told = name.starts_with(|c: char| c.is_uppercase()) && name.len() > 1;
                // A method, or a name that stands alone; not a parameter, nor the variable whose method it is.
                let is_value = before.ends_with('.') || before == ":" || (before.is_empty() && !rest.ends_with('.'));
                let is_value = is_value && name.starts_with(|c: char| c.is_lowercase());
                let exists = OF_RUST.contains(&name) || if is_told { &types } else { &values }.contains(name);
                if is_told || is_value {
                    count += 1;
                    missing.extend((!exists).then(|| format!("{theirs}: there is no {name} in {code}")));
                }
                before = rest;
            }
        }
    }
    assert!(missing.is_empty(), "{missing:#?}");
    assert!(count >= 100, "{count} names");
}

/// All files below a folder with one of these extensions, apart from what is built.
fn files(folder: &Path, extensions: &[&str], found: &mut Vec<PathBuf>) {
    for entry in fs::read_dir(folder).expect("a folder") {
        let path = entry.expect("an entry").path();
        let name = path.file_name().unwrap().to_string_lossy();
        if path.is_dir() {
            if !name.starts_with('.') && name != "target" {
                files(&path, extensions, found);
            }
        } else if path.extension().is_some_and(|extension| extensions.iter().any(|known| extension == *known)) {
            found.push(path);
        }
    }
}

/// The anchors of the headings of a page, as rustdoc and GitHub make them.
fn anchors(page: &str) -> BTreeSet<String> {
    let (mut is_code, mut found) = (false, BTreeSet::new());
    for line in page.lines() {
        is_code ^= line.starts_with("```");
        let title = line.trim_start_matches('#');
        if !is_code && title.len() < line.len() && title.starts_with(' ') {
            let kept = title.trim().chars().filter(|c| c.is_alphanumeric() || matches!(c, ' ' | '-' | '_'));
            found.insert(kept.map(|c| if c == ' ' { '-' } else { c.to_ascii_lowercase() }).collect());
        }
    }
    found
}

/// The text up to the first character that no anchor has.
fn anchor(text: &str) -> &str {
    text.split(|c: char| !c.is_alphanumeric() && c != '-' && c != '_').next().unwrap_or_default()
}

/// The links of a page to headings: the page that has the heading, and its anchor.
fn links(path: &Path, text: &str) -> Vec<(PathBuf, String)> {
    let guide = root().join("memcached2-proto/src/guide");
    let mut found = Vec::new();
    for rest in text.split("guide::").skip(1) {
        if let Some(to) = rest.strip_prefix(word(rest)).and_then(|rest| rest.strip_prefix('#')) {
            found.push((guide.join(word(rest)).with_extension("md"), anchor(to).to_owned()));
        }
    }
    // In a source `#[` and the like follow a parenthesis, too.
    if path.extension().is_some_and(|extension| extension == "md") {
        for target in text.split("](").skip(1).filter_map(|rest| rest.split(')').next()) {
            match target.split_once('#') {
                Some(("", to)) => found.push((path.to_owned(), to.to_owned())),
                Some((page, to)) if page.ends_with(".md") && !page.contains("://") => {
                    found.push((path.with_file_name(page), to.to_owned()));
                }
                _ => {}
            }
        }
    }
    found
}

#[test]
fn every_heading_that_is_linked_exists() {
    let mut pages = Vec::new();
    files(root(), &["md", "rs"], &mut pages);
    let (mut count, mut broken) = (0, Vec::new());
    for path in pages {
        let text = fs::read_to_string(&path).expect("a text");
        for (page, anchor) in links(&path, &text) {
            count += 1;
            let is_there = fs::read_to_string(&page).is_ok_and(|page| anchors(&page).contains(&anchor));
            if !is_there {
                broken.push(format!("{} links to #{anchor} of {}", path.display(), page.display()));
            }
        }
    }
    assert!(broken.is_empty(), "{broken:#?}");
    assert!(count >= 30, "{count} links were found");
}
