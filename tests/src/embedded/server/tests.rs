use std::io::{Read, Write};
use std::net::TcpStream;
#[cfg(unix)]
use std::os::unix::net::UnixStream;

use super::*;

const START: u64 = 1_700_000_000;

fn connect(server: &EmbeddedServer) -> TcpStream {
    let stream = TcpStream::connect(server.address()).expect("the server listens");
    stream.set_read_timeout(Some(Duration::from_secs(10))).expect("ten seconds are a valid timeout");
    stream
}

/// Sends requests and reads as many bytes as should come back.
#[track_caller]
fn expect(stream: &mut (impl Read + Write), request: &str, answer: &str) {
    stream.write_all(request.as_bytes()).expect("the server reads");
    let mut got = vec![0; answer.len()];
    stream.read_exact(&mut got).expect("the server answers");
    assert_eq!(String::from_utf8_lossy(&got), answer, "{request}");
}

fn stat(server: &EmbeddedServer, name: &str) -> String {
    let mut stream = connect(server);
    stream.write_all(b"stats\r\nquit\r\n").expect("the server reads");
    let mut stats = String::new();
    stream.read_to_string(&mut stats).expect("the server answers");
    let start = format!("STAT {name} ");
    stats.lines().find_map(|line| line.strip_prefix(&start)).expect("the statistic is there").to_owned()
}

#[test]
fn servers_do_not_disturb_each_other() {
    let servers = [EmbeddedServer::start(), EmbeddedServer::start()];
    expect(&mut connect(&servers[0]), "set a 0 0 1\r\nx\r\n", "STORED\r\n");
    expect(&mut connect(&servers[1]), "get a\r\n", "END\r\n");
    assert_eq!(servers.each_ref().map(EmbeddedServer::connections), [1, 1]);
}

#[cfg(unix)]
#[test]
fn a_server_listens_at_the_given_address() {
    let server = EmbeddedServer::with().unix_socket().version("1.6.99-test").start();
    let address = server.address();
    let path = address.strip_prefix("memcached+unix://").expect("the address of a unix socket");
    expect(&mut UnixStream::connect(path).expect("the server listens"), "version\r\n", "VERSION 1.6.99-test\r\n");
    drop(server);
    assert!(!std::path::Path::new(path).exists());

    // Not every machine has it.
    if std::net::UdpSocket::bind("[::1]:0").is_ok() {
        let server = EmbeddedServer::with().ipv6().start();
        assert!(server.address().starts_with("[::1]:"), "{}", server.address());
        expect(&mut connect(&server), "version\r\n", "VERSION 1.6.18\r\n");
    }
}

#[test]
fn a_stopped_server_hangs_up_and_listens_no_more() {
    let mut server = EmbeddedServer::start();
    let mut idle = connect(&server);
    expect(&mut idle, "set a 0 0 1\r\nx\r\n", "STORED\r\n");
    // Its thread is in the middle of a write.
    let mut deaf = connect(&server);
    expect(&mut deaf, "set b 0 0 500000\r\n", "");
    deaf.write_all(&[b'x'; 500_000]).expect("the server reads");
    expect(&mut deaf, "\r\n", "STORED\r\n");
    deaf.write_all("get b\r\n".repeat(100).as_bytes()).expect("the server reads");
    server.stop();
    assert_eq!(idle.read(&mut [0]).expect("the end"), 0);
    assert!(TcpStream::connect(server.address()).is_err());
    server.stop();

    let address = server.address();
    server.restart();
    assert_eq!(server.address(), address);
    expect(&mut connect(&server), "get a\r\n", "END\r\n");
    server.restart();
    assert_eq!((stat(&server, "total_connections"), server.connections()), ("1".to_owned(), 4));
}

#[test]
fn time_goes_by_the_clock() {
    let server = EmbeddedServer::with().clock(Clock::manual(START)).start();
    let mut stream = connect(&server);
    expect(&mut stream, "set a 0 10 1\r\nx\r\nmg a t\r\n", "STORED\r\nHD t10\r\n");
    server.clock().advance(Duration::from_millis(9500));
    expect(&mut stream, "mg a t\r\nmg a T20 t\r\n", "HD t1\r\nHD t20\r\n");
    server.clock().advance(Duration::from_millis(10_500));
    expect(&mut stream, "mg a t l\r\n", "HD t9 l11\r\n");
    server.clock().advance(Duration::from_secs(10));
    expect(&mut stream, "mg a t\r\nset b 0 0 1\r\nx\r\nflush_all 5\r\n", "EN\r\nSTORED\r\nOK\r\n");
    assert_eq!((stat(&server, "time"), stat(&server, "uptime")), ((START + 30).to_string(), "32".to_owned()));
    server.clock().advance(Duration::from_secs(3));
    expect(&mut stream, "get b\r\n", "VALUE b 0 1\r\nx\r\nEND\r\n");
    server.clock().advance(Duration::from_secs(2));
    expect(&mut stream, "get b\r\n", "END\r\n");
}

#[test]
fn what_has_expired_stays_so_however_far_time_goes() {
    for clock in [Clock::manual(START), Clock::system()] {
        let server = EmbeddedServer::with().clock(clock).start();
        let mut stream = connect(&server);
        expect(&mut stream, "set k 0 60 1\r\n1\r\nset for_ever 0 0 1\r\n1\r\n", "STORED\r\nSTORED\r\n");
        let mut before = server.clock().unix_seconds();
        for by in [Duration::from_secs(1 << 32), Duration::from_secs(1 << 33), Duration::MAX, Duration::MAX] {
            server.clock().advance(by);
            let now = server.clock().unix_seconds();
            assert!(now >= before, "{by:?} after {before} is {now}");
            before = now;
            expect(&mut stream, "get k for_ever\r\n", "VALUE for_ever 0 1\r\n1\r\nEND\r\n");
            expect(&mut stream, "set new 0 -1 1\r\n1\r\nget new\r\n", "STORED\r\nEND\r\n");
        }
    }
}

#[cfg(unix)]
#[test]
fn refused_connections_are_accepted_again_and_open_ones_go_on() {
    for setup in [EmbeddedServer::with(), EmbeddedServer::with().unix_socket()] {
        let connect = |server: &EmbeddedServer| match server.address().strip_prefix("memcached+unix://") {
            Some(path) => UnixStream::connect(path).map(|stream| Box::new(stream) as Box<dyn Stream>),
            None => TcpStream::connect(server.address()).map(|stream| Box::new(stream) as Box<dyn Stream>),
        };
        let mut server = setup.start();
        let address = server.address();
        let mut open = connect(&server).expect("the server listens");
        for _ in 0..3 {
            server.set_faults(Faults::none().refuse());
            let refused = connect(&server).map(|_| ()).expect_err("nobody listens");
            assert_eq!(refused.kind(), io::ErrorKind::ConnectionRefused);
            server.set_faults(Faults::none().refuse().full());
            expect(&mut open, "version\r\n", "VERSION 1.6.18\r\n");

            server.set_faults(Faults::none());
            expect(&mut connect(&server).expect("the server listens"), "version\r\n", "VERSION 1.6.18\r\n");
        }
        server.set_faults(Faults::none().refuse());
        server.restart();
        assert!(connect(&server).is_err(), "it refuses after a restart");
        server.stop();
        server.set_faults(Faults::none());
        assert!(connect(&server).is_err(), "it is stopped");
        server.restart();
        assert_eq!(server.address(), address);
        expect(&mut connect(&server).expect("the server listens"), "version\r\n", "VERSION 1.6.18\r\n");
    }
}

#[cfg(unix)]
#[test]
fn connections_are_refused_though_a_process_that_starts_has_the_socket() {
    let mut server = EmbeddedServer::start();
    let has_listener = || server.shared.lock().listener.as_ref().map(|listener| listener.try_clone().unwrap());
    let inherited = has_listener().expect("it listens");
    server.set_faults(Faults::none().refuse());
    assert_eq!(TcpStream::connect(server.address()).unwrap_err().kind(), io::ErrorKind::ConnectionRefused);
    server.set_faults(Faults::none());
    let inherited = (inherited, has_listener().expect("it listens again"));
    server.stop();
    assert_eq!(TcpStream::connect(server.address()).unwrap_err().kind(), io::ErrorKind::ConnectionRefused);
    drop(inherited);
}

/// A connection of either kind.
#[cfg(unix)]
trait Stream: Read + Write {}

#[cfg(unix)]
impl<S: Read + Write> Stream for S {}

#[test]
fn a_delayed_answer_waits_until_other_faults_are_set_and_delays_no_other_connection() {
    let server = EmbeddedServer::start();
    let (mut slow, mut fast) = (connect(&server), connect(&server));
    server.set_faults(Faults::none().delay_of("get", Duration::MAX));
    expect(&mut slow, "set a 0 0 1\r\nx\r\n", "STORED\r\n");
    expect(&mut slow, "mg a v\r\n", "");
    while server.asked_of("get").is_empty() {
        thread::yield_now();
    }
    expect(&mut fast, "delete a\r\n", "DELETED\r\n");
    slow.set_read_timeout(Some(Duration::from_millis(1))).expect("a millisecond is a valid timeout");
    assert!(slow.read(&mut [0]).is_err(), "the answer waits");

    slow.set_read_timeout(Some(Duration::from_secs(10))).expect("ten seconds are a valid timeout");
    server.set_faults(Faults::none());
    expect(&mut slow, "", "VA 1\r\nx\r\n");

    server.set_faults(Faults::none().delay(Duration::from_millis(20)));
    let start = std::time::Instant::now();
    expect(&mut fast, "version\r\n", "VERSION 1.6.18\r\n");
    assert!(start.elapsed() >= Duration::from_millis(20));
    // A server ends, though its answers wait for ever.
    server.set_faults(Faults::none().delay(Duration::MAX));
    expect(&mut fast, "get a\r\n", "");
}

#[test]
fn a_connection_above_the_limit_is_told_so_and_closed() {
    let server = EmbeddedServer::start();
    let mut open = connect(&server);
    expect(&mut open, "version\r\n", "VERSION 1.6.18\r\n");
    server.set_faults(Faults::none().max_connections(1));
    let mut told = String::new();
    connect(&server).read_to_string(&mut told).expect("the end");
    assert_eq!(told, "ERROR Too many open connections\r\n");
    expect(&mut open, "version\r\n", "VERSION 1.6.18\r\n");
    server.set_faults(Faults::none().max_connections(2));
    expect(&mut connect(&server), "version\r\n", "VERSION 1.6.18\r\n");
    assert_eq!(server.connections(), 2);
}

#[test]
fn each_connection_is_closed_at_the_request_after_the_last_that_is_answered() {
    let server = EmbeddedServer::start();
    let mut before = connect(&server);
    expect(&mut before, "set a 0 0 1\r\nx\r\n", "STORED\r\n");
    server.set_faults(Faults::none().close_after(1));
    for mut stream in [before, connect(&server)] {
        expect(&mut stream, "version\r\nmn\r\ndelete a\r\n", "VERSION 1.6.18\r\nMN\r\n");
        let mut answer = String::new();
        stream.write_all(b"set a 0 0 1\r\nx\r\n").expect("the server reads");
        // A reset, if the server has closed before it has read everything.
        let _ = stream.read_to_string(&mut answer);
        assert!(matches!(&*answer, "DELETED\r\n" | "NOT_FOUND\r\n"), "{answer:?}");
    }
    server.set_faults(Faults::none());
    expect(&mut connect(&server), "get a\r\n", "END\r\n");
}

#[test]
fn an_assertion_shows_what_was_asked_and_what_was_not() {
    let (server, mut stream) = EmbeddedServer::with_client(TcpStream::connect);
    expect(&mut stream, "get a\r\nget a\r\ntouch b 10\r\n", "END\r\nEND\r\nNOT_FOUND\r\n");
    server.assert_asked(["get a", "get a", "touch b"]);
    assert_eq!(server.asked_of("get"), ["get a", "get a"]);
    assert_eq!(server.asked_of("touch")[0].exptime(), Some(10));

    let failed = std::panic::catch_unwind(std::panic::AssertUnwindSafe(|| {
        server.assert_asked(["get a", "touch b", "delete c"]);
    }));
    let message = failed.expect_err("the lists differ").downcast::<String>().expect("a message");
    assert!(message.ends_with("expected:\n  get a\n+ get a\n  touch b\n- delete c"), "{message}");

    server.clear_asked();
    server.assert_asked([""; 0]);
}
