use std::io::{ErrorKind, Read, Write};
use std::net::TcpStream;
#[cfg(unix)]
use std::os::unix::net::UnixStream;
use std::panic;

use super::*;

fn connect(server: &Memcached) -> TcpStream {
    let stream = TcpStream::connect(server.address()).expect("memcached listens");
    stream.set_read_timeout(Some(Duration::from_secs(10))).expect("ten seconds are a valid timeout");
    stream
}

fn ask(stream: &mut (impl Read + Write), question: &str, end: &str) -> String {
    stream.write_all(question.as_bytes()).expect("memcached reads");
    let mut answer = Vec::new();
    while !answer.ends_with(end.as_bytes()) {
        let mut byte = [0];
        stream.read_exact(&mut byte).expect("memcached answers");
        answer.push(byte[0]);
    }
    String::from_utf8(answer).expect("memcached answers in text")
}

#[test]
fn a_server_answers_as_soon_as_it_has_started() {
    assert!(Memcached::installed());
    let server = Memcached::start();
    let stats = ask(&mut connect(&server), "stats\r\n", "END\r\n");
    assert!(stats.contains(&format!("STAT pid {}\r\n", server.pid())), "{stats}");
    assert!(stats.contains("STAT threads 2\r\n"), "{stats}");
}

#[test]
fn servers_which_start_at_once_do_not_disturb_each_other() {
    let threads: Vec<_> = (0..8).map(|_| thread::spawn(Memcached::start)).collect();
    let servers: Vec<_> = threads.into_iter().map(|thread| thread.join().expect("every server starts")).collect();
    for server in &servers {
        let stats = ask(&mut connect(server), "stats\r\n", "END\r\n");
        assert!(stats.contains(&format!("STAT pid {}\r\n", server.pid())), "{stats}");
    }
}

#[test]
fn arguments_overrule_those_of_the_testkit() {
    let server = Memcached::with().threads(1).args(["-I", "2m", "-m", "64"]).start();
    let settings = ask(&mut connect(&server), "stats settings\r\n", "END\r\n");
    for setting in ["item_size_max 2097152", "maxbytes 67108864", "num_threads 1"] {
        assert!(settings.contains(setting), "{setting} is not in {settings}");
    }
}

#[test]
fn a_server_listens_on_ipv6() {
    let server = Memcached::with().ipv6().start();
    assert!(server.address().starts_with("[::1]:"), "{}", server.address());
    let answer = ask(&mut connect(&server), "version\r\n", "\r\n");
    assert!(answer.starts_with("VERSION "), "{answer}");
}

#[cfg(unix)]
#[test]
fn a_unix_socket_survives_a_restart_and_not_the_server() {
    let mut server = Memcached::with().unix_socket().start();
    server.restart();
    let address = server.address();
    let path = address.strip_prefix("memcached+unix://").expect("the address names its scheme");
    let mut stream = UnixStream::connect(path).expect("memcached listens");
    let answer = ask(&mut stream, "version\r\n", "\r\n");
    assert!(answer.starts_with("VERSION "), "{answer}");
    drop(server);
    assert!(!fs::exists(path).expect("the directory can be read"));
}

#[test]
fn a_suspended_server_is_silent_until_it_is_resumed() {
    let server = Memcached::start();
    let mut stream = connect(&server);
    ask(&mut stream, "version\r\n", "\r\n");
    server.suspend();
    server.suspend();
    stream.write_all(b"version\r\n").expect("the kernel takes it");
    stream.set_read_timeout(Some(Duration::from_millis(50))).expect("fifty milliseconds are a valid timeout");
    let error = stream.read(&mut [0]).expect_err("nobody answers");
    assert_eq!(error.kind(), ErrorKind::WouldBlock);
    server.resume();
    stream.set_read_timeout(Some(Duration::from_secs(10))).expect("ten seconds are a valid timeout");
    assert!(ask(&mut stream, "", "\r\n").starts_with("VERSION "));
    server.suspend();
}

#[test]
fn a_restart_keeps_the_address_and_loses_the_items() {
    let mut server = Memcached::start();
    let (address, pid) = (server.address(), server.pid());
    let mut stream = connect(&server);
    assert_eq!(ask(&mut stream, "set a 0 0 1\r\nx\r\n", "\r\n"), "STORED\r\n");
    server.suspend();
    server.restart();
    assert_eq!(server.address(), address);
    assert_ne!(server.pid(), pid);
    assert_eq!(stream.read(&mut [0]).unwrap_or(0), 0);
    assert_eq!(ask(&mut connect(&server), "get a\r\n", "END\r\n"), "END\r\n");
}

#[test]
fn a_stopped_server_refuses_connections_until_it_is_restarted() {
    let mut server = Memcached::start();
    server.stop();
    server.stop();
    let error = TcpStream::connect(server.address()).expect_err("nobody listens");
    assert_eq!(error.kind(), ErrorKind::ConnectionRefused);
    server.restart();
    ask(&mut connect(&server), "version\r\n", "\r\n");
}

#[test]
fn a_server_that_asks_for_a_password_starts() {
    if Memcached::is_too_old_for("a_server_that_asks_for_a_password_starts", (1, 5, 15)) {
        return;
    }
    let mut server = Memcached::with().credentials("user", "password").start();
    for _ in 0..2 {
        let mut stream = connect(&server);
        assert_eq!(ask(&mut stream, "version\r\n", "\r\n"), "CLIENT_ERROR unauthenticated\r\n");
        assert_eq!(ask(&mut stream, "set a 0 0 13\r\nuser password\r\n", "\r\n"), "STORED\r\n");
        server.restart();
    }
}

#[test]
fn a_failed_start_reports_what_memcached_prints() {
    let fault = panic::catch_unwind(|| Memcached::with().args(["-I", "1"]).start())
        .expect_err("memcached refuses items of one byte");
    let what = fault.downcast::<String>().expect("start panics with text");
    assert!(what.contains("it has ended with exit status"), "{what}");
    assert!(what.contains("Item max size"), "{what}");
}
