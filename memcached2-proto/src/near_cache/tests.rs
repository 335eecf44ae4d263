use bytes::Bytes;

use super::*;

const AGE: Duration = Duration::from_secs(8);

fn at(seconds: u64) -> Instant {
    Instant::ZERO + Duration::from_secs(100 + seconds)
}

fn near() -> Near {
    Near::new(&NearCachePolicy::new(1 << 20, AGE), &Router::parse(["server"]).unwrap())
}

fn value(text: &'static str, cas: u64) -> Value {
    Value { cas: Some(cas), ..Value::new(Bytes::from_static(text.as_bytes()), 7) }
}

fn changed(text: &'static str, cas: u64) -> Result<IfChanged, Error> {
    Ok(IfChanged::Changed(value(text, cas)))
}

fn found(text: &'static str) -> Option<Value> {
    Some(Value { cas: None, ..value(text, 0) })
}

fn find(near: &Near, seconds: u64) -> Option<Value> {
    near.find(b"a", at(seconds)).ok()
}

fn ask(near: &Near, seconds: u64) -> Question {
    near.find(b"a", at(seconds)).unwrap_err()
}

#[test]
fn a_value_is_used_for_its_time_since_it_was_asked_for_and_one_caller_asks_early() {
    let near = near();
    assert_eq!(near.answered(b"a", &ask(&near, 0), changed("x", 5), at(4)), Ok(found("x")));
    assert_eq!((find(&near, 4), find(&near, 5)), (found("x"), found("x")));
    let early = ask(&near, 6);
    assert_eq!(find(&near, 6), found("x"));
    // The one that asks may never come back.
    assert!(near.find(b"a", at(7)).is_err());
    assert_eq!(find(&near, 7), found("x"));
    // If the server fails, the value is returned as long as it is fresh.
    assert_eq!(near.answered(b"a", &early, Err(Error::no_servers()), at(7)), Ok(found("x")));
    assert_eq!(near.answered(b"a", &early, Err(Error::no_servers()), at(8)), Err(Error::no_servers()));
    assert!(near.find(b"a", at(8)).is_err() && near.find(b"a", at(8)).is_err());
    assert_eq!(near.answered(b"a", &early, Ok(IfChanged::Same), at(9)), Ok(found("x")));
    assert_eq!((find(&near, 9), find(&near, 14)), (found("x"), None));
}

#[test]
fn a_version_is_asked_about_unless_a_server_may_have_been_restarted() {
    let near = near();
    assert_eq!(ask(&near, 0).cas(), None);
    near.answered(b"a", &ask(&near, 0), changed("x", 5), at(0)).unwrap();
    let question = ask(&near, 8);
    assert_eq!((question.cas(), near.believes(&question, &Ok(IfChanged::Same))), (Some(5), true));
    near.incidents.as_ref().unwrap().add();
    assert!(!near.believes(&question, &Ok(IfChanged::Same)) && near.believes(&question, &changed("y", 6)));
    assert_eq!(ask(&near, 8).cas(), None);
    near.answered(b"a", &near.question(b"a", at(8)), changed("y", 5), at(8)).unwrap();
    assert_eq!((find(&near, 8), ask(&near, 16).cas()), (found("y"), Some(5)));
    // A server without versions.
    near.answered(b"a", &ask(&near, 16), changed("z", 0), at(16)).unwrap();
    assert_eq!((find(&near, 16), ask(&near, 24).cas()), (found("z"), None));
}

#[test]
fn no_version_is_asked_about_of_a_value_that_came_while_the_list_of_servers_changed() {
    let near = near();
    let incidents = near.incidents.clone().unwrap();
    near.answered(b"a", &ask(&near, 0), changed("x", 5), at(0)).unwrap();
    // Both were asked about: the one before the change, the other one by a server of either list.
    let before = ask(&near, 8);
    let changing = incidents.begin();
    assert_eq!((before.cas(), near.believes(&before, &Ok(IfChanged::Same))), (Some(5), false));
    let during = ask(&near, 8);
    assert_eq!(during.cas(), None);
    near.answered(b"a", &during, changed("y", 5), at(8)).unwrap();
    assert_eq!((find(&near, 8), ask(&near, 16).cas()), (found("y"), None));
    drop(changing);
    assert!(!near.believes(&before, &Ok(IfChanged::Same)));
    assert_eq!(ask(&near, 16).cas(), None);
    near.answered(b"a", &ask(&near, 16), changed("y", 5), at(16)).unwrap();
    let after = ask(&near, 24);
    assert_eq!((after.cas(), near.believes(&after, &Ok(IfChanged::Same))), (Some(5), true));
    // What did not happen changes nothing.
    incidents.begin().cancel();
    assert!(near.believes(&after, &Ok(IfChanged::Same)));
}

#[test]
fn no_version_is_asked_about_if_there_are_replicas() {
    let options = crate::Options::default().replica(["b"]);
    let near = Near::new(&NearCachePolicy::new(1 << 20, AGE), &Router::with_options(["a"], &options).unwrap());
    near.answered(b"a", &ask(&near, 0), changed("x", 5), at(0)).unwrap();
    assert_eq!((find(&near, 0), ask(&near, 8).cas()), (found("x"), None));
}

#[test]
fn after_a_write_nothing_is_used_that_was_asked_for_before_its_end() {
    let near = near();
    near.answered(b"a", &ask(&near, 0), changed("old", 5), at(0)).unwrap();
    let writing = near.write(b"a");
    assert_eq!(find(&near, 0), None);
    let during = ask(&near, 1);
    // It may be the old value or the new one: it is returned, and used until the write ends.
    near.answered(b"a", &during, changed("old", 5), at(1)).unwrap();
    assert_eq!(find(&near, 1), found("old"));
    let late = near.question(b"a", at(1));
    drop(writing);
    assert_eq!(find(&near, 1), None);
    assert_eq!(near.answered(b"a", &late, changed("old", 5), at(2)), Ok(found("old")));
    assert_eq!(find(&near, 2), None);
    assert_eq!(near.answered(b"a", &during, Ok(IfChanged::Same), at(2)), Ok(found("old")));
    assert_eq!(find(&near, 2), None);
    near.answered(b"a", &ask(&near, 2), changed("new", 6), at(2)).unwrap();
    assert_eq!(find(&near, 3), found("new"));
    // Many keys at once, and all of them.
    drop(near.write_all([&b"b"[..], b"a"]));
    assert_eq!(find(&near, 3), None);
    near.answered(b"a", &ask(&near, 3), changed("new", 6), at(3)).unwrap();
    let under_way = near.question(b"a", at(3));
    near.clear();
    near.answered(b"a", &under_way, changed("new", 6), at(3)).unwrap();
    assert_eq!(find(&near, 3), None);
}

#[test]
fn an_answer_that_was_overtaken_does_not_bring_an_old_value_back() {
    let near = near();
    let (slow, fast) = (near.question(b"a", at(0)), near.question(b"a", at(1)));
    near.answered(b"a", &fast, changed("new", 6), at(2)).unwrap();
    assert_eq!(near.answered(b"a", &slow, changed("old", 5), at(3)), Ok(found("old")));
    assert_eq!(find(&near, 3), found("new"));
    // Nor does it make a value look newer than it is.
    let (slow, fast) = (ask(&near, 9), ask(&near, 10));
    near.answered(b"a", &fast, Ok(IfChanged::Same), at(10)).unwrap();
    near.answered(b"a", &slow, Ok(IfChanged::Same), at(11)).unwrap();
    assert_eq!((find(&near, 15), near.find(b"a", at(18)).is_err()), (found("new"), true));
    assert_eq!(near.answered(b"a", &ask(&near, 20), Ok(IfChanged::Missing), at(20)), Ok(None));
    assert_eq!(ask(&near, 20).cas(), None);
}

#[test]
fn it_holds_no_more_bytes_than_it_may_and_keeps_what_is_asked_for_often() {
    let near = near();
    let keep = |key: &str| {
        let question = near.question(key.as_bytes(), at(0));
        let value = Value { cas: Some(1), ..Value::new(vec![b'x'; 1024].into(), 0) };
        near.answered(key.as_bytes(), &question, Ok(IfChanged::Changed(value)), at(0)).unwrap();
    };
    (0..10).for_each(|number| keep(&format!("hot{number}")));
    for number in 0..20_000 {
        keep(&format!("cold{number}"));
        near.find(format!("hot{}", number % 10).as_bytes(), at(0)).unwrap();
    }
    assert!(near.entries.weight() <= 1 << 20 && near.entries.len() > 500, "{}", near.entries.len());
    let nothing = Near::new(&NearCachePolicy::new(0, AGE), &Router::parse(["server"]).unwrap());
    nothing.answered(b"a", &ask(&nothing, 0), changed("x", 5), at(0)).unwrap();
    assert_eq!(find(&nothing, 0), None);
}
