//! What the replicas answer, and who hears of it.

use std::sync::{Arc, Mutex};

use memcached2_proto::observer::{Event, RequestOutcome};
use memcached2_proto::routing::WriteTo;
use memcached2_proto::{Error, Expiry, Landed, Observer, Protocol};
use memcached2_testkit::{EmbeddedServer, ScriptedServer, Session, assert_matches};

use super::replicas::{LONG, options};
use super::setting::HOUR;
use crate::subject::Client;

super::cases! {
    served {}
    scripted {
        a_read_whose_answer_is_lost_is_asked_of_the_next_replica,
        a_write_whose_answer_is_lost_may_have_landed_in_that_replica,
        an_observer_hears_of_each_copy,
    }
}

/// A client of two replicas that play a script.
fn scripted(near: Session, far: Session) -> ([ScriptedServer; 2], Client) {
    let servers = [near, far].map(|session| ScriptedServer::start([session]));
    let options = options(LONG).protocol(Protocol::Classic).replica([servers[1].address()]);
    let client = Client::with_options([servers[0].address()], options).expect("the addresses are right");
    (servers, client)
}

const GET: &str = "get a\r\n";
const SET: &str = "set a 0 0 1\r\nx\r\n";

fn a_read_whose_answer_is_lost_is_asked_of_the_next_replica() {
    let near = Session::new().expect(GET).send("VALUE a 0 3\r\non").close();
    let far = Session::new().expect(GET).send("VALUE a 0 3\r\ntwo\r\nEND\r\n").expect("get b\r\n").send("END\r\n");
    let (servers, client) = scripted(near, far);
    assert_eq!(client.get("a").unwrap().unwrap(), "two");
    assert_eq!(client.get("b"), Ok(None));
    drop(client);
    servers.into_iter().for_each(ScriptedServer::finish);
}

fn a_write_whose_answer_is_lost_may_have_landed_in_that_replica() {
    let near = Session::new().expect(SET).close();
    let far = Session::new().expect(SET).send("STORED\r\n").expect(SET).send("SERVER_ERROR out of memory\r\n");
    let (servers, client) = scripted(near, far);
    let error = client.set("a", "x", Expiry::Never).unwrap_err();
    let Error::Replicas { results, .. } = &error else { panic!("{error:?}") };
    assert_matches!(&results[..], [Err(Error::Disconnected { landed: Landed::Unknown, .. }), Ok(())]);
    assert_eq!(error.landed(), Landed::Unknown);
    // The first one is down, and nothing is sent to it: so the worst of both failures is a refusal.
    let error = client.set("a", "x", Expiry::Never).unwrap_err();
    assert_matches!((&error, error.landed()), (Error::Refused { .. }, Landed::Refused));
    drop(client);
    servers.into_iter().for_each(ScriptedServer::finish);
}

/// The commands of all requests, and whether they have failed.
#[derive(Debug, Default)]
struct Heard(Mutex<Vec<(&'static str, String, bool)>>);

impl Observer for Heard {
    fn on_request(&self, event: &Event<'_>) {
        let server = event.server.map_or_else(String::new, |server| server.name().to_owned());
        let has_failed = matches!(event.outcome, RequestOutcome::Failed(_));
        self.0.lock().unwrap().push((event.command, server, has_failed));
    }
}

fn an_observer_hears_of_each_copy() {
    let (mut near, far) = (EmbeddedServer::start(), EmbeddedServer::start());
    let heard = Arc::new(Heard::default());
    let observer: Arc<dyn Observer> = Arc::<Heard>::clone(&heard);
    let options = options(LONG).replica([far.address()]).write_to(WriteTo::One).observer(observer);
    let client = Client::with_options([near.address()], options).unwrap();
    client.set("a", "x", HOUR).unwrap();
    client.get("a").unwrap();
    near.stop();
    client.get("a").unwrap();
    client.set("a", "x", HOUR).unwrap();
    let [near, far] = [near.address(), far.address()];
    let mut heard = heard.0.lock().unwrap().clone();
    // Copies are answered in any order.
    heard[..2].sort();
    let is_near = |(_, server, _): &&(&str, String, bool)| *server == near;
    assert_eq!(heard.iter().filter(is_near).map(|(command, _, failed)| (*command, *failed)).collect::<Vec<_>>(), {
        // The lost connection is tried again before the next replica is asked.
        let lost = heard.iter().filter(is_near).filter(|(command, _, failed)| *command == "get" && *failed).count();
        let gets = std::iter::repeat_n(("get", true), lost);
        [("set", false), ("get", false)].into_iter().chain(gets).chain([("set", true)]).collect::<Vec<_>>()
    });
    let of_far = heard.iter().filter(|(_, server, _)| *server == far).map(|(command, _, failed)| (*command, *failed));
    assert_eq!(of_far.collect::<Vec<_>>(), [("set", false), ("get", false), ("set", false)]);
}
