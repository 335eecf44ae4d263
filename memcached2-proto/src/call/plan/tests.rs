use super::*;
use crate::call::Call;
use crate::operation::DeleteMany;
use crate::time::{Now, time_to_wait};

#[test]
fn a_large_call_keeps_time_back_and_a_small_one_does_not_ask_for_it() {
    let (router, begun) = (Router::parse(["server"]).unwrap(), Instant::ZERO);
    let now = Now::fixed(begun, std::time::UNIX_EPOCH);
    let keys = vec!["key"; 5000];
    let delete = |count: usize| Call::new(DeleteMany::new(&keys[..count]).unwrap(), &router, now);
    let mut large = delete(5000);
    large.keep_time_to_merge(|| begun + Duration::from_millis(100));
    let left = |seconds| time_to_wait(Duration::from_secs(seconds), large.time_to_merge());
    assert_eq!((left(1), left(0)), (Duration::from_millis(800), Duration::ZERO));
    assert_eq!(time_to_wait(Duration::from_millis(100), large.time_to_merge()), Duration::from_millis(50));
    let mut small = delete(100);
    small.keep_time_to_merge(|| panic!("the clock is read"));
    assert_eq!(small.time_to_merge(), Duration::ZERO);
}

#[test]
fn what_is_next_after_a_failure() {
    let router = Router::parse(["a", "b"]).unwrap();
    let options = crate::Options::default().reconnect(crate::ReconnectPolicy::Immediately);
    let never_down = Router::with_options(["a", "b"], &options).unwrap();
    let first = SubRequest::new(ServerId(0), 0);
    let (retried, moved) = (SubRequest { is_retry: true, ..first }, SubRequest { moves: MOVES, ..first });
    let next = |sub_request: SubRequest, landed, fault, repeatable| {
        sub_request.next_after_failure(landed, fault, repeatable, &router)
    };
    use Landed::{NotSent, Refused, Unknown};
    for repeatable in [false, true] {
        // A dead connection: once more, if that does no harm.
        assert_eq!(next(first, NotSent, Fault::Connection, repeatable), State::Retry);
        assert_eq!(next(retried, NotSent, Fault::Connection, repeatable), State::Ended);
        assert_eq!(next(retried, Unknown, Fault::Connection, repeatable), State::Ended);
        let may_be_repeated = if repeatable { State::Retry } else { State::Ended };
        assert_eq!(next(first, Unknown, Fault::Connection, repeatable), may_be_repeated);
        // A server that is down: another one, if nothing was sent.
        assert_eq!(next(first, NotSent, Fault::Server, repeatable), State::Move);
        assert_eq!(next(retried, NotSent, Fault::Server, repeatable), State::Move);
        assert_eq!(next(moved, NotSent, Fault::Server, repeatable), State::Ended);
        for landed in [Refused, Unknown] {
            assert_eq!(next(first, landed, Fault::Server, repeatable), State::Ended);
        }
        assert_eq!(first.next_after_failure(NotSent, Fault::Server, repeatable, &never_down), State::Ended);
        for landed in [NotSent, Refused, Unknown] {
            assert_eq!(next(first, landed, Fault::Nobody, repeatable), State::Ended);
        }
    }
}

#[test]
fn many_keys_of_the_only_server_end_at_once_while_it_is_down() {
    let options = crate::Options::default().reconnect(crate::ReconnectPolicy::After(Duration::from_secs(30)));
    let (router, begun) = (Router::with_options(["server"], &options).unwrap(), Instant::ZERO);
    let now = Now::fixed(begun, std::time::UNIX_EPOCH);
    let delete = || Call::new(DeleteMany::new(&["a", "b"]).unwrap(), &router, now);
    let mut first = delete();
    let mut batch = first.batch(0).unwrap();
    first.fail_batch(&mut batch, &Error::connect(&std::io::ErrorKind::ConnectionRefused.into()));
    assert!(batch.is_done() && !first.end_round(|| begun) && first.finish().is_ok());
    let second = delete();
    assert!(second.batch(0).is_none());
    let results = second.finish().unwrap();
    assert!(
        results.iter().all(|result| matches!(result, Err(Error::AllDown { .. } | Error::Down { .. }))),
        "{results:?}"
    );
}

#[test]
fn a_request_among_many_takes_little_memory() {
    assert!(size_of::<SubRequest>() <= 16, "{}", size_of::<SubRequest>());
}
