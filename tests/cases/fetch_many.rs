//! Many values that are computed once for all who miss together.

use std::thread;
use std::time::Duration;

use memcached2_proto::fetch::FetchPolicy;
use memcached2_proto::{Error, Protocol, Value};
use memcached2_testkit::{EmbeddedServer, Gate, assert_matches};

use super::fetch::{each, policy};
use super::servers::Kind;
use super::setting::{BRIEF, HOUR, PATIENT, forgetful};
use crate::subject::Client;

super::cases! {
    served {
        many_missing_values_are_computed_at_once,
        many_values_that_others_compute_are_waited_for,
        a_failed_computation_of_many_stores_nothing,
        a_value_that_is_too_large_to_be_sent_keeps_no_lease since (1, 6, 10),
    }
    scripted {
        a_server_that_is_down_is_no_error_for_many,
        nothing_is_computed_that_could_not_be_stored_because_of_its_expiry,
    }
}

fn words(values: &[Option<Value>]) -> Vec<Option<&str>> {
    values.iter().map(|value| value.as_ref().map(|value| value.as_str().unwrap())).collect()
}

fn never_many<K>(_: Vec<K>) -> Result<Vec<Option<&'static str>>, Error> {
    panic!("they were computed again")
}

fn many_missing_values_are_computed_at_once(on: Kind) {
    each(on, |_, server, client, other| {
        client.set("b", "there", HOUR).unwrap();
        let (keys, mut calls) = (["a", "b", "c", "a", "none"], Vec::new());
        let absent = policy().absent_for(HOUR);
        let fetched = client.fetch_many(&keys, &absent, |missed| {
            calls.push(missed.iter().map(|key| **key).collect::<Vec<_>>());
            let compute = |key: &&str| (*key != "none").then(|| key.to_uppercase());
            Ok::<_, Error>(missed.into_iter().map(compute).collect())
        });
        let expected = [Some("A"), Some("there"), Some("C"), Some("A"), None];
        assert_eq!(words(&fetched.unwrap()), expected);
        assert_eq!(calls, [["a", "c", "none"]]);
        assert!(["a", "c", "none"].iter().all(|key| server.holds(key)));
        assert_eq!(words(&other.fetch_many(&keys, &absent, never_many).unwrap()), expected);
        // Without the time for that, nothing is stored for what has no value.
        let none = client.fetch_many(&["other"], &policy(), |_| Ok::<_, Error>(vec![None::<&str>]));
        assert_eq!(none, Ok(vec![None]));
        assert_eq!(client.fetch_many(&[] as &[&str], &policy(), never_many), Ok(vec![]));
        assert_matches!(client.fetch_many(&["a", ""], &policy(), never_many), Err(Error::Key { .. }));
    });
}

fn many_values_that_others_compute_are_waited_for(on: Kind) {
    each(on, |_, _, first, second| {
        let gates = || (Gate::new("computing"), Gate::new("computed"));
        let ((here, here_done), (there, there_done)) = (gates(), gates());
        thread::scope(|scope| {
            for (client, key, computing, computed) in
                [(first, "here", &here, &here_done), (second, "there", &there, &there_done)]
            {
                scope.spawn(move || {
                    let compute = || {
                        computing.open();
                        computed.wait();
                        Ok::<_, Error>("theirs")
                    };
                    assert_eq!(client.fetch(key, &policy(), compute).unwrap(), "theirs");
                });
                computing.wait();
            }
            let mut calls = 0;
            let fetched = first.fetch_many(&["mine", "here", "there"], &policy(), |missed| {
                calls += 1;
                assert_eq!(missed, [&"mine"]);
                // They may need what this one computes.
                here_done.open();
                there_done.open();
                Ok::<_, Error>(vec![Some("mine")])
            });
            assert_eq!(words(&fetched.unwrap()), [Some("mine"), Some("theirs"), Some("theirs")]);
            assert_eq!(calls, 1);
        });
    });
}

fn a_failed_computation_of_many_stores_nothing(on: Kind) {
    each(on, |protocol, server, client, other| {
        // On a server without meta the lease has to end.
        let short = policy().lease(Duration::from_secs(1));
        let failed =
            client.fetch_many(&["a", "b"], &short, |_| Err::<Vec<Option<&str>>, _>(Error::value("no template")));
        assert_matches!(failed, Err(Error::Value { .. }));
        assert!(protocol == Protocol::Classic || !server.holds("a") && !server.holds("b"));
        // Of one key, too, if its lease has ended a second before that of the other.
        let too_few = |keys: Vec<&&str>| Ok::<_, Error>(vec![Some("x"); keys.len() - 1]);
        let too_few = other.fetch_many(&["a", "b"], &short, too_few);
        assert_matches!(too_few, Err(Error::Argument { .. }));
        let both = |keys: Vec<&&str>| Ok::<_, Error>(vec![Some("x"); keys.len()]);
        assert_eq!(words(&client.fetch_many(&["a", "b"], &short, both).unwrap()), [Some("x"); 2]);
        assert_eq!(words(&other.fetch_many(&["a", "b"], &short, never_many).unwrap()), [Some("x"); 2]);
    });
}

fn a_server_that_is_down_is_no_error_for_many() {
    let client = Client::with_options(["127.0.0.1:1"], forgetful(BRIEF)).expect("right");
    let both = |keys: Vec<&&str>| Ok::<_, Error>(vec![Some("x"); keys.len()]);
    assert_eq!(words(&client.fetch_many(&["a", "b"], &policy(), both).unwrap()), [Some("x"); 2]);
}

fn a_value_that_is_too_large_to_be_sent_keeps_no_lease(on: Kind) {
    let server = on.start();
    let options = forgetful(PATIENT).sent_value_limit(4);
    let (client, other) = (
        Client::with_options([server.address()], options).expect("right"),
        Client::with_options([server.address()], forgetful(PATIENT)).expect("right"),
    );
    assert_eq!(client.fetch("page", &policy(), || Ok::<_, Error>("too large")).unwrap(), "too large");
    let both = |_: Vec<&&str>| Ok::<_, Error>(vec![Some("too large"), Some("ok")]);
    assert_eq!(words(&client.fetch_many(&["a", "b"], &policy(), both).unwrap()), [Some("too large"), Some("ok")]);
    assert_eq!(["page", "a", "b"].map(|key| server.holds(key)), [false, false, true]);
    assert_eq!(other.fetch("page", &policy(), || Ok::<_, Error>("stored")).unwrap(), "stored");
    assert_eq!(other.get("page").unwrap().unwrap(), "stored");
}

fn nothing_is_computed_that_could_not_be_stored_because_of_its_expiry() {
    let server = EmbeddedServer::start();
    let client = Client::with_options([server.address()], forgetful(PATIENT)).expect("right");
    let century = Duration::from_secs(100 * 365 * 86_400);
    for policy in [FetchPolicy::new(century), policy().absent_for(century)] {
        let never = || -> Result<Option<&str>, Error> { panic!("it was computed") };
        let error = client.fetch_optional("page", &policy, never).unwrap_err();
        assert_matches!(error, Error::Expiry { .. });
        assert!(error.to_string().starts_with("fetch \"page\": "), "{error}");
        assert_matches!(client.fetch_many(&["a", "b"], &policy, never_many), Err(Error::Expiry { .. }));
    }
    server.assert_asked([] as [&str; 0]);
}
