//! Whether a server counts as down, of several connections to which only some are answered.

use std::time::Duration;

use futures::future::{join, join3};
use memcached2_proto::{Error, Options, Protocol, ReconnectPolicy};
use memcached2_testkit::{ScriptedServer, Session};

use super::PATIENT;
use crate::subject::{AsyncClient, block_on, client_of};

/// How long a call may take that is meant to fail.
const BRIEF: Duration = Duration::from_secs(1);

/// Two connections to a server that is not tried again once it is down.
fn options() -> Options {
    let reconnect = ReconnectPolicy::After(Duration::from_secs(3600));
    Options::default().timeout(PATIENT).shared_connections(2).reconnect(reconnect)
}

/// A client, its two connections open, where the next connection does not ask which protocol it speaks. The next call is that of the
/// second one.
async fn two_connections(server: &ScriptedServer) -> AsyncClient {
    let client = client_of([server.address()], options().protocol(Protocol::Classic)).expect("the address is right");
    for _ in 0..2 {
        assert_eq!(client.get("a").await, Ok(None));
    }
    client
}

fn answered(session: Session) -> Session {
    session.expect("get a\r\n").send("END\r\n")
}

#[test]
fn a_server_that_answers_on_one_connection_is_not_down_because_it_is_silent_on_another() {
    block_on(|| async {
        let quit = |session: Session| session.expect("quit\r\n");
        let silent = answered(Session::new()).expect("get a\r\n").ignore();
        let sessions = [quit(answered(answered(Session::new()))), silent, quit(answered(Session::new()))];
        let server = ScriptedServer::start(sessions);
        let client = two_connections(&server).await;
        let brief = client.with_timeout(BRIEF);
        let (silent, found) = join(brief.get("a"), client.get("a")).await;
        assert!(silent.unwrap_err().is_timeout());
        assert_eq!(found, Ok(None));
        assert_eq!(client.get("a").await, Ok(None));
        assert!(client.close(PATIENT).await);
        server.finish();
    });
}

#[test]
fn a_server_that_is_silent_on_all_connections_is_down() {
    block_on(|| async {
        let silent = || answered(Session::new()).expect("get a\r\n").ignore();
        let server = ScriptedServer::start([silent(), silent()]);
        let client = two_connections(&server).await;
        let brief = client.with_timeout(BRIEF);
        let (one, other) = join(brief.get("a"), brief.get("a")).await;
        assert!(one.unwrap_err().is_timeout() && other.unwrap_err().is_timeout());
        let error = client.get("a").await.unwrap_err();
        assert!(matches!(error, Error::Down { .. }), "{error:?}");
        server.finish();
    });
}

#[test]
fn a_server_that_answers_on_one_connection_is_not_down_because_another_one_cannot_be_opened() {
    block_on(|| async {
        let classic = || Session::new().expect_probe().send("ERROR\r\nERROR\r\n");
        let quit = |session: Session| session.expect("quit\r\n");
        let sessions = [quit(answered(answered(classic()))), Session::new().ignore(), quit(answered(classic()))];
        let server = ScriptedServer::start(sessions);
        let options = options().connect_timeout(BRIEF / 2);
        let client = client_of([server.address()], options).expect("the address is right");
        assert_eq!(client.get("a").await, Ok(None));
        let brief = client.with_timeout(BRIEF);
        let (one, other, found) = join3(brief.get("a"), brief.get("a"), client.get("a")).await;
        assert_eq!(found, Ok(None));
        for error in [one, other].map(Result::unwrap_err) {
            assert!(matches!(error, Error::Connect { .. } | Error::Timeout { .. }), "{error:?}");
        }
        assert_eq!(client.get("a").await, Ok(None));
        assert!(client.close(PATIENT).await);
        server.finish();
    });
}
