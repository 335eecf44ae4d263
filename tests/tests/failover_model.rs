//! Failover and retry under random failures, in virtual time, compared with a simple model: nothing that may have landed is
//! sent again, no server is asked while it is left alone, and every failure says correctly whether the request may have landed.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, reason = "a panic is the failure of the test")]

use std::collections::HashMap;
use std::io::ErrorKind;
use std::time::{Duration, SystemTime};

use memcached2_proto::call::{Call, Fault, Plan, Progress};
use memcached2_proto::command::Keyed;
use memcached2_proto::{
    Delete, Error, Instant, Landed, Now, Operation, Options, ReconnectPolicy, Reply, Router, Selection,
};
use memcached2_testkit::Rng;

/// Deletes of many items, as a custom operation.
struct Batch<'k>(Vec<Delete<'k>>);

/// The same under way, with the results so far.
struct Deleting<'k> {
    deletes: Vec<Delete<'k>>,
    results: Vec<Option<Result<bool, Error>>>,
}

fn name(delete: &Delete<'_>) -> String {
    String::from_utf8(delete.key().as_bytes().to_vec()).unwrap()
}

impl<'k> Operation for Batch<'k> {
    type Output = Vec<(String, Result<bool, Error>)>;
    type Progress = Deleting<'k>;

    fn start(self, plan: &mut Plan<'_>) -> Deleting<'k> {
        let deletes = self.0;
        for (index, delete) in deletes.iter().enumerate() {
            plan.add(index, delete.key());
        }
        Deleting { results: vec![None; deletes.len()], deletes }
    }
}

impl<'k> Progress for Deleting<'k> {
    type Command = Delete<'k>;
    type Output = Vec<(String, Result<bool, Error>)>;

    fn command(&self, index: usize) -> &Delete<'k> {
        &self.deletes[index]
    }

    fn end(&mut self, index: usize, result: Result<bool, Error>) {
        assert!(self.results[index].replace(result).is_none(), "a request ends twice");
    }

    fn replan(&mut self, index: usize, plan: &mut Plan<'_>) -> bool {
        plan.add_elsewhere(index, self.deletes[index].key())
    }

    fn finish(self) -> Result<Self::Output, Error> {
        let results = self.results.into_iter().map(|result| result.expect("each request has ended"));
        Ok(self.deletes.iter().map(name).zip(results).collect())
    }
}

const WAIT: Duration = Duration::from_secs(10);

/// What can become of a request: what it is answered, or how it fails and what that speaks against.
fn fate(rng: &mut Rng) -> Result<(), (Error, Fault)> {
    let lost = |landed| Error::lost(&ErrorKind::ConnectionReset.into(), landed);
    let late = |landed| Error::timeout(landed);
    Err(match rng.below(12) {
        0..=4 => return Ok(()),
        5 | 6 => (Error::connect(&ErrorKind::ConnectionRefused.into()), Fault::Server),
        7 => (lost(Landed::Unknown), Fault::Server),
        8 => (lost(Landed::NotSent), Fault::Server),
        9 => (lost(rng.pick(&[Landed::Unknown, Landed::NotSent])), Fault::Connection),
        10 => (late(Landed::Unknown), rng.pick(&[Fault::Server, Fault::Nobody])),
        _ => (late(Landed::NotSent), Fault::Nobody),
    })
}

/// What is known of the servers, as simply as it can be said.
#[derive(Debug, Default)]
struct Model {
    /// Until when each is left alone.
    down: HashMap<usize, Instant>,
}

impl Model {
    fn may_ask(&self, server: usize, now: Instant) -> bool {
        self.down.get(&server).is_none_or(|until| *until <= now)
    }
}

/// One call: the outcome of each key, as far as the servers know. A cancelled call ends after a round.
fn call(router: &Router, keys: &[String], rng: &mut Rng, now: &mut Instant, model: &mut Model) {
    let deletes = keys.iter().map(|key| Delete::new(key).unwrap()).collect();
    let mut call = Call::new(Batch(deletes), router, Now::new(*now, SystemTime::now));
    let mut fates: HashMap<String, Vec<Option<Landed>>> = HashMap::new();
    let mut asked_of = HashMap::new();
    let given_up = rng.once_in(6);
    for rounds in 1.. {
        assert!(rounds <= 13, "a call goes on and on");
        // Servers fail and answer as a whole, or request by request.
        let of_server: Vec<_> = (0..5).map(|_| fate(rng)).collect();
        let (mut up, mut failed) = (Vec::new(), Vec::new());
        for at in 0..call.sub_requests().len() {
            let sub_request = call.sub_requests()[at];
            if !sub_request.is_open() {
                continue;
            }
            let server = sub_request.server().index();
            let key = name(call.command(at));
            // One more try on a fresh connection is part of the first one.
            let is_retry = asked_of.insert(key.clone(), server) == Some(server);
            assert!(is_retry || model.may_ask(server, *now), "{server} is asked, which is to be left alone");
            let fate = if rng.once_in(4) { fate(rng) } else { of_server[server].clone() };
            let past = fates.entry(key).or_default();
            assert!(past.iter().all(|landed| *landed == Some(Landed::NotSent)), "asked again after {past:?}");
            match fate {
                Ok(()) => {
                    past.push(None);
                    up.push(server);
                    call.answer(at, Reply::Deleted, true);
                }
                Err((error, fault)) => {
                    past.push(Some(error.landed()));
                    failed.extend((fault == Fault::Server).then_some(server));
                    call.fail(at, &error, fault);
                }
            }
        }
        let begun = *now;
        *now += Duration::from_millis(rng.below(300) as u64);
        let again = call.end_round(|| *now);
        for server in up {
            model.down.remove(&server);
        }
        // One that was down already, and not tried, has failed no further.
        failed.retain(|server| model.may_ask(*server, begun));
        model.down.extend(failed.into_iter().map(|server| (server, *now + WAIT)));
        if !again {
            break;
        }
        if given_up {
            return;
        }
    }
    let mut told = call.finish().unwrap();
    told.sort_by_key(|(key, _)| keys.iter().position(|wanted| wanted == key));
    assert!(told.iter().map(|(key, _)| key).eq(keys), "{told:?}");
    for (key, result) in told {
        let last = fates.get(&key).and_then(|past| past.last().copied());
        match (result, last) {
            (Ok(deleted), Some(None)) => assert!(deleted),
            (Err(error), Some(Some(landed))) => assert_eq!(error.landed(), landed, "{key}: {error}"),
            (Err(error), None) => {
                assert!(matches!(error, Error::Down { .. } | Error::AllDown { .. }), "{key}: {error}");
            }
            (result, last) => panic!("{key}: {result:?} after {last:?}"),
        }
    }
}

#[test]
fn whatever_servers_do_nothing_is_asked_twice_and_every_failure_is_true() {
    for seed in 1..=3000 {
        let mut rng = Rng::new(seed);
        let servers = ["a", "b", "c", "d", "e"].into_iter().take(1 + rng.below(5));
        let selection = [Selection::Default, Selection::Ketama, Selection::Jump][rng.below(3)].clone();
        let options = Options::default().reconnect(ReconnectPolicy::After(WAIT)).selection(selection);
        let router = Router::with_options(servers, &options).unwrap();
        let (mut now, mut model) = (Instant::ZERO, Model::default());
        for _ in 0..8 {
            let first = rng.below(100);
            let keys: Vec<_> = (0..1 + rng.below(20)).map(|at| format!("key{}", first + at)).collect();
            call(&router, &keys, &mut rng, &mut now, &mut model);
            now += Duration::from_secs(rng.below(8) as u64);
        }
    }
}
