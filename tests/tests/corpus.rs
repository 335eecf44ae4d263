//! The seeds of the fuzz targets, replayed.
#![expect(clippy::expect_used, reason = "a missing seed is the failure")]

#[path = "../../fuzz/src/lib.rs"]
#[expect(unreachable_pub, reason = "they are the public functions of another crate")]
mod fuzz;

use std::path::Path;

fn replay(target: &str, run: fn(&[u8])) {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("../fuzz/seeds").join(target);
    let seeds: Vec<_> = folder.read_dir().expect("the seeds are part of the repository").collect();
    assert!(seeds.len() >= 5, "{} holds hardly any seeds", folder.display());
    for seed in seeds {
        let bytes = std::fs::read(seed.expect("a listed file").path()).expect("a readable file");
        // Every beginning of a seed is a seed, too: replies cut short.
        (0..=bytes.len()).rev().take(512).for_each(|end| run(&bytes[..end]));
    }
}

#[test]
fn the_decoder_survives_its_seeds() {
    replay("decoder", fuzz::decoder);
}

#[test]
fn the_connection_survives_its_seeds() {
    replay("connection", fuzz::connection);
}
