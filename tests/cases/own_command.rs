//! A command with a key that a vendor has added, written outside of the crates.

use std::time::Duration;

use memcached2_proto::command::{Command, Keyed, RequestBuffer};
use memcached2_proto::reply::{Reply, ReplyKind};
use memcached2_proto::{Error, Key, Landed, Now, Protocol, Value};
use memcached2_testkit::{ScriptedServer, Session, assert_matches};

use super::setting::{PATIENT, forgetful};
use crate::subject::Client;

super::cases! {
    served {}
    scripted {
        an_own_command_with_a_key_is_run_in_both_protocols,
        an_unexpected_reply_to_an_own_command_is_an_error_that_names_it,
    }
}

/// Fetches a part of a value; the example of `Keyed`.
#[derive(Debug, Clone, Copy)]
struct GetRange<'k> {
    key: Key<'k>,
    first: u64,
    last: u64,
}

impl Command for GetRange<'_> {
    type Response = Option<Value>;

    fn encode(&self, protocol: Protocol, _: Now, out: &mut RequestBuffer) -> Result<ReplyKind, Error> {
        out.put(b"getrange ");
        out.ask_key(self.key);
        out.put(format!(" {} {}\r\n", self.first, self.last).as_bytes());
        if protocol == Protocol::Meta {
            out.put_fence(self.key);
        }
        Ok(ReplyKind::Value)
    }

    fn answer(&self, reply: Reply) -> Result<Option<Value>, Error> {
        match reply {
            Reply::Value(_, value) => Ok(Some(value)),
            Reply::Miss => Ok(None),
            other => Err(other.into_error()),
        }
    }

    fn name(&self) -> &'static str {
        "getrange"
    }

    fn only_key(&self) -> Option<Key<'_>> {
        Some(self.key)
    }

    fn repeatable(&self) -> bool {
        true
    }
}

impl Keyed for GetRange<'_> {
    fn key(&self) -> Key<'_> {
        self.key
    }
}

fn range() -> GetRange<'static> {
    GetRange { key: Key::new("a").expect("a key"), first: 1, last: 3 }
}

/// A client with a prefix that speaks one protocol to the server.
fn client(server: &ScriptedServer, protocol: Protocol) -> Client {
    let options = forgetful(PATIENT).connect_timeout(Duration::from_secs(10)).protocol(protocol).prefix("p:");
    Client::with_options([server.address()], options).expect("the address is right")
}

fn an_own_command_with_a_key_is_run_in_both_protocols() {
    let hit = "VALUE p:a 7 3\r\nell\r\nEND\r\n";
    let asked = "getrange p:a 1 3\r\n";
    let fence = |opaque: &str| format!("md p:a C18446744073709551615 O{opaque}\r\n");
    let classic = Session::new().expect(asked).send(hit).expect(asked).send("END\r\n");
    let meta = Session::new()
        .expect(format!("{asked}{}", fence("0000")))
        .send(format!("{hit}NF O0000\r\n"))
        .expect(format!("{asked}{}", fence("0001")))
        .send("END\r\nNF O0001\r\n");
    for (protocol, session) in [(Protocol::Classic, classic), (Protocol::Meta, meta)] {
        let server = ScriptedServer::start([session]);
        let client = client(&server, protocol);
        let part = client.run(range()).unwrap().expect("a hit");
        assert_eq!((part.data(), part.flags), (&b"ell"[..], 7), "{protocol:?}");
        assert_eq!(client.run(range()), Ok(None), "{protocol:?}");
        drop(client);
        server.finish();
    }
}

fn an_unexpected_reply_to_an_own_command_is_an_error_that_names_it() {
    let session = Session::new().expect("getrange p:a 1 3\r\n").send("ERROR\r\n");
    let server = ScriptedServer::start([session]);
    let client = client(&server, Protocol::Classic);
    let error = client.run(range()).unwrap_err();
    assert_matches!(&error, Error::Refused { line, landed: Landed::Refused, .. } if **line == *"ERROR");
    assert_eq!((error.command(), error.key()), (Some("getrange"), Some("a")));
    drop(client);
    server.finish();
}
