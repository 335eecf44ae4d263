//! The seeds of the fuzz targets, and each beginning of them, run without a fuzzer.
#![expect(clippy::expect_used, reason = "a missing seed is the failure")]

#[path = "../../fuzz/src/lib.rs"]
#[expect(unreachable_pub, reason = "they are the public functions of another crate")]
mod fuzz;

use std::panic::{AssertUnwindSafe, catch_unwind};
use std::path::Path;

fn replay(target: &str, run: fn(&[u8])) {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("../fuzz/seeds").join(target);
    let seeds: Vec<_> = folder.read_dir().expect("the seeds are part of the repository").collect();
    assert!(seeds.len() >= 5, "{} holds hardly any seeds", folder.display());
    for seed in seeds {
        let path = seed.expect("a listed file").path();
        let bytes = std::fs::read(&path).expect("a readable file");
        // Each beginning of a seed is a seed, too: replies that are cut short.
        for end in (0..=bytes.len()).rev().take(512) {
            let result = catch_unwind(AssertUnwindSafe(|| run(&bytes[..end])));
            assert!(result.is_ok(), "{} fails with its first {end} of {} bytes", path.display(), bytes.len());
        }
    }
}

/// The names of what is in a folder of the fuzz targets, without their endings.
fn names(folder: &str) -> Vec<String> {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("../fuzz").join(folder);
    let name = |entry: std::io::Result<std::fs::DirEntry>| {
        let path = entry.expect("a listed file").path();
        path.file_stem().expect("a name").to_string_lossy().into_owned()
    };
    let mut names: Vec<_> = folder.read_dir().expect("it is part of the repository").map(name).collect();
    names.sort();
    names
}

#[test]
fn every_target_has_seeds_and_is_fuzzed_by_the_workflow() {
    let workflow = Path::new(env!("CARGO_MANIFEST_DIR")).join("../.github/workflows/fuzz.yml");
    let workflow = std::fs::read_to_string(workflow).expect("it is part of the repository");
    let targets = workflow.lines().find_map(|line| line.trim().strip_prefix("target: ["));
    let targets = targets.and_then(|list| list.strip_suffix(']')).expect("a list of targets");
    assert_eq!(targets.split(", ").collect::<Vec<_>>(), names("fuzz_targets"));
    assert_eq!(names("seeds"), names("fuzz_targets"));
}

#[test]
fn the_decoder_survives_its_seeds() {
    replay("decoder", fuzz::decoder);
}

#[test]
fn the_connection_survives_its_seeds() {
    replay("connection", fuzz::connection);
}

#[test]
fn an_opening_survives_its_seeds() {
    replay("opening", fuzz::opening);
}

#[test]
fn shared_connections_survive_their_seeds() {
    replay("shared", fuzz::shared);
}

#[test]
fn streams_survive_their_seeds() {
    replay("stream", fuzz::stream);
}

#[test]
fn the_embedded_server_survives_its_seeds() {
    replay("embedded", fuzz::embedded);
}

#[test]
fn addresses_statistics_nodes_and_transcripts_survive_their_seeds() {
    replay("uri", fuzz::uri);
    replay("report", fuzz::report);
    replay("config", fuzz::config);
    replay("transcript", fuzz::transcript);
}

#[test]
fn values_in_other_forms_survive_their_seeds() {
    replay("values", fuzz::values);
}
