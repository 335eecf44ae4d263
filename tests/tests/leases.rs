//! Leases of `fetch_many` that fails: what an earlier caller had won.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, reason = "a panic is the failure of the test")]

use std::sync::atomic::{AtomicBool, Ordering};
use std::task::{Context, Poll, Waker};
use std::time::{Duration, SystemTime};

use memcached2_proto::fetch::{FetchPolicy, Flights, Followed, Followers, Found, Joined, Lead, Leader};
use memcached2_proto::{Error, Instant, Operation};
use memcached2_testkit::{EmbeddedServer, Gate, assert_matches};

/// A client whose calls can be made to fail.
#[derive(Debug)]
struct Client {
    client: memcached2_sync::Client,
    flights: Flights,
    follows: Gate,
    leaders_are_gone: Gate,
    fails: AtomicBool,
}

#[allow(dead_code, reason = "few of all the methods are called")]
impl Client {
    fn now() -> Instant {
        std::time::Instant::now().into()
    }

    fn system_time() -> SystemTime {
        SystemTime::now()
    }

    fn run<O: Operation>(&self, operation: O) -> Result<O::Output, Error> {
        match self.fails.swap(false, Ordering::Relaxed) {
            true => Err(Error::value("its question cannot be asked")),
            false => self.client.run(operation),
        }
    }

    fn run_since<O: Operation>(&self, _: Instant, operation: O) -> Result<O::Output, Error> {
        self.run(operation)
    }

    fn join(&self, key: &[u8], is_late: bool) -> Joined<'_> {
        self.flights.join(key, is_late)
    }

    fn lead(&self, key: &str) -> Leader<'_> {
        let Joined::Leader(leader) = self.join(key.as_bytes(), false) else { panic!("another caller leads") };
        leader
    }

    fn follow<'f>(&self, followers: &mut Followers<'f>, _: Duration) -> Vec<Followed<'f>> {
        self.follows.open();
        self.leaders_are_gone.wait();
        let Poll::Ready(come) = followers.poll(&Context::from_waker(Waker::noop())) else { panic!("none leads") };
        come
    }

    fn pause(&self, _: Duration) -> Result<bool, Error> {
        panic!("nothing is waited for")
    }

    memcached2_proto::operations!([] [] FnOnce);
}

memcached2_proto::fetch!([] [] FnOnce FnMut);

#[test]
fn a_lease_of_a_dropped_caller_is_given_up_if_the_call_that_takes_its_place_fails() {
    let (_server, client) = EmbeddedServer::with_client(|address| memcached2_sync::Client::new([address]));
    let gates = (Gate::new("the call waits for others"), Gate::new("the others are gone"));
    let fails = AtomicBool::new(false);
    let client = Client { client, flights: Flights::default(), follows: gates.0, leaders_are_gone: gates.1, fails };
    let policy = FetchPolicy::new(Duration::from_secs(60));
    std::thread::scope(|scope| {
        let [computing, asking] = ["computing", "asking"].map(|key| client.lead(key));
        let Ok(Found::Compute(lease)) = client.find(b"computing", &policy) else { panic!("it has no lease") };
        let lead = Lead { place: 0, leader: Some(computing) };
        let missed = lead.begin(lease, &policy, true);
        assert!(client.get("computing").unwrap().is_some());
        let many = scope.spawn(|| {
            client.fetch_many(&["computing", "asking"], &policy, |_| -> Result<Vec<Option<&str>>, Error> {
                panic!("nothing is to be computed")
            })
        });
        client.follows.wait();
        let Joined::Follower(mut next) = client.join(b"computing", false) else { panic!("no caller leads") };
        client.fails.store(true, Ordering::Relaxed);
        drop((missed, asking));
        client.leaders_are_gone.open();
        assert_matches!(many.join().unwrap(), Err(Error::Value { .. }));
        assert_eq!(client.get("computing").unwrap(), None, "others would wait until the lease ends");
        // And nobody takes it for one that there still is.
        let Poll::Ready(Err(next)) = next.poll(&Context::from_waker(Waker::noop())) else { panic!("it does not lead") };
        assert_eq!(next.lease(), None);
    });
}
