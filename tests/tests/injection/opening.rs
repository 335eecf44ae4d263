//! Credentials and URIs: what a new connection sends before its first request.

use std::sync::Arc;

use memcached2_proto::opening::{Endpoint, Opening, Step};
use memcached2_proto::{Credentials, Error, Instant, Options, Server};
use memcached2_testkit::embedded::Core;
use memcached2_testkit::{EmbeddedServer, Rng};

use super::inputs::nasty;
use super::wire::{Sent, requests};
use super::world::{core, now};

/// Opens a connection to a server, and returns all that was sent.
fn open(server: &Server, options: &Options, core: &mut Core) -> (Result<(), Error>, Vec<u8>) {
    let endpoint = Arc::new(Endpoint::new(0, server, options));
    let mut opening = Opening::new(&endpoint, now(), None);
    let (mut session, mut sent) = (core.connect(), Vec::new());
    let now = Instant::ZERO;
    loop {
        match opening.step() {
            Ok(Step::Ready) => return (Ok(()), sent),
            Err(error) => return (Err(error), sent),
            Ok(Step::Resolve { port, .. }) => opening.resolved(Ok([([127, 0, 0, 1], port).into()].into()), now),
            Ok(Step::Connect(_)) => {
                session = core.connect();
                opening.connected(Ok(()), now);
            }
            Ok(Step::Exchange) => {
                let begun = sent.len();
                let write = |slices: &[std::io::IoSlice<'_>]| {
                    slices.iter().for_each(|slice| sent.extend_from_slice(slice));
                    Ok::<_, std::convert::Infallible>(slices.iter().map(|slice| slice.len()).sum())
                };
                assert_eq!(opening.write_with(write), Ok(true));
                session.feed(core, &sent[begun..], 1_800_000_000);
                let answer: Vec<u8> = std::iter::from_fn(|| session.take_outgoing()).flatten().collect();
                assert!(!answer.is_empty() || session.is_closed(), "the server waits for more of {sent:?}");
                opening.read_buf()[..answer.len()].copy_from_slice(&answer);
                opening.advance_read(answer.len(), now);
            }
        }
    }
}

/// Checks what is sent for the user and password of this server.
fn check(server: &Server, options: &Options, user: &[u8], password: &[u8]) {
    // A server that has others.
    let mut wants = EmbeddedServer::with().version("1.6.45").credentials("somebody", "else").core(1_800_000_000);
    let (opened, sent) = open(server, options, &mut wants);
    let error = opened.expect_err("they are wrong");
    assert!(matches!(error, Error::CredentialsRefused { .. }), "{error}");
    let token = [user, b" ", password].concat();
    let words = format!("set memcached2-credentials 0 -1 {}", token.len());
    let version = Sent { words: vec![b"version".to_vec()], block: None };
    let words = words.split(' ').map(|word| word.as_bytes().to_vec()).collect();
    assert_eq!(requests(&sent), [version.clone(), Sent { words, block: Some(token) }]);
    // One that wants none.
    let (opened, sent) = open(server, options, &mut core());
    assert!(opened.is_err());
    assert_eq!(requests(&sent), [version]);
}

fn encoded(bytes: &[u8]) -> String {
    bytes.iter().map(|byte| format!("%{byte:02x}")).collect()
}

#[test]
fn credentials_are_exactly_one_user_and_one_password() {
    let mut rng = Rng::new(4);
    let mut sent = 0;
    for _ in 0..1000 {
        let (mut user, password) = (nasty(&mut rng), nasty(&mut rng));
        if rng.once_in(2) {
            user.retain(|byte| !matches!(byte, 0..=b' ' | 0x7f | b':'));
        }
        let credentials = Credentials::new(&user, &password);
        let uri = format!("memcached://{}:{}@cache1", encoded(&user), encoded(&password));
        let server = uri.parse::<Server>();
        assert_eq!(credentials.is_ok(), server.is_ok(), "{uri}");
        let (Ok(credentials), Ok(server)) = (credentials, server) else { continue };
        sent += 1;
        check(&server, &Options::default(), &user, &password);
        let plain = "cache1".parse().expect("an address");
        check(&plain, &Options::default().credentials(credentials), &user, &password);
    }
    assert!(sent > 100, "{sent} pairs were sent, so that hardly anything was tested");
}

#[test]
fn what_a_uri_says_is_not_sent_but_for_its_user_and_password() {
    let mut rng = Rng::new(5);
    let mut sent = 0;
    for _ in 0..4000 {
        let text: String = String::from_utf8_lossy(&nasty(&mut rng)).chars().take(300).collect();
        let shape = rng.below(6);
        let uri = match shape {
            0 => text.clone(),
            1 => format!("memcached://{text}"),
            2 => format!("memcached://cache1?name={text}"),
            3 => format!("memcached://cache1/{text}"),
            4 => format!("memcached+unix:///{text}"),
            _ => format!("memcached://user:{text}@cache1"),
        };
        let Ok(server) = uri.parse::<Server>() else { continue };
        sent += 1;
        let shown = server.to_string();
        assert!(!shown.contains(|c: char| c.is_control() || c == ' '), "{shown:?}");
        let (_, bytes) = open(&server, &Options::default(), &mut core());
        // The first line is the question for the version, or for the protocol.
        let requests = requests(&bytes);
        assert!(requests.iter().all(|request| request.block.is_none()), "{requests:?} for {uri:?}");
        let names = requests.iter().map(|request| &request.words[0][..]);
        assert!(names.clone().all(|name| name == b"version" || name == b"md" || name == b"mn"), "{requests:?}");
    }
    assert!(sent > 300, "{sent} URIs were taken, so that hardly anything was tested");
}
