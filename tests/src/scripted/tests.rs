use std::io::{Read, Write};
use std::panic::{self, AssertUnwindSafe};
use std::pin::pin;
use std::task::{Context, Wake, Waker};
use std::thread::Thread;

use super::*;

const SHORT: Duration = Duration::from_millis(200);

fn connect(server: &ScriptedServer) -> TcpStream {
    let stream = TcpStream::connect(server.socket_addr()).expect("the server listens");
    stream.set_read_timeout(Some(PATIENCE)).expect("ten seconds are a valid timeout");
    stream
}

fn say(stream: &mut TcpStream, bytes: &str) {
    stream.write_all(bytes.as_bytes()).expect("the server reads");
}

fn read_reply(stream: &mut TcpStream) -> String {
    let mut bytes = Vec::new();
    stream.read_to_end(&mut bytes).expect("the server closes");
    String::from_utf8(bytes).expect("the scripts send text")
}

fn read_exactly(stream: &mut TcpStream, size: usize) -> String {
    let mut bytes = vec![0; size];
    stream.read_exact(&mut bytes).expect("the server sends");
    String::from_utf8(bytes).expect("the scripts send text")
}

/// Returns what `finish` complains about.
fn complaint(server: ScriptedServer) -> String {
    let fault = panic::catch_unwind(AssertUnwindSafe(|| server.finish()))
        .expect_err("the script was not followed, and finish must say so");
    *fault.downcast::<String>().expect("finish panics with text")
}

fn block_on(future: impl Future<Output = ()>) {
    struct Unpark(Thread);
    impl Wake for Unpark {
        fn wake(self: Arc<Self>) {
            self.0.unpark();
        }
    }
    let waker = Waker::from(Arc::new(Unpark(thread::current())));
    let mut future = pin!(future);
    while future.as_mut().poll(&mut Context::from_waker(&waker)).is_pending() {
        thread::park_timeout(PATIENCE);
    }
}

#[test]
fn sessions_are_played_in_the_order_of_acceptance() {
    let server = ScriptedServer::start([
        Session::new().expect("get a\r\n").send("END\r\n").close(),
        Session::new().expect("get b\r\n").send_split("NOT END\r\n", 4),
    ]);
    let mut first = connect(&server);
    let mut second = connect(&server);
    say(&mut second, "get b\r\n");
    assert_eq!(read_exactly(&mut second, 9), "NOT END\r\n");
    say(&mut first, "get a\r\n");
    assert_eq!(read_reply(&mut first), "END\r\n");
    assert_eq!(server.connections(), 2);
    drop(second);
    server.finish();
}

#[test]
fn a_command_may_come_in_pieces() {
    let server = ScriptedServer::start([Session::new().expect("get a\r\n").send_byte_by_byte("END\r\n").close()]);
    let mut client = connect(&server);
    for piece in ["g", "et ", "a\r", "\n"] {
        say(&mut client, piece);
    }
    assert_eq!(read_reply(&mut client), "END\r\n");
    server.finish();
}

#[test]
fn a_wrong_command_fails_the_script_and_closes_the_connection() {
    let server = ScriptedServer::start([Session::new().expect("get a\r\n"), Session::new().expect("get c\r\n")]);
    let mut client = connect(&server);
    say(&mut client, "get b\r\n");
    assert_eq!(read_reply(&mut client), "");
    let address = server.address();
    assert_eq!(
        complaint(server),
        format!(
            "the script of {address} was not followed:\n  session 1, step 1 of 1 (`expect`): \
             expected \"get a\\r\\n\", got \"get b\\r\\n\""
        )
    );
}

#[test]
fn a_command_cut_short_fails_the_script() {
    let server = ScriptedServer::start([Session::new().expect("get a\r\n")]);
    say(&mut connect(&server), "get");
    let what = complaint(server);
    assert!(what.ends_with("expected \"get a\\r\\n\", got \"get\", then the peer closed the connection"), "{what}");
}

#[test]
fn a_command_that_does_not_come_fails_the_script() {
    let server = ScriptedServer::patient([Session::new().expect("get a\r\n")], SHORT);
    let mut client = connect(&server);
    assert_eq!(read_reply(&mut client), "");
    let what = complaint(server);
    assert!(what.ends_with("got \"\", then nothing happened for 200ms"), "{what}");
}

#[test]
fn unscripted_bytes_fail_the_end_a_stall_and_an_expected_close() {
    for session in [Session::new(), Session::new().stall(), Session::new().expect_close()] {
        let server = ScriptedServer::start([session]);
        say(&mut connect(&server), "quit\r\n");
        let what = complaint(server);
        assert!(what.ends_with("nothing but the close of the connection, got \"quit\\r\\n\""), "{what}");
    }
}

#[test]
fn a_client_that_stays_fails_the_script() {
    let server = ScriptedServer::patient([Session::new()], SHORT);
    let client = connect(&server);
    let what = complaint(server);
    assert!(what.contains("session 1, the end of the script"), "{what}");
    drop(client);
}

#[test]
fn a_session_that_never_begins_fails_the_script() {
    let server = ScriptedServer::patient([Session::new(), Session::new()], SHORT);
    drop(connect(&server));
    let what = complaint(server);
    assert!(what.ends_with("\n  session 2 never began"), "{what}");
}

#[test]
fn a_connection_too_many_is_closed_and_fails_the_script() {
    let server = ScriptedServer::start([]);
    let mut client = connect(&server);
    assert_eq!(read_reply(&mut client), "");
    let what = complaint(server);
    assert!(what.ends_with("connection 1 was opened, the script has 0"), "{what}");
}

#[test]
fn a_connection_too_many_is_seen_even_if_it_came_just_now() {
    for _ in 0..100 {
        let server = ScriptedServer::start([Session::new()]);
        drop(connect(&server));
        let late = connect(&server);
        let what = complaint(server);
        assert!(what.ends_with("connection 2 was opened, the script has 1"), "{what}");
        drop(late);
    }
}

#[test]
fn a_drop_checks_the_script_unless_it_is_panicking() {
    let server = ScriptedServer::patient([Session::new()], SHORT);
    let fault = panic::catch_unwind(AssertUnwindSafe(|| drop(server)))
        .expect_err("the session never began, and the drop must say so");
    let what = fault.downcast::<String>().expect("a drop panics with text");
    assert!(what.ends_with("session 1 never began"), "{what}");

    let server = ScriptedServer::start([Session::new()]);
    let fault = panic::catch_unwind(AssertUnwindSafe(|| {
        let _server = server;
        panic!("the test's own");
    }));
    let what = fault.expect_err("the closure panics");
    assert_eq!(what.downcast_ref::<&str>(), Some(&"the test's own"));
}

#[test]
fn a_line_without_end_stops_when_the_peer_closes() {
    let server = ScriptedServer::start([Session::new().send_repeated("0123456789", usize::MAX)]);
    let mut client = connect(&server);
    assert_eq!(read_exactly(&mut client, 12), "012345678901");
    drop(client);
    server.finish();
}

#[test]
fn repeated_bytes_come_as_often_as_they_should() {
    let times = 100_000;
    let server = ScriptedServer::start([Session::new().send_repeated("abc", times).close()]);
    assert_eq!(read_reply(&mut connect(&server)), "abc".repeat(times));
    server.finish();
}

#[test]
fn an_orderly_close_is_no_reset_even_with_bytes_unread() {
    let sent = Gate::new("the client has sent more than the server reads");
    let server = ScriptedServer::start([Session::new().send("BYE\r\n").wait(&sent).close()]);
    let mut client = connect(&server);
    say(&mut client, "get a\r\nget b\r\n");
    sent.open();
    assert_eq!(read_reply(&mut client), "BYE\r\n");
    server.finish();
}

#[test]
fn a_reset_is_seen_as_one() {
    let server = ScriptedServer::start([Session::new().expect("get a\r\n").reset()]);
    let mut client = connect(&server);
    say(&mut client, "get a\r\n");
    let error = client.read(&mut [0]).expect_err("the server resets");
    assert_eq!(error.kind(), ErrorKind::ConnectionReset);
    server.finish();
}

#[test]
fn whatever_comes_is_ignored() {
    let server = ScriptedServer::start([Session::new().ignore()]);
    let mut client = connect(&server);
    say(&mut client, &"set a 0 0 5\r\nhello\r\n".repeat(10_000));
    drop(client);
    server.finish();
}

#[test]
fn gates_hold_the_server_and_tell_where_it_is() {
    let asked = Gate::new("the server has the request");
    let go_on = Gate::new("the server may answer");
    let gone = Gate::new("the client is gone");
    let server = ScriptedServer::start([Session::new()
        .expect("get a\r\n")
        .open(&asked)
        .wait(&go_on)
        .send("END\r\n")
        .expect_close()
        .open(&gone)]);
    let mut client = connect(&server);
    say(&mut client, "get a\r\n");
    asked.wait();
    client.set_nonblocking(true).expect("a socket can do this");
    let error = client.read(&mut [0]).expect_err("the server is held");
    assert_eq!(error.kind(), ErrorKind::WouldBlock);
    client.set_nonblocking(false).expect("a socket can do this");
    go_on.open();
    assert_eq!(read_exactly(&mut client, 5), "END\r\n");
    assert!(!gone.is_open());
    drop(client);
    gone.wait();
    server.finish();
}

#[test]
fn a_closed_gate_fails_the_script() {
    let gate = Gate::new("pigs fly");
    let server = ScriptedServer::patient([Session::new().wait(&gate)], SHORT);
    let mut client = connect(&server);
    assert_eq!(read_reply(&mut client), "");
    let what = complaint(server);
    assert!(what.ends_with("step 1 of 1 (`wait`): the gate \"pigs fly\" was not opened within 200ms"), "{what}");
}

#[test]
fn a_future_waits_for_a_gate_and_for_the_end() {
    let asked = Gate::new("the server has the request");
    let server = ScriptedServer::start([Session::new().expect("get a\r\n").open(&asked).close()]);
    let mut client = connect(&server);
    say(&mut client, "get a\r\n");
    block_on(async move {
        asked.opened().await;
        server.finished().await;
    });
}
