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
