//! Requests that are not answered.

use memcached2_proto::command::{Decr, FlushAll, Incr, NoReply, Touch, Verbosity};
use memcached2_proto::operation::AllServers;
use memcached2_proto::{Delete, Error, Expiry, Landed, Protocol, Store};
use memcached2_testkit::{ScriptedServer, Session};

use super::servers::{Kind, Server, assert_hours_left};
use super::setting::{HOUR, PATIENT, forgetful};
use crate::subject::Client;

super::cases! {
    served {
        a_request_without_an_answer_has_its_effect,
        a_request_without_an_answer_leaves_the_connection_in_step_when_it_fails,
    }
    scripted {
        an_error_line_is_the_error_of_the_request_that_it_answers,
        a_server_that_closes_before_the_answer_leaves_it_unknown,
    }
}

fn speaking(protocol: Protocol, server: &Server) -> Client {
    let options = forgetful(PATIENT).protocol(protocol);
    Client::with_options([server.address()], options).expect("the address is right")
}

fn a_request_without_an_answer_has_its_effect(on: Kind) {
    for &protocol in on.protocols() {
        let server = on.start();
        let client = speaking(protocol, &server);
        let value = |key: &str| client.get_as::<String>(key).unwrap();
        client.run(NoReply(Store::set("a", "b").unwrap())).unwrap();
        client.run(NoReply(Store::add("a", "other").unwrap())).unwrap();
        client.run(NoReply(Store::append("a", "c").unwrap())).unwrap();
        client.run(NoReply(Store::prepend("a", "a").unwrap())).unwrap();
        assert_eq!(value("a").as_deref(), Some("abc"));
        client.run(NoReply(Store::replace("a", "5").unwrap())).unwrap();
        client.run(NoReply(Incr::new("a", 3).unwrap())).unwrap();
        client.run(NoReply(Decr::new("a", 1).unwrap())).unwrap();
        assert_eq!(value("a").as_deref(), Some("7"));
        client.run(NoReply(Touch::new("a", HOUR).unwrap())).unwrap();
        assert_hours_left(&server, "a", 1);
        let cas = client.gets("a").unwrap().and_then(|hit| hit.cas).expect("a hit");
        client.run(NoReply(Store::cas("a", "new", cas).unwrap())).unwrap();
        client.run(NoReply(Store::cas("a", "stale", cas).unwrap())).unwrap();
        assert_eq!(value("a").as_deref(), Some("new"));
        client.run(NoReply(Delete::new("a").unwrap())).unwrap();
        assert_eq!(value("a"), None);
        client.set("noreply", "x", Expiry::Never).unwrap();
        client.run(NoReply(Delete::new("noreply").unwrap())).unwrap();
        client.run(AllServers(NoReply(Verbosity(0)))).unwrap().into_result().unwrap();
        assert!(!server.holds("noreply"));
        client.set("a", "x", Expiry::Never).unwrap();
        client.run(AllServers(NoReply(FlushAll::now()))).unwrap().into_result().unwrap();
        assert_eq!(value("a"), None);
    }
}

fn a_request_without_an_answer_leaves_the_connection_in_step_when_it_fails(on: Kind) {
    for &protocol in on.protocols() {
        let server = on.start();
        let client = speaking(protocol, &server);
        client.set("word", "x", Expiry::Never).unwrap();
        client.run(NoReply(Incr::new("word", 1).unwrap())).unwrap();
        client.run(NoReply(Incr::new("nothing", 1).unwrap())).unwrap();
        client.run(NoReply(Delete::new("nothing").unwrap())).unwrap();
        client.run(NoReply(Store::append("nothing", "x").unwrap())).unwrap();
        // A value that is a command is none, however large.
        let value = "flush_all\r\n".repeat(200_000);
        let result = client.run(NoReply(Store::set("large", &value).unwrap()));
        assert!(matches!(result, Ok(()) | Err(Error::Refused { .. })), "{result:?}");
        assert_eq!(client.get("word").unwrap().expect("a hit"), "x");
        assert_eq!(client.get("large"), Ok(None));
    }
}

fn an_error_line_is_the_error_of_the_request_that_it_answers() {
    let session = Session::new()
        .expect("delete a\r\n")
        .send("SERVER_ERROR backend failure\r\n")
        .expect("get b\r\n")
        .send("END\r\n");
    let server = ScriptedServer::start([session]);
    let client = super::setting::text_client(&[&server], PATIENT);
    let error = client.run(NoReply(Delete::new("a").unwrap())).unwrap_err();
    assert!(matches!(&error, Error::Refused { line, .. } if &**line == "SERVER_ERROR backend failure"), "{error:?}");
    assert_eq!(error.landed(), Landed::Unknown);
    assert_eq!(client.get("b"), Ok(None));
    drop(client);
    server.finish();
}

fn a_server_that_closes_before_the_answer_leaves_it_unknown() {
    let server = ScriptedServer::start([Session::new().expect("delete a\r\n").close()]);
    let client = super::setting::text_client(&[&server], PATIENT);
    let error = client.run(NoReply(Delete::new("a").unwrap())).unwrap_err();
    assert!(matches!(error, Error::Disconnected { landed: Landed::Unknown, .. }), "{error:?}");
    drop(client);
    server.finish();
}
