//! Answers that go on, and lists of the nodes of a cluster.

use std::fmt::Debug;

use memcached2_proto::command::ClusterConfig;
use memcached2_proto::stream::{Metadump, Mgdump, RecordStream, Shutdown, StreamCommand, Watch, Watcher};
use memcached2_proto::{Error, Landed};

use super::limits;

/// Plays `data` as the answer to a command that is answered by records: in one piece and in small ones they are the same, and so is
/// the end.
///
/// The first byte chooses the command, the second one the size of the pieces.
pub fn stream(data: &[u8]) {
    let [kind, piece, answer @ ..] = data else { return };
    let piece = usize::from(*piece) + 1;
    match kind % 4 {
        0 => compare(&Metadump::all(), answer, piece),
        1 => compare(&Mgdump::all(), answer, piece),
        2 => compare(&Watch::new([Watcher::Fetchers, Watcher::Evictions]), answer, piece),
        _ => compare(&Shutdown::Now, answer, piece),
    }
}

fn compare<C: StreamCommand<Record: Debug + PartialEq>>(command: &C, answer: &[u8], piece: usize) {
    let whole = records(command, answer, usize::MAX);
    let pieces = records(command, answer, piece);
    assert_eq!(whole, pieces, "records depend on how the bytes were cut");
    let lines = answer.split(|byte| *byte == b'\n').count();
    assert!(whole.0.len() <= lines, "{} records in {lines} lines", whole.0.len());
    let is_read = !command.ends_in_close();
    let landed = whole.1.as_ref().err().map_or(Landed::NotSent, Error::landed);
    assert!(!is_read || landed != Landed::Unknown, "what only reads may have taken effect");
}

/// The records in an answer that the end of the connection follows, and how it ends.
fn records<C: StreamCommand>(command: &C, mut answer: &[u8], piece: usize) -> (Vec<C::Record>, Result<(), Error>) {
    let mut stream = RecordStream::new(command.clone(), limits()).expect("it can be sent");
    let mut records = Vec::new();
    while !stream.unwritten().is_empty() {
        stream.advance_written(piece);
    }
    loop {
        loop {
            match stream.next_record() {
                Ok(Some(record)) => records.push(record),
                Ok(None) => break,
                Err(error) => {
                    assert!(
                        stream.has_ended() && matches!(stream.next_record(), Ok(None)),
                        "it goes on after an error"
                    );
                    return (records, Err(error));
                }
            }
        }
        if stream.has_ended() {
            return (records, Ok(()));
        }
        let space = stream.read_buf();
        assert!(!space.is_empty(), "no room for what comes next");
        let n = space.len().min(answer.len()).min(piece);
        space[..n].copy_from_slice(&answer[..n]);
        stream.advance_read(n);
        answer = &answer[n..];
    }
}

/// Reads `data` as the nodes of a cluster. What is read is the same if it is written again.
pub fn config(data: &[u8]) {
    let config = match ClusterConfig::parse(data) {
        Ok(config) => config,
        Err(error) => return assert!(!error.to_string().is_empty()),
    };
    let nodes = config.nodes.iter().map(|node| {
        let ip = node.ip.map(|ip| ip.to_string()).unwrap_or_default();
        format!("{}|{ip}|{}", node.host, node.port)
    });
    let written = format!("{}\n{}\n", config.version, nodes.collect::<Vec<_>>().join(" "));
    let again = ClusterConfig::parse(written.as_bytes());
    assert_eq!(again.as_ref(), Ok(&config), "{written:?}");
}
