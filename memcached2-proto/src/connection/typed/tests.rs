use std::time::SystemTime;

use memcached2_testkit::embedded::Core;

use super::*;
use crate::command::{
    CacheDump, Decr, Delete, FlushAll, Get, Incr, NoReply, Protocol, Stats, StatsDetail, StatsReset, Store, Touch,
    Verbosity, Version,
};
use crate::data::Data;
use crate::limits::Limits;
use crate::time::{Expiry, Instant};
use crate::value::Value;

const UNIX: u64 = 1_800_000_000;

fn now() -> Now {
    Now::fixed(Instant::ZERO, SystemTime::UNIX_EPOCH)
}

fn typed(protocol: Protocol) -> TypedConnection {
    let mut connection = Connection::new(Limits::default());
    connection.set_protocol(protocol);
    TypedConnection::new(connection)
}

fn get(key: &str, connection: &mut TypedConnection) -> Pending<Option<Value>> {
    connection.send(&Get::new(key).unwrap(), now()).unwrap()
}

fn write(connection: &mut TypedConnection) -> Vec<u8> {
    std::iter::from_fn(|| connection.connection_mut().take_outgoing()).flatten().collect()
}

fn landed<R>(mut pending: Pending<R>) -> (Landed, String) {
    let Some(Err(error)) = pending.take() else { panic!("no error") };
    (error.landed(), error.to_string())
}

/// The response to a command, whose replies come in pieces of this many bytes.
#[track_caller]
fn run<C: Detach>(
    connection: &mut TypedConnection,
    core: &mut Core,
    piece: usize,
    command: C,
) -> Result<C::Response, Error> {
    let mut pending = connection.send(&command, now()).unwrap();
    drop(command);
    let mut session = core.connect();
    while !pending.is_ready() {
        let bytes = write(connection);
        assert!(!bytes.is_empty(), "there is no response");
        session.feed(core, &bytes, UNIX);
        while let Some(replies) = session.take_outgoing() {
            replies.chunks(piece).for_each(|piece| connection.feed(piece).unwrap());
        }
    }
    assert!(connection.connection().is_idle() && connection.requests.is_empty());
    let result = pending.take().unwrap();
    assert!(pending.is_ready() && pending.take().is_none());
    result
}

#[test]
fn each_command_has_its_response_when_it_is_gone() {
    for (protocol, piece) in
        [(Protocol::Classic, 1), (Protocol::Meta, 1), (Protocol::Classic, 7), (Protocol::Meta, 1 << 20)]
    {
        let (connection, core) = (&mut typed(protocol), &mut Core::new(UNIX));
        macro_rules! run {
            ($command:expr) => {
                run(connection, core, piece, $command)
            };
        }
        let large = vec![b'v'; 3 * Data::SHARED_MIN];
        let shared = Data::from(large.clone());
        run!(Store::set(&"local".to_owned(), &"9".to_owned()).unwrap()).unwrap();
        run!(Store::set("large", &shared).unwrap()).unwrap();
        assert_eq!(run!(Get::new("large").unwrap()).unwrap().unwrap(), large[..]);
        assert_eq!(run!(Get::new("missing").unwrap()).unwrap(), None);
        assert_eq!(run!(Incr::new("local", 1).unwrap()), Ok(Some(10)));
        assert_eq!(run!(Decr::new("missing", 1).unwrap()), Ok(None));
        assert_eq!(run!(Touch::new("local", Expiry::Never).unwrap()), Ok(true));
        let value = run!(Get::new("local").unwrap().with_cas()).unwrap().unwrap();
        let cas = value.cas.unwrap();
        assert!(value == "10" && run!(Get::new("local").unwrap().touch(Expiry::Never)).unwrap().is_some());
        run!(Store::cas("local", "11", cas).unwrap()).unwrap();
        let error = run!(Store::cas("local", "12", cas).unwrap()).unwrap_err();
        assert_eq!((error.command(), error.key(), error.landed()), (Some("cas"), Some("local"), Landed::Refused));
        assert!(matches!(run!(Store::add("local", "1").unwrap()), Err(Error::NotStored { .. })));
        assert!(matches!(run!(Incr::new("large", 1).unwrap()), Err(Error::NonNumeric { .. })));
        run!(NoReply(Incr::new("large", 1).unwrap())).unwrap();
        assert_eq!((run!(Delete::new("large").unwrap()), run!(Delete::new("large").unwrap())), (Ok(true), Ok(false)));
        assert_eq!(run!(Version).unwrap().as_str(), "1.6.18");
        assert!(run!(Stats::general()).is_ok() && run!(Stats::slabs()).is_ok());
        run!(StatsDetail(true)).unwrap();
        run!(CacheDump { class: 1, limit: 1 }).unwrap();
        run!(StatsReset).unwrap();
        run!(Verbosity(0)).unwrap();
        run!(FlushAll::now()).unwrap();
    }
}

#[test]
fn handles_are_completed_in_any_order_of_taking_and_outlive_the_connection() {
    let mut connection = typed(Protocol::Classic);
    let mut pending: Vec<_> = ["a", "b", "c"].iter().map(|key| get(key, &mut connection)).collect();
    write(&mut connection);
    connection.feed(b"END\r\nVALUE b 0 1\r\nx\r\nEND\r\nVALUE c 0 1\r\n").unwrap();
    assert_eq!(pending.iter().map(Pending::is_ready).collect::<Vec<_>>(), [true, true, false]);
    assert!(pending[1].take().unwrap().unwrap().is_some_and(|value| value == "x"));
    drop(connection);
    assert_eq!(pending[0].take(), Some(Ok(None)));
    let (landed, text) = landed(pending.remove(2));
    assert!(landed == Landed::NotSent && text.starts_with("get \"c\": ") && text.contains("dropped"), "{text}");
}

#[test]
fn a_dropped_handle_changes_nothing() {
    let mut connection = typed(Protocol::Classic);
    drop(get("a", &mut connection));
    let mut pending = get("b", &mut connection);
    write(&mut connection);
    connection.feed(b"VALUE a 0 1\r\nx\r\nEND\r\nEND\r\n").unwrap();
    assert_eq!(pending.take(), Some(Ok(None)));
    assert!(connection.connection().is_idle());
}

#[test]
fn a_request_is_cancelled_before_and_after_it_is_written() {
    let mut connection = typed(Protocol::Classic);
    let written = get("a", &mut connection);
    write(&mut connection);
    let (unwritten, mut last) = (get("b", &mut connection), get("c", &mut connection));
    assert!(connection.cancel(unwritten));
    assert!(!connection.cancel(written));
    let of_another = get("a", &mut typed(Protocol::Classic));
    assert!(!connection.cancel(of_another));
    assert_eq!(write(&mut connection), b"get c\r\n");
    connection.feed(b"END\r\nVALUE c 0 1\r\nx\r\nEND\r\n").unwrap();
    assert!(last.take().unwrap().unwrap().is_some_and(|value| value == "x"));
    assert!(!connection.cancel(last) && connection.connection().is_idle() && connection.requests.is_empty());
}

#[test]
fn a_failure_says_of_each_request_whether_it_may_have_landed() {
    fn set(key: &str, connection: &mut TypedConnection) -> Pending<()> {
        connection.send(&Store::set(key, "x").unwrap(), now()).unwrap()
    }
    type Failure = fn(&mut TypedConnection);
    let failures: [(Failure, &str); 4] = [
        (|connection| drop(connection.feed(b"").unwrap_err()), "closed"),
        (|connection| drop(connection.feed(b"nonsense\r\n").unwrap_err()), "nonsense"),
        (|connection| connection.fail_pending(&Error::timeout(Landed::NotSent)), "in time"),
        // This one always says that nothing was sent.
        (|connection| connection.fail_pending(&Error::closed()), "closed"),
    ];
    for (fail, text) in failures {
        let mut connection = typed(Protocol::Classic);
        let mut answered = set("a", &mut connection);
        let (written, read) = (set("b", &mut connection), get("c", &mut connection));
        write(&mut connection);
        let unwritten = set("d", &mut connection);
        connection.feed(b"STORED\r\n").unwrap();
        fail(&mut connection);
        assert_eq!(answered.take(), Some(Ok(())));
        for (key, (found, message), expected) in [
            ("set \"b\"", landed(written), Landed::Unknown),
            ("get \"c\"", landed(read), Landed::NotSent),
            ("set \"d\"", landed(unwritten), Landed::NotSent),
        ] {
            assert!(found == expected && message.starts_with(key) && message.contains(text), "{found:?} {message}");
        }
        assert!(connection.send(&Version, now()).is_err());
    }
}

#[test]
fn a_request_that_cannot_be_encoded_has_no_handle() {
    let mut connection = typed(Protocol::Classic);
    let never = FlushAll::at(Expiry::Never);
    assert!(matches!(connection.send(&never, now()), Err(Error::Expiry { .. })));
    let mut pending = get("a", &mut connection);
    assert_eq!(write(&mut connection), b"get a\r\n");
    connection.feed(b"END\r\n").unwrap();
    assert_eq!(pending.take(), Some(Ok(None)));
}

#[test]
fn replies_are_taken_after_a_read_into_the_space_of_the_connection() {
    let mut connection = typed(Protocol::Classic);
    let mut pending = get("a", &mut connection);
    write(&mut connection);
    let space = connection.connection_mut().read_buf();
    space[..5].copy_from_slice(b"END\r\n");
    connection.connection_mut().advance_read(5).unwrap();
    connection.take_replies().unwrap();
    assert_eq!(pending.take(), Some(Ok(None)));
}

#[test]
fn tags_start_again_at_zero() {
    let mut connection = typed(Protocol::Classic);
    connection.first = u32::MAX;
    let mut pending: Vec<_> = ["a", "b", "c"].iter().map(|key| get(key, &mut connection)).collect();
    write(&mut connection);
    connection.feed(b"END\r\nEND\r\nEND\r\n").unwrap();
    assert!(pending.iter_mut().all(|pending| pending.take() == Some(Ok(None))));
    assert_eq!(connection.first, 2);
}

#[test]
fn connections_and_handles_go_to_other_threads() {
    fn is_sent<T: Send + Sync + 'static>() {}
    is_sent::<TypedConnection>();
    is_sent::<Pending<Option<Value>>>();
}

#[test]
fn handles_end_though_the_connection_was_failed_by_hand() {
    let mut connection = typed(Protocol::Classic);
    let pending = get("a", &mut connection);
    let stored = connection.send(&Store::set("b", "x").unwrap(), now()).unwrap();
    write(&mut connection);
    assert_eq!(connection.connection_mut().fail_pending().count(), 2);
    assert!(connection.feed(b"END\r\n").is_err());
    // A read has had no effect.
    assert_eq!(landed(pending).0, Landed::NotSent);
    assert_eq!(landed(stored).0, Landed::Unknown);
}
