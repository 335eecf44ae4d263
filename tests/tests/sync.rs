//! The conformance cases through the blocking client.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, reason = "a panic is the failure of the test")]

#[path = "../cases/mod.rs"]
mod cases;

/// What the cases are run through.
mod subject {
    pub(crate) use memcached2_sync::{Client, Forgiving, Mapping};

    pub(crate) const NAME: &str = "memcached2-sync";
}

mod closing {
    use std::time::Duration;

    use memcached2_proto::{Error, Options};
    use memcached2_sync::Client;
    use memcached2_testkit::{Gate, ScriptedServer, Session};

    const PATIENT: Duration = Duration::from_secs(30);

    #[test]
    fn a_call_that_is_under_way_goes_on_and_its_connection_closes_behind_it() {
        let (asked, answer) = (Gate::new("asked"), Gate::new("answer"));
        let play = Session::new().expect("get a\r\n").open(&asked).wait(&answer).send("VALUE a 0 1\r\nx\r\nEND\r\n");
        let server = ScriptedServer::start([play.expect_close()]);
        let client = Client::with_options([server.address()], Options::default().timeout(PATIENT)).expect("right");
        std::thread::scope(|scope| {
            let caller = scope.spawn(|| client.get("a"));
            asked.wait();
            assert!(!client.close(Duration::ZERO), "closed while a call is under way");
            assert_eq!(client.get("b"), Err(Error::Closed));
            let closers = [scope.spawn(|| client.close(PATIENT)), scope.spawn(|| client.close(PATIENT))];
            answer.open();
            assert_eq!(caller.join().expect("no panic").unwrap().expect("a hit"), "x");
            assert!(closers.into_iter().all(|closer| closer.join().expect("no panic")));
        });
        server.finish();
    }

    #[test]
    fn whoever_waits_for_a_connection_learns_that_there_will_be_none() {
        let (asked, answer) = (Gate::new("asked"), Gate::new("answer"));
        let play = Session::new().expect("get a\r\n").open(&asked).wait(&answer).send("END\r\n");
        let server = ScriptedServer::start([play.expect_close()]);
        let options = Options::default().timeout(PATIENT).pool_connections(1);
        let client = Client::with_options([server.address()], options).expect("right");
        std::thread::scope(|scope| {
            let caller = scope.spawn(|| client.get("a"));
            asked.wait();
            let waiting = scope.spawn(|| client.get("b"));
            // It waits inside the client, which nobody can see.
            std::thread::sleep(Duration::from_millis(100));
            assert!(!client.close(Duration::ZERO));
            assert_eq!(waiting.join().expect("no panic"), Err(Error::Closed));
            answer.open();
            assert_eq!(caller.join().expect("no panic"), Ok(None));
        });
        server.finish();
    }
}
