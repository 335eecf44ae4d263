//! Credentials: every answer, every cut, and what is written when.

use super::*;
use crate::credentials::Credentials;

const QUESTION: &[u8] = b"version\r\n";
const WANTED: &[u8] = b"CLIENT_ERROR unauthenticated\r\n";
const SENT: &[u8] = b"set memcached2-credentials 0 -1 10\r\nweb s3cret\r\n";
const ACCEPTED: &[u8] = b"STORED\r\n";

fn with_credentials(server: &str) -> Arc<Endpoint> {
    endpoint(server, &Options::default().credentials(Credentials::new("web", "s3cret").unwrap()))
}

/// A server that has asked for credentials and got them.
fn sent(endpoint: &Arc<Endpoint>) -> Trial {
    let mut trial = Trial::of(endpoint);
    assert_eq!(trial.connect().write(), QUESTION);
    trial.read(WANTED);
    assert_eq!(trial.write(), SENT);
    trial
}

/// Where the first line has come, but for its last byte.
fn end_of_line(answer: &str) -> usize {
    answer.find('\n').unwrap()
}

#[test]
fn credentials_are_sent_before_anything_else_and_only_if_the_server_asks_for_them() {
    for (server, protocol) in [(IP, None), (NAME, Some(Protocol::Meta)), (PATH, Some(Protocol::Classic))] {
        let options = protocol.into_iter().fold(Options::default(), Options::protocol);
        let endpoint = endpoint(server, &options.credentials(Credentials::new("web", "s3cret").unwrap()));
        let mut trial = Trial::of(&endpoint);
        assert_eq!(trial.connect().write(), QUESTION);
        assert_eq!((trial.step().as_str(), trial.write()), ("exchange", vec![]));
        trial.read(WANTED);
        assert_eq!((trial.step().as_str(), trial.write()), ("exchange", SENT.to_vec()));
        trial.read(ACCEPTED);
        if protocol.is_none() {
            assert_eq!(trial.step(), "exchange");
            assert!(trial.write().starts_with(b"md "));
            trial.read(META);
        }
        assert_eq!(trial.step(), "ready");
        let connection = trial.opening.finish().connection;
        assert!(connection.is_idle() && connection.protocol() == protocol.unwrap_or(Protocol::Meta));
    }
}

#[test]
fn a_server_that_stops_in_the_middle_of_an_answer_about_credentials_has_failed() {
    let late = |mut trial: Trial, part: &[u8]| {
        assert_eq!(trial.opening.deadline(), None);
        trial.read(part);
        trial.wait();
        assert!(trial.step().contains("has not answered in time"), "{}", trial.step());
    };
    let endpoint = with_credentials(IP);
    for cut in 1..WANTED.len() {
        let mut trial = Trial::of(&endpoint);
        trial.connect().write();
        late(trial, &WANTED[..cut]);
    }
    (1..ACCEPTED.len()).for_each(|cut| late(sent(&endpoint), &ACCEPTED[..cut]));
}

#[test]
fn the_credentials_of_a_uri_come_before_those_of_the_options() {
    for server in ["web:s3cret@127.0.0.1", "memcached+unix://web:s3cret@/run/m.sock", "memcached://web:s3cret@[::1]/"] {
        let options = Options::default().credentials(Credentials::new("other", "one").unwrap());
        sent(&endpoint(server, &options));
    }
}

#[test]
fn a_provider_is_asked_for_each_connection_once_the_server_has_asked() {
    let numbers = std::sync::atomic::AtomicUsize::new(0);
    let provider = move || match numbers.fetch_add(1, std::sync::atomic::Ordering::Relaxed) {
        2 => Err("the vault is closed".into()),
        number => Ok(Credentials::new("web", number.to_string())?),
    };
    let endpoint = endpoint(IP, &Options::default().credentials_provider(provider));
    for number in 0..4 {
        let mut trial = Trial::of(&endpoint);
        trial.connect().write();
        trial.read(WANTED);
        match number {
            2 => {
                assert!(
                    trial.step().contains("no credentials for the server: the vault is closed"),
                    "{}",
                    trial.step()
                );
            }
            _ => assert!(trial.write().ends_with(format!("\r\nweb {number}\r\n").as_bytes())),
        }
    }
}

#[test]
fn answers_are_understood_wherever_they_and_the_requests_are_cut() {
    for cut in 1..WANTED.len() {
        let endpoint = with_credentials(IP);
        let mut trial = Trial::of(&endpoint);
        trial.connect().write();
        assert!(trial.is_silent());
        trial.read(&WANTED[..cut]);
        assert!(!trial.is_silent());
        assert_eq!((trial.step().as_str(), trial.write()), ("exchange", vec![]));
        trial.read(&WANTED[cut..]);
        assert_eq!(trial.write(), SENT);
        let (first, second) = ACCEPTED.split_at(cut % ACCEPTED.len());
        assert!(trial.is_silent());
        if !first.is_empty() {
            trial.read(first);
        }
        trial.read(second);
        assert!(trial.write().starts_with(b"md "));
    }
    // A socket that takes a byte at a time, and says between them that it is full.
    let mut trial = Trial::of(&with_credentials(IP));
    trial.connect();
    for (request, answer) in [(QUESTION, WANTED), (SENT, ACCEPTED)] {
        for byte in request {
            let mut is_full = false;
            let write = |slices: &[IoSlice<'_>]| {
                assert!(is_full || slices[0][0] == *byte);
                Ok::<_, Error>(usize::from(!std::mem::replace(&mut is_full, true)))
            };
            let is_last = trial.opening.write_with(write).unwrap();
            assert_eq!(trial.opening.is_write_blocked(), !is_last);
        }
        trial.read(answer);
    }
    assert!(trial.write().starts_with(b"md "));
}

#[test]
fn a_server_that_does_not_ask_for_credentials_gets_none() {
    for (answer, expected) in [
        ("VERSION 1.6.18\r\n", "does not ask for a user and password"),
        ("VERSION\r\n", "does not ask for a user and password"),
        ("ERROR\r\n", "does not ask for a user and password"),
        ("CLIENT_ERROR bad command line format\r\n", "does not ask for a user and password"),
        // Neither of them is what memcached says.
        ("CLIENT_ERROR unauthenticated, or so\r\n", "does not ask for a user and password"),
        ("CLIENT_ERROR unauthenticated\n", "broke the protocol"),
        ("SERVER_ERROR Connection refused\r\n", "Connection refused"),
        ("ERROR Too many open connections\r\n", "Too many open connections"),
        ("STORED\r\n", "expected a version"),
        ("hello\r\n", "expected a version"),
        ("HTTP/1.1 400 Bad Request\r\n", "it speaks HTTP"),
        ("\x15\x03\x03\0\x02\x02\n", "it speaks TLS"),
        // Bytes behind the answer, which nobody asked for: the next answer would be taken from them.
        ("CLIENT_ERROR unauthenticated\r\nSTORED\r\n", "expected a version, got \"STORED"),
        ("CLIENT_ERROR unauthenticated\r\nS", "expected a version, got \"S\""),
        ("VERSION 1\r\nVERSION 1\r\n", "expected a version, got \"VERSION"),
    ] {
        for cut in 0..end_of_line(answer) {
            let mut trial = Trial::of(&with_credentials(IP));
            trial.connect().write();
            for piece in [&answer[..cut], &answer[cut..]] {
                if !piece.is_empty() && trial.step() == "exchange" {
                    assert_eq!(trial.write(), b"");
                    trial.read(piece.as_bytes());
                }
            }
            let step = trial.step();
            assert!(step.starts_with("failed") && step.contains(expected), "{answer:?} cut at {cut}: {step}");
            assert_eq!(trial.write(), b"");
        }
    }
    // Before the question was written whole.
    let mut trial = Trial::of(&with_credentials(IP));
    trial.connect().read(WANTED);
    assert!(trial.step().contains("before the request was sent"), "{}", trial.step());
    let mut trial = Trial::of(&with_credentials(IP));
    trial.connect().read(b"ERROR Too many open connections\r\n");
    assert!(trial.step().contains("Too many open connections"), "{}", trial.step());
    // A line without an end.
    let mut trial = Trial::of(&with_credentials(IP));
    trial.connect().write();
    let space = trial.opening.read_buf().len();
    trial.read(&vec![b'V'; space]);
    assert!(trial.step().contains("broke the protocol"), "{}", trial.step());
}

#[test]
fn credentials_that_are_refused_are_an_error_that_does_not_show_them() {
    for (answer, expected) in [
        (
            "CLIENT_ERROR authentication failure\r\n",
            "refused the user and password: CLIENT_ERROR authentication failure",
        ),
        ("CLIENT_ERROR bad authentication token format\r\n", "refused the user and password"),
        ("CLIENT_ERROR auth token too long\r\n", "refused the user and password"),
        ("CLIENT_ERROR unauthenticated\r\n", "refused the user and password"),
        ("ERROR\r\n", "refused the user and password: ERROR"),
        ("ERROR unknown command web s3cret\r\n", "refused the user and password: a line that repeats the password"),
        ("SERVER_ERROR out of memory reading request\r\n", "refused the request: SERVER_ERROR"),
        ("SERVER_ERROR s3cret\r\n", "a line that repeats the password"),
        ("web s3cret\r\n", "got a line that repeats the password"),
        ("NOT_STORED\r\n", "expected the answer to the credentials"),
        ("STORED\n", "expected the answer to the credentials"),
        ("STORED\r\nSTORED\r\n", "expected the answer to the credentials"),
    ] {
        for cut in 0..end_of_line(answer) {
            let mut trial = sent(&with_credentials(IP));
            for piece in [&answer[..cut], &answer[cut..]] {
                if !piece.is_empty() && trial.step() == "exchange" {
                    trial.read(piece.as_bytes());
                }
            }
            let step = trial.step();
            assert!(step.starts_with("failed") && step.contains(expected), "{answer:?} cut at {cut}: {step}");
            let shown = format!("{step} {:?} {:?}", trial.opening.step(), trial.opening);
            assert!(!shown.contains("s3cret"), "{answer:?} cut at {cut}: it is shown");
        }
    }
}

#[test]
fn a_server_that_closes_or_fails_meanwhile_is_not_connected_to_again() {
    for cut in 0..WANTED.len() {
        let mut trial = Trial::of(&with_credentials(IP));
        trial.connect().write();
        if cut > 0 {
            trial.read(&WANTED[..cut]);
        }
        trial.opening.advance_read(0, trial.now);
        assert!(trial.step().contains("closed it when it was asked"), "{}", trial.step());
    }
    for cut in 0..ACCEPTED.len() {
        let mut trial = sent(&with_credentials(IP));
        if cut > 0 {
            trial.read(&ACCEPTED[..cut]);
        }
        trial.opening.advance_read(0, trial.now);
        assert!(trial.step().contains("after it had got the user and password"), "{}", trial.step());
    }
    let mut trial = sent(&with_credentials(IP));
    trial.opening.failed(Error::lost(&ErrorKind::ConnectionReset.into(), Landed::Unknown), trial.now);
    assert!(trial.step().contains("connection reset"), "{}", trial.step());
}

#[test]
fn a_silent_server_is_waited_for_as_long_as_the_caller_waits() {
    let within = |how: fn(&mut Trial)| {
        let mut trial = Trial::within(&with_credentials(IP), Some(Duration::from_secs(7)));
        trial.connect().write();
        let begun = trial.now;
        how(&mut trial);
        assert!(trial.is_silent());
        trial.wait();
        assert_eq!(trial.now - begun, Duration::from_secs(7));
        assert!(trial.step().contains("has not answered in time"), "{}", trial.step());
    };
    within(|_| ());
    within(|trial| {
        trial.read(WANTED);
        trial.write();
    });
    assert_eq!(sent(&with_credentials(IP)).opening.deadline(), None);
}

#[test]
fn a_server_that_closes_on_a_probe_gets_the_credentials_again_on_the_next_connection() {
    let mut trial = sent(&with_credentials(IP));
    trial.read(ACCEPTED);
    assert!(trial.write().starts_with(b"md "));
    trial.opening.advance_read(0, trial.now);
    assert_eq!(trial.step(), "connect 11211");
    assert_eq!(trial.connect().write(), QUESTION);
    trial.read(WANTED);
    assert_eq!(trial.write(), SENT);
    trial.read(ACCEPTED);
    assert_eq!(trial.step(), "ready");
    assert_eq!(trial.opening.finish().connection.protocol(), Protocol::Classic);
}

#[test]
fn a_server_that_wants_credentials_of_a_client_without_them_says_how_to_give_them() {
    let mut trial = Trial::of(&endpoint(IP, &Options::default()));
    trial.connect().write();
    trial.read(WANTED);
    assert!(trial.step().contains("memcached://user:password@host"), "{}", trial.step());
}
