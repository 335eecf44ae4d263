//! Every cut of opening a connection, without a socket.

use std::io::IoSlice;
use std::time::{Duration, SystemTime};

use super::*;
use crate::call::Fault;
use crate::options::Options;

mod authentication;

/// The answers of servers to a probe.
const META: &[u8] = b"NF O0000\r\nMN\r\n";
const CLASSIC: &[u8] = b"ERROR\r\nERROR\r\n";

const NAME: &str = "cache1";
const IP: &str = "127.0.0.1";
const PATH: &str = "memcached+unix:///run/m.sock";

/// A connection that is opened, and the time that goes by meanwhile.
struct Trial {
    opening: Opening,
    now: Instant,
}

fn endpoint(server: &str, options: &Options) -> Arc<Endpoint> {
    Arc::new(Endpoint::new(0, &server.parse().unwrap(), options))
}

fn addresses(count: u16) -> Arc<[SocketAddr]> {
    (1..=count).map(|port| SocketAddr::from(([127, 0, 0, 1], port))).collect()
}

impl Trial {
    fn of(endpoint: &Arc<Endpoint>) -> Self {
        Self::within(endpoint, None)
    }

    fn within(endpoint: &Arc<Endpoint>, timeout: Option<Duration>) -> Self {
        let now = Now::fixed(Instant::ZERO + Duration::from_secs(60), SystemTime::UNIX_EPOCH);
        let opening = Opening::new(endpoint, now, timeout.map(|timeout| now.monotonic + timeout));
        Self { opening, now: now.monotonic }
    }

    /// The step, in a word.
    fn step(&self) -> String {
        match self.opening.step() {
            Ok(Step::Resolve { host, .. }) => format!("resolve {host}"),
            Ok(Step::Connect(Destination::Tcp(address))) => format!("connect {}", address.port()),
            Ok(Step::Connect(Destination::Unix(path))) => format!("connect {}", path.display()),
            Ok(Step::Exchange) => "exchange".into(),
            Ok(Step::Ready) => "ready".into(),
            Err(error) => {
                assert_eq!(error.landed(), Landed::NotSent, "{error:?}");
                format!("failed: {error}")
            }
        }
    }

    fn connect(&mut self) -> &mut Self {
        if matches!(self.opening.step(), Ok(Step::Resolve { .. })) {
            self.opening.resolved(Ok(addresses(1)), self.now);
        }
        self.opening.connected(Ok(()), self.now);
        self
    }

    fn write(&mut self) -> Vec<u8> {
        let mut written = Vec::new();
        let write = |slices: &[IoSlice<'_>]| {
            let before = written.len();
            slices.iter().for_each(|slice| written.extend_from_slice(slice));
            Ok::<_, Error>(written.len() - before)
        };
        assert_eq!(self.opening.write_with(write), Ok(true));
        written
    }

    fn read(&mut self, bytes: &[u8]) {
        self.opening.read_buf()[..bytes.len()].copy_from_slice(bytes);
        self.opening.advance_read(bytes.len(), self.now);
    }

    /// Whether the server has been silent long enough, if it says nothing for as long as it may take to connect.
    fn is_silent(&self) -> bool {
        let limit = Options::default().connect_timeout;
        assert!(!self.opening.is_silent(self.now + limit - Duration::from_nanos(1)));
        self.opening.is_silent(self.now + limit)
    }

    /// Lets the time go by until the deadline.
    fn wait(&mut self) {
        self.now = self.opening.deadline().expect("a deadline");
        assert!(!self.opening.on_deadline(Instant::from_nanos(self.now.as_nanos() - 1)));
        assert!(self.opening.on_deadline(self.now));
    }
}

#[test]
fn each_kind_of_address_has_its_steps() {
    for (server, protocol, expected) in [
        (NAME, None, &["resolve cache1", "connect 1", "exchange", "ready"][..]),
        (NAME, Some(Protocol::Meta), &["resolve cache1", "connect 1", "ready"]),
        ("127.0.0.1:7", None, &["connect 7", "exchange", "ready"]),
        ("[::1]:7", Some(Protocol::Classic), &["connect 7", "ready"]),
        (PATH, None, &["connect /run/m.sock", "exchange", "ready"]),
    ] {
        let options = protocol.into_iter().fold(Options::default(), Options::protocol);
        let mut trial = Trial::of(&endpoint(server, &options));
        assert_eq!(trial.opening.protocol(), protocol);
        let mut steps = Vec::new();
        while steps.last().is_none_or(|step| step != "ready") {
            steps.push(trial.step());
            match trial.opening.step().unwrap() {
                Step::Resolve { .. } => trial.opening.resolved(Ok(addresses(1)), trial.now),
                Step::Connect(_) => trial.opening.connected(Ok(()), trial.now),
                Step::Exchange => {
                    assert!(trial.write().starts_with(b"md "));
                    trial.read(META);
                }
                Step::Ready => assert_eq!(trial.opening.deadline(), None),
            }
        }
        assert_eq!(steps, expected, "{server}");
        assert_eq!(trial.opening.finish().connection.protocol(), protocol.unwrap_or(Protocol::Meta));
    }
}

#[test]
fn a_name_that_is_not_found_or_not_found_in_time_cannot_be_connected_to() {
    let end = |how: fn(&mut Trial)| {
        let mut trial = Trial::of(&endpoint(NAME, &Options::default()));
        how(&mut trial);
        trial.step()
    };
    assert!(
        end(|trial| trial.opening.resolved(Err(io::Error::other("no such host")), trial.now)).contains("such host")
    );
    assert!(end(|trial| trial.opening.resolved(Ok(addresses(0)), trial.now)).contains("entity not found"));
    assert!(end(Trial::wait).contains("was not looked up in time"));
    let end = end(|trial| {
        trial.now += Duration::from_secs(1);
        trial.opening.resolved(Ok(addresses(2)), trial.now);
    });
    assert!(end.contains("timed out"), "{end}");
}

#[test]
fn addresses_are_tried_one_after_the_other_within_the_time_to_connect() {
    let mut trial = Trial::of(&endpoint(NAME, &Options::default()));
    let begun = trial.now;
    trial.opening.resolved(Ok(addresses(3)), trial.now);
    assert_eq!(trial.step(), "connect 1");
    trial.wait();
    assert_eq!((trial.step().as_str(), (trial.now - begun).as_millis()), ("connect 2", 500 / 3));
    trial.opening.connected(Err(ErrorKind::ConnectionRefused.into()), trial.now);
    assert_eq!(trial.step(), "connect 3");
    assert!(!trial.opening.is_connected());
    trial.wait();
    assert!(trial.step().contains("timed out"), "{}", trial.step());
    assert_eq!(trial.now - begun, Duration::from_millis(500));
}

#[test]
fn the_time_to_connect_begins_with_the_first_step() {
    for server in [NAME, IP, PATH] {
        let mut trial = Trial::of(&endpoint(server, &Options::default()));
        let late = trial.now + Duration::from_secs(7);
        trial.opening.start(late);
        assert_eq!(trial.opening.deadline(), Some(late + Duration::from_millis(500)), "{server}");
    }
}

#[test]
fn an_answer_is_understood_wherever_it_is_cut() {
    for (answer, protocol) in [(META, Protocol::Meta), (CLASSIC, Protocol::Classic)] {
        for cut in 0..answer.len() {
            let mut trial = Trial::of(&endpoint(IP, &Options::default()));
            trial.connect().write();
            assert!(trial.is_silent());
            let (first, second) = answer.split_at(cut);
            if !first.is_empty() {
                trial.read(first);
                assert!(!trial.is_silent());
            }
            assert_eq!(trial.step(), "exchange");
            trial.read(second);
            assert_eq!(trial.step(), "ready", "cut at {cut}");
            let connection = trial.opening.finish().connection;
            assert_eq!(connection.protocol(), protocol);
            assert!(connection.is_idle());
        }
    }
}

/// Redis would carry out the lines of a value as commands.
#[test]
fn a_server_that_speaks_another_protocol_is_not_asked_in_the_classic_one() {
    for (answer, what) in [
        (&b"-ERR unknown command 'md', with args beginning with: 'AA==' \r\n"[..], "Redis"),
        (b"-NOAUTH Authentication required.\r\n", "Redis"),
        (b"HTTP/1.1 400 Bad Request\r\n", "HTTP"),
        (b"\x15\x03\x03\0\x02\x02\x46", "TLS"),
    ] {
        for cut in 1..answer.len() {
            let mut trial = Trial::of(&endpoint(IP, &Options::default()));
            trial.connect().write();
            trial.read(&answer[..cut]);
            if trial.step() == "exchange" {
                trial.read(&answer[cut..]);
            }
            let step = trial.step();
            assert!(step.starts_with("failed") && step.contains(what), "cut at {cut}: {step}");
        }
    }
}

/// Else a shared connection would wait for ever, and each of its calls for its whole timeout.
#[test]
fn a_server_that_stops_in_the_middle_of_its_answer_has_failed() {
    for cut in 1..META.len() {
        let endpoint = endpoint(IP, &Options::default());
        // One that has answered may take as long as callers wait, until it begins to answer.
        endpoint.known().proved();
        let mut trial = Trial::of(&endpoint);
        trial.connect().write();
        assert_eq!(trial.opening.deadline(), None);
        let begun = trial.now;
        trial.read(&META[..cut]);
        trial.wait();
        assert!(trial.step().contains("has not answered in time"), "cut at {cut}: {}", trial.step());
        assert_eq!(trial.now - begun, Duration::from_millis(500));
    }
}

#[test]
fn a_server_that_closes_instead_of_answering_is_connected_to_once_more_and_not_asked() {
    for cut in 0..META.len() {
        let endpoint = endpoint(NAME, &Options::default());
        let mut trial = Trial::of(&endpoint);
        trial.connect().write();
        if cut > 0 {
            trial.read(&META[..cut]);
        }
        trial.opening.advance_read(0, trial.now);
        assert_eq!(trial.step(), "resolve cache1", "cut at {cut}");
        assert!(!trial.opening.is_connected());
        assert_eq!(trial.connect().step(), "ready");
        assert_eq!(Trial::of(&endpoint).opening.protocol(), Some(Protocol::Classic));
    }
    // The same of a socket that fails.
    let mut trial = Trial::of(&endpoint(IP, &Options::default()));
    trial.connect();
    trial.opening.failed(Error::lost(&ErrorKind::ConnectionReset.into(), Landed::Unknown), trial.now);
    assert_eq!(trial.step(), "connect 11211");
}

#[test]
fn a_server_that_has_answered_before_and_closes_now_has_failed() {
    let endpoint = endpoint(IP, &Options::default());
    Trial::of(&endpoint).connect().read(META);
    for cut in 0..META.len() {
        endpoint.known().proved();
        let mut trial = Trial::of(&endpoint);
        trial.connect().write();
        if cut > 0 {
            trial.read(&META[..cut]);
        }
        trial.opening.advance_read(0, trial.now);
        assert!(trial.step().contains("the server closed it"), "{}", trial.step());
        assert!(trial.opening.is_connected());
    }
}

#[test]
fn a_silent_server_is_connected_to_once_more_and_not_asked() {
    let endpoint = endpoint(IP, &Options::default());
    let mut trial = Trial::of(&endpoint);
    trial.connect().write();
    let begun = trial.now;
    trial.wait();
    assert_eq!((trial.step().as_str(), trial.now - begun), ("connect 11211", Duration::from_millis(250)));
    assert_eq!(trial.connect().step(), "ready");
}

#[test]
fn a_server_that_has_answered_before_is_waited_for_as_long_as_the_caller_waits() {
    let endpoint = endpoint(IP, &Options::default());
    endpoint.known().proved();
    assert_eq!(Trial::of(&endpoint).connect().opening.deadline(), None);
    let mut trial = Trial::within(&endpoint, Some(Duration::from_secs(7)));
    trial.connect().write();
    let begun = trial.now;
    trial.wait();
    assert_eq!(trial.now - begun, Duration::from_secs(7));
    assert!(trial.step().contains("has not answered in time"), "{}", trial.step());
    // It says nothing of the server.
    assert_eq!(Trial::of(&endpoint).connect().opening.deadline(), None);
}

#[test]
fn a_caller_without_time_opens_nothing() {
    let endpoint = endpoint(IP, &Options::default());
    assert!(Trial::within(&endpoint, Some(Duration::ZERO)).step().contains("did not answer in time"));
    // Nor a second connection.
    let mut trial = Trial::within(&endpoint, Some(Duration::from_millis(10)));
    trial.connect();
    trial.wait();
    assert!(trial.step().contains("did not answer in time"), "{}", trial.step());
}

#[test]
fn the_time_of_a_caller_proves_nothing_about_the_server_before_it_was_silent_for_that_to_connect() {
    let endpoint = endpoint(NAME, &Options::default());
    // While the name is looked up, it is connected to, and it is asked.
    let mut begun = Duration::ZERO;
    for stage in [0, 1, 2, 2] {
        let mut trial = Trial::within(&endpoint, Some(begun + Duration::from_millis(130)));
        trial.now += begun;
        trial.opening.start(trial.now);
        match stage {
            0 => {}
            1 => trial.opening.resolved(Ok(addresses(1)), trial.now),
            _ => _ = trial.connect(),
        }
        trial.wait();
        let is_server = Fault::of(&trial.opening.step().unwrap_err()) == Fault::Server;
        begun += Duration::from_secs(1);
        assert_eq!(is_server, begun == Duration::from_secs(4), "{:?}", trial.opening.step());
    }
}

#[test]
fn a_server_that_refuses_to_be_asked_says_why() {
    for (answer, expected) in [
        ("CLIENT_ERROR unauthenticated\r\n", "unauthenticated"),
        ("ERROR Too many open connections\r\n", "Too many open connections"),
    ] {
        for cut in 0..answer.len() {
            let mut trial = Trial::of(&endpoint(IP, &Options::default()));
            trial.connect().write();
            for piece in [&answer[..cut], &answer[cut..]] {
                if !piece.is_empty() {
                    trial.read(piece.as_bytes());
                }
            }
            assert!(trial.step().contains(expected), "{}", trial.step());
        }
    }
}

/// What can come of a step.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Turn {
    Succeeds,
    Fails,
    TimesOut,
    /// The connection is closed after this many bytes of the answer.
    ClosesAfter(usize),
}

/// Follows every way that opening a connection can take: all turns of each step, after all turns of those before it.
#[test]
fn every_order_of_success_failure_timeout_and_early_close_comes_to_an_end() {
    let (mut ready, mut failed) = (0, 0);
    for server in [NAME, IP, PATH, "web:s3cret@127.0.0.1"] {
        let mut ways = vec![Vec::new()];
        while let Some(way) = ways.pop() {
            let mut trial = Trial::within(&endpoint(server, &Options::default()), Some(Duration::from_secs(1)));
            for turn in &way {
                take(&mut trial, *turn);
            }
            // Two connections, each after a look-up, to two addresses, with one exchange; or to one, with three exchanges.
            assert!(way.len() <= 8, "{server}: {way:?}");
            match trial.opening.step() {
                Ok(Step::Ready) => ready += 1,
                Ok(step) => {
                    let closes = if step == Step::Exchange { answer(&trial.write()).len() } else { 0 };
                    let turns = [Turn::Succeeds, Turn::Fails, Turn::TimesOut].into_iter();
                    let turns = turns.chain((0..closes).map(Turn::ClosesAfter));
                    ways.extend(turns.map(|turn| way.iter().copied().chain([turn]).collect()));
                }
                Err(error) => {
                    assert_eq!(error.landed(), Landed::NotSent, "{error:?}");
                    failed += 1;
                }
            }
        }
    }
    assert!(ready > 100 && failed > 100, "{ready} were opened, {failed} failed");
}

/// What a server with or without credentials answers.
fn answer(request: &[u8]) -> &'static [u8] {
    match request {
        [b'v', ..] => b"CLIENT_ERROR unauthenticated\r\n",
        [b's', ..] => b"STORED\r\n",
        _ => META,
    }
}

fn take(trial: &mut Trial, turn: Turn) {
    let now = trial.now;
    match (trial.opening.step().unwrap(), turn) {
        (_, Turn::TimesOut) => trial.wait(),
        (Step::Resolve { .. }, Turn::Succeeds) => trial.opening.resolved(Ok(addresses(2)), now),
        (Step::Resolve { .. }, _) => trial.opening.resolved(Err(ErrorKind::NotFound.into()), now),
        (Step::Connect(_), Turn::Succeeds) => trial.opening.connected(Ok(()), now),
        (Step::Connect(_), _) => trial.opening.connected(Err(ErrorKind::ConnectionRefused.into()), now),
        (Step::Exchange, turn) => {
            let answer = answer(&trial.write());
            match turn {
                Turn::Succeeds => trial.read(answer),
                Turn::ClosesAfter(n) => {
                    if n > 0 {
                        trial.read(&answer[..n]);
                    }
                    trial.opening.advance_read(0, now);
                }
                _ => trial.opening.failed(Error::lost(&ErrorKind::ConnectionReset.into(), Landed::Unknown), now),
            }
        }
        (Step::Ready, _) => panic!("nothing is left to be done"),
    }
}
