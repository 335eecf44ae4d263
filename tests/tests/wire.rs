//! Every transcript over a socket, against the scripted server.
#![allow(clippy::panic, clippy::expect_used)]

mod core;

use std::io::{Read, Write};
use std::net::TcpStream;
use std::path::Path;

use memcached2_testkit::{ScriptedServer, Transcript};

use self::core::Talk;

/// The conversations that a socket carries in a moment.
fn transcripts() -> Vec<Transcript> {
    /// Longer ones are for the core alone.
    const LONGEST: usize = 64 * 1024;
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("transcripts");
    let files = folder.read_dir().expect("the transcripts are part of the repository");
    let all = files.flat_map(|file| memcached2_testkit::load(file.expect("a listed file").path()));
    all.filter(|transcript| transcript.turns.iter().all(|turn| turn.client.len() + turn.server.len() < LONGEST))
        .collect()
}

/// Plays a transcript against the scripted server and returns all results and the state at the end.
fn play(transcript: &Transcript) -> Vec<String> {
    let server = ScriptedServer::start([transcript.session()]);
    let mut stream = TcpStream::connect(server.address()).expect("the server listens");
    let mut talk = Talk::default();
    for turn in &transcript.turns {
        talk.submit(&turn.client);
        stream.write_all(&talk.write(usize::MAX)).expect("the server reads");
        let mut bytes = vec![0; turn.server.len()];
        stream.read_exact(&mut bytes).expect("the server says what the script says");
        talk.read(&bytes);
        if turn.ends {
            assert_eq!(stream.read(&mut [0]).expect("an orderly end"), 0);
            talk.end();
        }
    }
    drop(stream);
    server.finish();
    talk.finish()
}

#[test]
fn every_transcript_is_understood_over_a_socket() {
    let transcripts = transcripts();
    assert!(transcripts.len() > 100, "only {} transcripts were found", transcripts.len());
    for transcript in transcripts {
        let expected: Vec<&String> = transcript.turns.iter().flat_map(|turn| &turn.results).collect();
        assert_eq!(play(&transcript).iter().collect::<Vec<_>>(), expected, "{}", transcript.title);
    }
}
