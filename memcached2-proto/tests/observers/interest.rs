//! What an observer does not want it does not hear of.

use super::*;

/// Writes down what it hears, and wants only some of it.
#[derive(Debug)]
struct Wants {
    interest: Interest,
    requests: Mutex<Vec<String>>,
    operations: Mutex<Vec<String>>,
    servers: Mutex<Vec<ServerEvent>>,
}

impl Wants {
    fn new(interest: Interest) -> Arc<Self> {
        Arc::new(Self { interest, requests: Mutex::default(), operations: Mutex::default(), servers: Mutex::default() })
    }

    /// The requests, the operations and the changes of servers that it has heard of.
    fn heard(&self) -> (Vec<String>, Vec<String>, usize) {
        let lines = |lines: &Mutex<Vec<String>>| lines.lock().unwrap().clone();
        (lines(&self.requests), lines(&self.operations), self.servers.lock().unwrap().len())
    }
}

impl Observer for Wants {
    fn interest(&self) -> Interest {
        self.interest
    }

    fn on_request(&self, event: &Event<'_>) {
        self.requests.lock().unwrap().push(format!("{event:?}"));
    }

    fn on_operation(&self, event: &OperationEvent<'_>) {
        let OperationEvent { server, batch, failure, time, wait, .. } = event;
        let line = format!("{} {server:?} {batch:?} {failure:?} {time:?} {wait:?} {:?}", event.name(), event.started());
        self.operations.lock().unwrap().push(line);
    }

    fn on_server_event(&self, _: &Server, event: ServerEvent) {
        self.servers.lock().unwrap().push(event);
    }
}

/// Calls of all kinds, all of which end: to one server and to several, with one answer and with several, and with failures.
fn calls_of_all_kinds(observer: Arc<dyn Observer>) {
    fn run<O: Operation>(operation: O, router: &Router, mut answer: impl FnMut(&mut Call<'_, O>, usize)) {
        let mut call = Call::new(operation, router, Now::new(start(), SystemTime::now));
        loop {
            while let Some(place) = call.sub_requests().iter().position(|next| next.is_open()) {
                answer(&mut call, place);
            }
            if !call.end_round(|| start() + Duration::from_millis(2)) {
                break;
            }
        }
        let _ = call.finish();
    }
    calls(Arc::clone(&observer));
    let options = Options::default().reconnect(ReconnectPolicy::After(Duration::from_secs(1))).observer(observer);
    let client = |servers: &[&str]| {
        Router::with_options(servers, &options).unwrap().for_client(0, || at(start() + Duration::from_millis(2)))
    };
    let (one, two) = (client(&["cache1"]), client(&["cache1", "cache2"]));
    let keys = ["a", "b", "c", "d", "e"];
    let items = keys.map(|key| (key, "1"));
    let value = || Reply::Value(0, Value::new("12345".into(), 0));
    let refused = || Reply::Refused("SERVER_ERROR out of memory".into());
    for router in [&one, &two] {
        run(GetMany::new(&keys).unwrap(), router, |call, place| {
            call.answer(place, value(), false);
            call.answer(place, value(), false);
            call.answer(place, Reply::End, true);
        });
        run(GetMany::new(&keys).unwrap(), router, |call, place| {
            call.answer(place, value(), false);
            call.answer(place, refused(), true);
        });
        let stores = || SetMany::new(&items, Expiry::Never).unwrap();
        run(stores(), router, |call, place| call.answer(place, Reply::Stored, true));
        let mut replies = [Reply::Stored, refused()].into_iter().cycle();
        run(stores(), router, |call, place| call.answer(place, replies.next().unwrap(), true));
        run(SetMany::new(&items[..0], Expiry::Never).unwrap(), router, |_, _| panic!("it has no request"));
        run(Store::set("a", "1").unwrap(), router, |call, place| call.answer(place, Reply::Stored, true));
        run(AllServers(Version), router, |call, place| call.answer(place, Reply::Version("1.6.18".into()), true));
        // The connection was dead, and the second one answers.
        let mut has_failed = false;
        run(Get::new("a").unwrap(), router, |call, place| {
            let lost = Error::lost(&std::io::ErrorKind::ConnectionReset.into(), Landed::NotSent);
            match std::mem::replace(&mut has_failed, true) {
                false => call.fail(place, &lost, Fault::Connection),
                true => call.answer(place, value(), true),
            }
        });
        let server = router.ids().next().unwrap();
        run(Get::new("a").unwrap(), router, |call, place| {
            call.waited(server, Duration::from_millis(1));
            call.answer(place, Reply::Miss, true);
        });
    }
    // Its server is down then, and the other one is asked.
    let mut has_failed = false;
    run(GetMany::new(&keys).unwrap(), &two, |call, place| match std::mem::replace(&mut has_failed, true) {
        false => call.fail(place, &Error::connect(&std::io::ErrorKind::ConnectionRefused.into()), Fault::Server),
        true => call.answer(place, Reply::End, true),
    });
}

#[test]
fn an_observer_hears_of_what_it_wants_and_of_nothing_else() {
    let everything = Wants::new(Interest::ALL);
    calls_of_all_kinds(Arc::<Wants>::clone(&everything));
    let (requests, operations, servers) = everything.heard();
    assert_eq!((requests.len(), operations.len(), servers), (45, 29, 2), "{requests:#?} {operations:#?}");
    let expected = |interest: Interest| {
        let of = |is_wanted: bool, lines: &Vec<String>| if is_wanted { lines.clone() } else { Vec::new() };
        (of(interest.has_requests(), &requests), of(interest.has_operations(), &operations), servers)
    };
    let all = [Interest::ALL, Interest::REQUESTS, Interest::OPERATIONS, Interest::NONE];
    for interest in all {
        let alone = Wants::new(interest);
        calls_of_all_kinds(Arc::<Wants>::clone(&alone));
        assert_eq!(alone.heard(), expected(interest), "{interest:?}");
        for other in all {
            let both = [interest, other].map(Wants::new);
            // The options put them together, and then with a third one.
            let options =
                both.iter().fold(Options::default(), |options, one| options.observer(Arc::<Wants>::clone(one)));
            let options = options.observer(Wants::new(Interest::NONE));
            calls_of_all_kinds(options.observer.clone().unwrap());
            assert_eq!(both[0].heard(), expected(interest), "{interest:?} beside {other:?}");
            assert_eq!(both[1].heard(), expected(other), "{other:?} beside {interest:?}");
        }
    }
}

#[test]
fn an_observer_is_asked_for_its_interest_while_a_client_is_made_and_not_again() {
    /// Counts how often it is asked.
    #[derive(Debug, Default)]
    struct Asked(Mutex<usize>);

    impl Observer for Asked {
        fn interest(&self) -> Interest {
            *self.0.lock().unwrap() += 1;
            Interest::ALL
        }
    }

    let observer = Arc::new(Asked::default());
    let options = Options::default().observer(Arc::<Asked>::clone(&observer));
    let router = Router::with_options(["cache1"], &options).unwrap().for_client(0, || at(start()));
    assert_eq!(*observer.0.lock().unwrap(), 1);
    let newer = router.for_servers(["cache1", "cache2"], &options).unwrap();
    for router in [&router, &newer] {
        end(Get::new("a").unwrap(), router, start(), &Ok(Reply::Miss));
    }
    assert_eq!(*observer.0.lock().unwrap(), 1);
}
