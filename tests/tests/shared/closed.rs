//! What closing does to calls that are under way.

use memcached2_testkit::assert_matches;
use std::time::Duration;

use futures::future::join;
use memcached2_proto::{Error, Landed, Options, Protocol};
use memcached2_testkit::{EmbeddedServer, Gate, ScriptedServer, Session};

use super::{PATIENT, some_polls};
use crate::subject::{AsyncClient, block_on, client_of};

fn text_client(server: &ScriptedServer) -> AsyncClient {
    let options = Options::default().timeout(PATIENT).protocol(Protocol::Classic);
    client_of([server.address()], options).expect("the address is right")
}

#[test]
fn a_call_that_is_under_way_ends_before_its_client_has_closed() {
    block_on(|| async {
        let (asked, answer) = (Gate::new("asked"), Gate::new("answer"));
        let play = Session::new().expect("get a\r\n").open(&asked).wait(&answer).send("VALUE a 0 1\r\nx\r\nEND\r\n");
        let server = ScriptedServer::start([play.expect("quit\r\n")]);
        let client = text_client(&server);
        let close = async {
            asked.opened().await;
            let mut closing = Box::pin(client.close(PATIENT));
            assert_eq!(some_polls(&mut closing, 100).await, None, "closed while a call is under way");
            assert_matches!(client.get("b").await, Err(Error::Closed { .. }));
            answer.open();
            assert!(closing.await);
        };
        let (hit, ()) = join(client.get("a"), close).await;
        assert_eq!(hit.unwrap().expect("a hit"), "x");
        server.finish();
    });
}

#[test]
fn a_call_of_a_server_that_has_left_the_list_ends_before_its_client_has_closed() {
    block_on(|| async {
        let (asked, answer) = (Gate::new("asked"), Gate::new("answer"));
        let play = Session::new().expect("get a\r\n").open(&asked).wait(&answer).send("VALUE a 0 1\r\nx\r\nEND\r\n");
        let (server, other) = (ScriptedServer::start([play.expect("quit\r\n")]), EmbeddedServer::start());
        let client = text_client(&server);
        let close = async {
            asked.opened().await;
            client.set_servers([other.address()]).unwrap();
            let mut closing = Box::pin(client.close(PATIENT));
            assert_eq!(some_polls(&mut closing, 100).await, None, "closed while a call is under way");
            answer.open();
            assert!(closing.await);
        };
        let (hit, ()) = join(client.get("a"), close).await;
        assert_eq!(hit.unwrap().expect("a hit"), "x");
        server.finish();
    });
}

#[test]
fn a_call_that_outlasts_the_closing_learns_what_became_of_it() {
    block_on(|| async {
        let asked = Gate::new("asked");
        let server = ScriptedServer::start([Session::new().expect("delete a\r\n").open(&asked).ignore()]);
        let client = text_client(&server);
        let close = async {
            asked.opened().await;
            let mut closing = Box::pin(client.close(Duration::from_millis(50)));
            assert_eq!(some_polls(&mut closing, 1).await, None, "closed while a call is under way");
            // A call that comes too late makes it forget none of the connections.
            assert_matches!(client.get("b").await, Err(Error::Closed { .. }));
            closing.await
        };
        let (deleted, closed) = join(client.delete("a"), close).await;
        let error = deleted.unwrap_err();
        assert!(!closed);
        assert!(matches!(error, Error::Disconnected { landed: Landed::Unknown, .. }), "{error:?}");
        assert!(client.close(PATIENT).await);
        server.finish();
    });
}
