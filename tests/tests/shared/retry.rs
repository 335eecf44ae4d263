//! A read that is asked again since its connection was dead.

use futures::future::join_all;
use memcached2_proto::{Options, Protocol};
use memcached2_testkit::{Gate, ScriptedServer, Session};

use super::PATIENT;
use crate::subject::{AsyncClient, block_on};

#[test]
fn a_read_is_repeated_on_a_connection_begun_since() {
    const HIT: &str = "VALUE a 0 3\r\none\r\nEND\r\n";
    block_on(|| async {
        let hit = || Session::new().expect("get a\r\n").send(HIT);
        let two = |session: Session| session.expect("get a\r\nget a\r\n");
        // One connection dies under two requests. The other may be dead, too, as far as anybody knows: until both are
        // answered by a third one, it keeps its own two waiting.
        let repeated = Gate::new("both are repeated");
        let sessions = [
            two(hit()).close(),
            two(hit().expect("get a\r\n").send(HIT)).wait(&repeated).send(HIT.repeat(2)).expect("quit\r\n"),
            two(Session::new()).open(&repeated).send(HIT.repeat(2)).expect("quit\r\n"),
        ];
        let server = ScriptedServer::start(sessions);
        let options = Options::default().timeout(PATIENT).protocol(Protocol::Classic).shared_connections(2);
        let client = AsyncClient::with_options([server.address()], options).expect("the address is right");
        for calls in [1, 1, 1, 4] {
            for found in join_all((0..calls).map(|_| client.get("a"))).await {
                assert_eq!(found.unwrap().expect("a hit"), "one");
            }
        }
        assert!(client.close(PATIENT).await);
        server.finish();
    });
}
