//! The modules of the core import downwards: each only what stands below it in this list.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, reason = "a panic is the failure of the test")]

use std::collections::BTreeSet;
use std::path::{Path, PathBuf};

/// The modules from the bottom up. A program that parses replies or drives one connection needs only those above the
/// line.
const MODULES: [&str; 42] = [
    "few",
    "incidents",
    "destination",
    "error",
    "key",
    "value",
    "data",
    "values",
    "limits",
    "time",
    "stats",
    "reply",
    "request_buffer",
    "command",
    "connection",
    "stream",
    "tls",
    "no_tls",
    // ----
    "lookup",
    "large_keys",
    "pool",
    "replaceable",
    "transport",
    "credentials",
    "uri",
    "observer",
    "routing",
    "topology",
    "options",
    "opening",
    "call",
    "operation",
    "fetch",
    "namespace",
    "rate_limit",
    "lock",
    "near_cache",
    "shared",
    "builder",
    "wrappers",
    "operations",
    "guide",
];

fn sources(folder: &Path, into: &mut Vec<PathBuf>) {
    for entry in std::fs::read_dir(folder).unwrap() {
        let path = entry.unwrap().path();
        match path.is_dir() {
            true => sources(&path, into),
            false if path.extension().is_some_and(|extension| extension == "rs") => into.push(path),
            false => {}
        }
    }
}

/// The lines of a source without its tests and comments.
fn code(text: &str) -> impl Iterator<Item = &str> {
    let code = text.split("#[cfg(test)]\nmod tests {").next().unwrap_or_default();
    code.lines().filter(|line| !line.trim_start().starts_with("//"))
}

/// Whether a file has tests only.
fn is_of_tests(file: &Path) -> bool {
    file.ends_with("tests.rs") || file.components().any(|part| part.as_os_str() == "tests")
}

/// What a source imports from the crate.
fn imports(text: &str) -> BTreeSet<String> {
    let modules = code(text).flat_map(|line| line.split("crate::").skip(1));
    let name =
        |rest: &str| rest.split(|letter: char| !letter.is_alphanumeric() && letter != '_').next().map(str::to_owned);
    modules.filter_map(name).filter(|name| name.starts_with(char::is_lowercase)).collect()
}

#[test]
fn modules_import_only_what_stands_below_them() {
    let source = Path::new(env!("CARGO_MANIFEST_DIR")).join("src");
    let (mut files, mut upwards) = (Vec::new(), BTreeSet::new());
    sources(&source, &mut files);
    let place = |module: &str| MODULES.iter().position(|known| *known == module);
    for file in &files {
        let inside = file.strip_prefix(&source).unwrap();
        if inside.ends_with("lib.rs") || is_of_tests(inside) {
            continue;
        }
        let module = inside.iter().next().unwrap().to_str().unwrap().trim_end_matches(".rs");
        let own = place(module).unwrap_or_else(|| panic!("{module} is not in the list"));
        for import in imports(&std::fs::read_to_string(file).unwrap()) {
            if place(&import).is_some_and(|other| other > own) {
                upwards.insert((module.to_owned(), import));
            }
        }
    }
    assert_eq!(upwards, BTreeSet::new());
}

/// `clippy.toml` bans them by their paths, but where a macro is expanded in a transport, the bans of the transport hold.
#[test]
fn the_core_opens_nothing_and_reads_no_clock_within_its_macros_either() {
    const BANNED: [&str; 10] = [
        "Instant::now",
        "SystemTime::now",
        ".elapsed()",
        "TcpStream",
        "TcpListener",
        "UdpSocket",
        "UnixStream",
        "std::fs",
        "thread::spawn",
        "thread::sleep",
    ];
    let source = Path::new(env!("CARGO_MANIFEST_DIR")).join("src");
    let (mut files, mut found) = (Vec::new(), Vec::new());
    sources(&source, &mut files);
    for file in files.iter().filter(|file| !is_of_tests(file.strip_prefix(&source).unwrap())) {
        let text = std::fs::read_to_string(file).unwrap();
        let banned = code(&text).filter(|line| BANNED.iter().any(|banned| line.contains(banned)));
        found.extend(banned.map(|line| format!("{}: {}", file.display(), line.trim())));
    }
    assert!(files.len() > 100 && found.is_empty(), "{found:#?}");
}
