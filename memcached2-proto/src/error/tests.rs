use std::error::Error as _;

use super::*;
use crate::reply::error_line;

#[test]
fn an_error_line_says_whether_the_request_may_have_landed() {
    for (line, landed) in [
        ("ERROR", Landed::Refused),
        ("CLIENT_ERROR bad data chunk", Landed::Refused),
        ("SERVER_ERROR object too large for cache", Landed::Refused),
        ("SERVER_ERROR out of memory storing object", Landed::Refused),
        ("SERVER_ERROR Out of memory during read", Landed::Refused),
        ("SERVER_ERROR backend failure", Landed::Unknown),
        ("SERVER_ERROR timeout", Landed::Unknown),
        ("SERVER_ERROR", Landed::Unknown),
    ] {
        assert_eq!(error_line::refusal(&Arc::from(line)).landed(), landed, "{line}");
    }
}

#[test]
fn an_error_of_a_batch_says_how_many_items_failed_and_why() {
    let refused = || Err(error_line::refusal(&Arc::from("SERVER_ERROR object too large for cache")));
    for (results, landed, failed) in [
        (vec![Err(Error::closed()), Err(Error::no_servers())], Landed::NotSent, 2),
        (vec![refused(), Err(Error::closed())], Landed::Refused, 2),
        (vec![Ok(()), refused()], Landed::Unknown, 1),
        (vec![refused(), Err(Error::timeout(Landed::Unknown))], Landed::Unknown, 2),
    ] {
        let first = results.iter().find_map(|result| result.as_ref().err()).unwrap().to_string();
        let error = Error::MultiStorage { results: results.into() };
        assert_eq!(error.landed(), landed);
        let text = error.to_string();
        assert!(text.starts_with(&format!("{failed} of 2 items were not stored")) && text.ends_with(&first), "{text}");
    }
}

#[test]
fn the_text_of_an_error_names_the_request_and_its_server() {
    let refused = || io::Error::from(io::ErrorKind::ConnectionRefused);
    let down = |cause: Error| Error::Down { request: FailedRequest::default(), cause: Some(Cause::new(cause)) };
    let all_down = || {
        let cause = Some(Cause::new(Error::timeout(Landed::Unknown).at(&"b:11211".into())));
        Error::AllDown { request: FailedRequest::default(), servers: 3, cause }
    };
    for (error, text) in [
        (Error::not_stored(), "add \"k\": not stored: the condition of the request was not met"),
        // Of a `cas` and of a `delete_cas`.
        (Error::exists(), "add \"k\": the item has changed since it was fetched, so nothing was done; fetch it again"),
        (
            Error::timeout(Landed::NotSent),
            "add \"k\": a:11211 did not answer in time (the request had no effect); raise the timeout if it is only slow",
        ),
        (
            Error::connect(&refused()),
            "add \"k\": cannot connect to a:11211: connection refused; is memcached running there?",
        ),
        (
            down(Error::connect(&refused()).at(&"a:11211".into())),
            "add \"k\": a:11211 is down, and its retry is not due yet (cannot connect \
                to it: connection refused)",
        ),
        (
            all_down(),
            "add \"k\": all 3 servers are down, and their retries are not due yet (b:11211: it did \
                not answer in time)",
        ),
    ] {
        let error = error.of_request("add", Some(b"k"), Some(&"a:11211".into()));
        assert_eq!(error.to_string(), text);
        assert_eq!((error.command(), error.key(), error.server()), (Some("add"), Some("k"), Some("a:11211")));
    }
}

#[test]
fn the_source_of_an_error_is_the_io_error_or_the_failure_of_the_server() {
    let reset = io::Error::from_raw_os_error(104);
    for error in [Error::connect(&reset), Error::lost(&reset, Landed::Unknown)] {
        let source = error.source().and_then(|source| source.downcast_ref::<io::Error>()).expect("an io::Error");
        assert_eq!((source.kind(), source.raw_os_error()), (reset.kind(), Some(104)));
        let down = Error::Down { request: FailedRequest::default(), cause: Some(Cause::new(error.clone())) };
        assert_eq!(down.source().and_then(|source| source.downcast_ref::<Error>()), Some(&error));
    }
    assert!(Error::timeout(Landed::Unknown).source().is_none());
}

#[test]
fn what_may_have_landed_or_will_fail_again_is_not_safe_to_retry() {
    let replicas = |lines: &[&str]| {
        let results = lines.iter().map(|line| Err(error_line::refusal(&Arc::from(*line)))).collect();
        Error::Replicas { request: FailedRequest::default(), results }
    };
    for (error, is_safe) in [
        (Error::timeout(Landed::NotSent), true),
        (Error::timeout(Landed::Unknown), false),
        (Error::connect(&io::ErrorKind::TimedOut.into()), true),
        (Error::overloaded(), true),
        (error_line::refusal(&"SERVER_ERROR out of memory storing object".into()), true),
        (error_line::refusal(&TOO_LARGE.into()), false),
        (replicas(&["SERVER_ERROR out of memory storing object"; 2]), true),
        (replicas(&["SERVER_ERROR out of memory storing object", TOO_LARGE]), false),
        (error_line::refusal(&"SERVER_ERROR backend failure".into()), false),
        (error_line::refusal(&"CLIENT_ERROR bad data chunk".into()), false),
        (Error::not_stored(), false),
        (Error::closed(), false),
    ] {
        assert_eq!(error.is_safe_to_retry(), is_safe, "{error}");
    }
}

#[test]
fn an_error_is_small() {
    assert!(size_of::<Error>() <= 40, "{}", size_of::<Error>());
}
