//! A read that is asked again since its connection was dead.

use futures::future::{join, join_all, join3};
use memcached2_proto::{Error, Expiry, Options, Protocol};
use memcached2_testkit::{Gate, ScriptedServer, Session};

use super::PATIENT;
use crate::subject::{block_on, client_of};

/// A connection that was closed because of one caller's error line is no failure of the server: reads of other callers
/// are retried, and the server stays up.
#[test]
fn an_error_line_that_ends_a_connection_costs_its_caller_alone() {
    block_on(|| async {
        let first = Session::new().expect("set a 0 0 1\r\nx\r\nget b\r\nget b\r\n").send("SERVER_ERROR busy\r\n");
        // Either of the two reads can be the first to be sent again.
        let second = Session::new()
            .expect("get b\r\nget b\r\n")
            .send("VALUE b 0 1\r\ny\r\nEND\r\nEND\r\n")
            .expect("get d\r\n")
            .send("END\r\n")
            .expect("quit\r\n");
        let server = ScriptedServer::start([first, second]);
        let options = Options::default().timeout(PATIENT).protocol(Protocol::Classic);
        let client = client_of([server.address()], options).expect("the address is right");
        let (stored, one, other) = join3(client.set("a", "x", Expiry::Never), client.get("b"), client.get("b")).await;
        assert!(matches!(stored, Err(Error::Refused { .. })), "{stored:?}");
        let (one, other) = (one.unwrap(), other.unwrap());
        assert!(one.is_some() != other.is_some() && one.or(other).expect("a hit") == "y");
        assert_eq!(client.get("d").await, Ok(None));
        assert!(client.close(PATIENT).await);
        server.finish();
    });
}

/// twemproxy closes a connection after such a line; the replies to what it has read still come.
#[test]
fn a_connection_that_the_server_is_about_to_close_gives_the_replies_that_are_under_way() {
    block_on(|| async {
        let first = Session::new()
            .expect("get a b\r\nincr c 1\r\n")
            .send("SERVER_ERROR Connection refused\r\n")
            .send("7\r\n")
            .close();
        let server =
            ScriptedServer::start([first, Session::new().expect("get d\r\n").send("END\r\n").expect("quit\r\n")]);
        let options = Options::default().timeout(PATIENT).protocol(Protocol::Classic);
        let client = client_of([server.address()], options).expect("the address is right");
        let (many, counted) = join(client.get_many(&["a", "b"]), client.incr("c", 1)).await;
        assert!(many.unwrap().into_iter().all(|result| matches!(result, Err(Error::Refused { .. }))));
        assert_eq!(counted, Ok(Some(7)));
        assert_eq!(client.get("d").await, Ok(None));
        assert!(client.close(PATIENT).await);
        server.finish();
    });
}

#[test]
fn a_read_is_repeated_on_a_connection_begun_since() {
    const HIT: &str = "VALUE a 0 3\r\none\r\nEND\r\n";
    block_on(|| async {
        let hit = || Session::new().expect("get a\r\n").send(HIT);
        let two = |session: Session| session.expect("get a\r\nget a\r\n");
        // One connection dies under two requests, once the last call was sent on the other one: a later call would open a
        // third one. The other one may be dead too: until both requests are answered on a third one, its own two wait.
        let (sent, repeated) = (Gate::new("all four are sent"), Gate::new("both are repeated"));
        let sessions = [
            two(hit()).wait(&sent).close(),
            two(hit().expect("get a\r\n").send(HIT)).open(&sent).wait(&repeated).send(HIT.repeat(2)).expect("quit\r\n"),
            two(Session::new()).open(&repeated).send(HIT.repeat(2)).expect("quit\r\n"),
        ];
        let server = ScriptedServer::start(sessions);
        let options = Options::default().timeout(PATIENT).protocol(Protocol::Classic).shared_connections(2);
        let client = client_of([server.address()], options).expect("the address is right");
        for calls in [1, 1, 1, 4] {
            for found in join_all((0..calls).map(|_| client.get("a"))).await {
                assert_eq!(found.unwrap().expect("a hit"), "one");
            }
        }
        assert!(client.close(PATIENT).await);
        server.finish();
    });
}
