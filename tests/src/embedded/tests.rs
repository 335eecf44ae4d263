use std::net::TcpStream;
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

#[test]
fn a_server_listens_where_it_is_told() {
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
fn recaching_and_stale_items_have_one_winner() {
    let server = EmbeddedServer::with().clock(Clock::manual(START)).start();
    let mut stream = connect(&server);
    expect(&mut stream, "set a 0 60 1\r\nx\r\nmg a R30 t\r\n", "STORED\r\nHD t60\r\n");
    server.clock().advance(Duration::from_secs(31));
    expect(&mut stream, "mg a R30 t\r\nmg a R30 t\r\n", "HD t29 W\r\nHD t29 Z\r\n");
    expect(&mut stream, "md a I T90\r\nmg a t v\r\nmg a v\r\n", "HD\r\nVA 1 t90 X W\r\nx\r\nVA 1 Z X\r\nx\r\n");
    expect(&mut stream, "mg b N30 t\r\nmg b t\r\n", "HD t30 W\r\nHD t30 Z\r\n");
}

#[test]
fn a_full_server_evicts() {
    let server = EmbeddedServer::with().memory_limit(10_000).item_size_max(5000).start();
    let mut stream = connect(&server);
    for number in 0..30 {
        expect(&mut stream, &format!("set key{number:02} 0 0 1000\r\n{}\r\n", "x".repeat(1000)), "STORED\r\n");
        expect(&mut stream, "get key00 none\r\n", &format!("VALUE key00 0 1000\r\n{}\r\nEND\r\n", "x".repeat(1000)));
    }
    expect(&mut stream, "get key01\r\n", "END\r\n");
    assert_eq!(["curr_items", "evictions", "bytes"].map(|name| stat(&server, name)), ["9", "21", "9576"]);
    let large = format!("set key00 0 0 6000\r\n{}\r\n", "x".repeat(6000));
    expect(&mut stream, &large, "SERVER_ERROR object too large for cache\r\n");
    expect(&mut stream, "get key00\r\n", "END\r\n");
}

#[test]
fn answers_wait_for_the_block_behind_them() {
    let server = EmbeddedServer::start();
    let mut stream = connect(&server);
    stream.write_all(b"version\r\nset a 0 0 10\r\nab").expect("the server reads");
    stream.set_read_timeout(Some(Duration::from_millis(50))).expect("a valid timeout");
    assert!(stream.read(&mut [0]).is_err());
    stream.set_read_timeout(Some(Duration::from_secs(10))).expect("a valid timeout");
    expect(&mut stream, "cdefghij\r\n", "VERSION 1.6.18\r\nSTORED\r\n");
}

#[test]
fn a_line_without_an_end_is_hung_up_on_unless_it_is_a_get() {
    let server = EmbeddedServer::start();
    let keys = " a".repeat(20_000);
    for (start, answer) in [("get", "END\r\n"), ("  gets", "END\r\n"), ("gat 0", "")] {
        let mut stream = connect(&server);
        for piece in [start, &keys, "\r\n"] {
            // The server may have hung up before.
            let _ = stream.write_all(piece.as_bytes());
        }
        let mut got = vec![0; 5];
        let count = stream.read(&mut got).unwrap_or_default();
        assert_eq!(String::from_utf8_lossy(&got[..count]), answer, "{start}");
    }
}

#[test]
fn a_get_without_memory_for_its_reply_throws_away_the_replies_before_it() {
    let server = EmbeddedServer::with().out_of_response_memory(7, 1).start();
    let mut stream = connect(&server);
    expect(&mut stream, "set a 0 0 1\r\n1\r\n", "STORED\r\n");
    let line = "SERVER_ERROR out of memory writing get response\r\n";
    // Both are carried out, and the meta command behind them is answered.
    expect(&mut stream, "incr a 1\r\nincr a 1\r\nget a\r\nmg a v\r\n", &format!("{line}VA 1\r\n3\r\n"));
}

#[test]
fn a_saboteur_spoils_replies_and_not_requests() {
    let server = EmbeddedServer::with().saboteur(Saboteur::new(7, 1)).start();
    let mut stream = connect(&server);
    expect(&mut stream, "mn\r\nset a 0 0 1\r\n0\r\n", "MN\r\nSTORED\r\n");
    stream.write_all("incr a 1\r\n".repeat(200).as_bytes()).expect("the server reads");
    stream.write_all(b"quit\r\n").expect("the server reads");
    let mut spoilt = String::new();
    stream.read_to_string(&mut spoilt).expect("the server closes");
    let honest: String = (1..=200).map(|number| format!("{number}\r\n")).collect();
    assert_ne!(spoilt, honest);
    assert!(spoilt.contains("ERROR\r\n"), "{spoilt}");
    // Its first replies are right.
    expect(&mut connect(&server), "get a\r\n", "VALUE a 0 3\r\n200\r\nEND\r\n");
}
