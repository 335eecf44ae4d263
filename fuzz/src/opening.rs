//! A connection that is opened to a server which says anything.

use std::io::{self, ErrorKind};
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::{Duration, SystemTime};

use memcached2_proto::opening::{Endpoint, Opening, Step};
use memcached2_proto::{Credentials, Error, Instant, Landed, Now, Options, Server};

const PASSWORD: &str = "pa55word-of-nobody";

/// Plays `data` as a script of what a network and a server do while a connection is opened.
///
/// It ends after a bounded number of steps, as a connection without a request or with an error that shows no password.
pub fn opening(data: &[u8]) {
    let mut script = data.iter().copied();
    let Some(kind) = script.next() else { return };
    let server: Server = if kind & 1 == 0 { "10.0.0.1" } else { "cache1" }.parse().expect("an address");
    let mut options = Options::default();
    if kind & 2 != 0 {
        options = options.credentials(Credentials::new("user", PASSWORD).expect("both can be sent"));
    }
    let endpoint = Arc::new(Endpoint::new(0, &server, &options));
    let mut now = Instant::ZERO;
    let until = (kind & 4 != 0).then(|| now + Duration::from_secs(3));
    let mut opening = Opening::new(&endpoint, Now::fixed(now, SystemTime::UNIX_EPOCH), until);
    let (mut connects, mut steps) = (0, 0);
    let ended = loop {
        let step = match opening.step() {
            Ok(Step::Ready) => break Ok(()),
            Ok(step) => step,
            Err(error) => break Err(error),
        };
        steps += 1;
        assert!(steps <= 64 + 2 * data.len(), "it does not end");
        let action = script.next();
        // At the end of the script nothing happens any more, and whoever waits without a limit gives up.
        if action.is_none_or(|action| action & 7 == 7) {
            match opening.deadline() {
                None => opening.failed(Error::timeout(Landed::NotSent), now),
                Some(deadline) => {
                    now = now.max(deadline);
                    assert!(opening.on_deadline(now), "the deadline passed, and nothing came of it");
                }
            }
            continue;
        }
        let action = action.unwrap_or_default();
        now += Duration::from_millis(u64::from(action >> 6));
        match step {
            Step::Resolve { .. } if action & 1 == 0 => {
                let addresses: Vec<_> =
                    (0..action >> 3 & 3).map(|last| SocketAddr::from(([10, 0, 0, last], 11211))).collect();
                opening.resolved(Ok(addresses.into()), now);
            }
            Step::Resolve { .. } => opening.resolved(Err(ErrorKind::NotFound.into()), now),
            Step::Connect(_) => {
                connects += 1;
                assert!(connects <= 16, "it connects again and again");
                opening.connected(if action & 1 == 0 { Ok(()) } else { Err(ErrorKind::ConnectionRefused.into()) }, now);
            }
            Step::Exchange => exchange(&mut opening, action, &mut script, now),
            Step::Ready => {}
        }
    };
    match ended {
        Ok(()) => {
            assert!(opening.is_connected(), "it is ready without a socket");
            assert!(opening.deadline().is_none(), "it is ready, and has a deadline");
            let opened = opening.finish();
            assert!(!opened.connection.is_busy() && opened.tls.is_none());
        }
        Err(error) => {
            assert_eq!(error.landed(), Landed::NotSent, "there was no request that could land");
            let shown = format!("{error} {error:?}");
            assert!(!shown.contains(PASSWORD), "{shown}");
        }
    }
}

/// Writes some, and reads some.
fn exchange(opening: &mut Opening, action: u8, script: &mut impl Iterator<Item = u8>, now: Instant) {
    let mut takes = usize::from(action >> 3);
    let write = |slices: &[io::IoSlice<'_>]| -> io::Result<usize> {
        let n = slices.iter().map(|slice| slice.len()).sum::<usize>().min(takes);
        takes -= n;
        Ok(n)
    };
    opening.write_with(write).expect("it never fails");
    match action & 7 {
        0 => opening.advance_read(0, now),
        1 => opening.failed(Error::lost(&ErrorKind::ConnectionReset.into(), Landed::NotSent), now),
        2 => {}
        _ => {
            let length = script.next().map_or(0, usize::from);
            let bytes: Vec<u8> = script.by_ref().take(length).collect();
            let space = opening.read_buf();
            let n = space.len().min(bytes.len());
            space[..n].copy_from_slice(&bytes[..n]);
            if n > 0 {
                opening.advance_read(n, now);
            }
        }
    }
}
