use super::*;

const BOUND: Duration = Duration::from_secs(8);

fn at(seconds: u64) -> Instant {
    Instant::ZERO + Duration::from_secs(seconds)
}

fn users() -> Space {
    Space::new(b"users", 0).unwrap()
}

fn place(space: &Space, now: Instant) -> Result<Vec<u8>, Question> {
    space.place(now, BOUND, LongKeys::Refuse).map(|place| sent(&place, b"a"))
}

fn sent(place: &Place, key: &[u8]) -> Vec<u8> {
    place.key(key).unwrap().into_bytes()
}

fn answered(space: &Space, question: &Question, number: u64) -> Result<Vec<u8>, u64> {
    let now = SystemTime::UNIX_EPOCH + Duration::from_secs(100);
    space.answered(question, number, now, LongKeys::Refuse).map(|place| sent(&place, b"a"))
}

#[test]
fn a_number_is_used_for_the_time_since_it_was_asked_for_and_one_caller_asks_early() {
    let space = users();
    let question = place(&space, at(10)).unwrap_err();
    // It took five seconds, which count.
    assert_eq!(answered(&space, &question, 7), Ok(b"users:7:a".to_vec()));
    assert_eq!(place(&space, at(13)), Ok(b"users:7:a".to_vec()));
    let early = place(&space, at(14)).unwrap_err();
    assert_eq!(place(&space, at(14)), Ok(b"users:7:a".to_vec()));
    // The one that asks may never come back.
    assert!(place(&space, at(16)).is_err());
    assert_eq!(place(&space, at(17)), Ok(b"users:7:a".to_vec()));
    assert!(place(&space, at(18)).is_err() && place(&space, at(18)).is_err());
    let known = |now| space.known_place(now, BOUND, LongKeys::Refuse).map(|place| sent(&place, b"a"));
    assert_eq!((known(at(17)), known(at(18))), (Some(b"users:7:a".to_vec()), None));
    assert_eq!(answered(&space, &early, 7), Ok(b"users:7:a".to_vec()));
    assert_eq!((known(at(21)).is_some(), known(at(22))), (true, None));
    assert!(space.place(at(14), Duration::ZERO, LongKeys::Refuse).is_err());
}

#[test]
fn the_highest_number_is_left_for_a_new_one_since_a_clear_would_end_where_it_began() {
    let space = users();
    let by = answered(&space, &place(&space, at(0)).unwrap_err(), u64::MAX).unwrap_err();
    let new = u64::MAX.wrapping_add(by);
    let clear = space.forget(at(1)).unwrap();
    assert_eq!(answered(&space, clear.question(), new), Ok(format!("users:{new}:a").into_bytes()));
    clear.end();
    // It was set to the highest, and cleared.
    let clear = space.forget(at(2)).unwrap();
    let by = answered(&space, clear.question(), 0).unwrap_err();
    assert!(by > new && by < u64::MAX, "{by}");
    assert_eq!(answered(&space, clear.question(), by), Ok(format!("users:{by}:a").into_bytes()));
}

#[test]
fn an_answer_from_before_a_clear_does_not_bring_the_old_number_back() {
    let space = users();
    let first = place(&space, at(0)).unwrap_err();
    answered(&space, &first, 7).unwrap();
    let slow = place(&space, at(5)).unwrap_err();
    let clear = space.forget(at(6)).unwrap();
    assert!(place(&space, at(6)).is_err());
    assert_eq!(answered(&space, clear.question(), 8), Ok(b"users:8:a".to_vec()));
    clear.end();
    assert_eq!(answered(&space, &slow, 7), Ok(b"users:8:a".to_vec()));
    assert_eq!(place(&space, at(7)), Ok(b"users:8:a".to_vec()));
}

#[test]
fn after_a_clear_that_has_failed_the_number_is_asked_for_though_another_caller_did_so_meanwhile() {
    let space = users();
    let clear = space.forget(at(0)).unwrap();
    let meanwhile = place(&space, at(0)).unwrap_err();
    assert_eq!(answered(&space, &meanwhile, 7), Ok(b"users:7:a".to_vec()));
    assert_eq!(place(&space, at(1)), Ok(b"users:7:a".to_vec()));
    // The server may have raised it after that, and after one that is answered late.
    let late = place(&space, at(4)).unwrap_err();
    drop(clear);
    assert_eq!(answered(&space, &late, 7), Ok(b"users:7:a".to_vec()));
    let next = place(&space, at(4)).unwrap_err();
    assert_eq!(answered(&space, &next, 8), Ok(b"users:8:a".to_vec()));
    assert_eq!(place(&space, at(5)), Ok(b"users:8:a".to_vec()));
}

#[test]
fn a_number_that_goes_back_has_to_rise_above_all_before() {
    let space = users();
    let question = place(&space, at(0)).unwrap_err();
    let high = space.first(SystemTime::UNIX_EPOCH + Duration::from_secs(1_000_000));
    answered(&space, &question, high).unwrap();
    let question = place(&space, at(20)).unwrap_err();
    let by = answered(&space, &question, 7).unwrap_err();
    assert!(by + 7 > high, "{by}");
    assert_eq!(answered(&space, &question, by + 7), Ok(format!("users:{}:a", by + 7).into_bytes()));
}

#[test]
fn a_first_number_is_above_those_of_any_second_before_and_differs_in_the_same_second() {
    let first = |seconds| users().first(SystemTime::UNIX_EPOCH + Duration::from_secs(seconds));
    let numbers: Vec<_> = (0..50).map(|_| first(1_800_000_000)).collect();
    assert!(numbers.iter().all(|number| *number < first(1_800_000_001)));
    assert!(numbers.iter().collect::<std::collections::BTreeSet<_>>().len() > 45, "{numbers:?}");
    // Clocks of the year 2200 still leave room for `clear`.
    assert!(first(7_258_118_400) < u64::MAX / 2);
}

#[test]
fn a_name_leaves_room_for_a_hashed_key() {
    assert!(Space::new(&[b'n'; 178], 0).is_ok() && Space::new(&[b'n'; 170], 8).is_ok());
    for (name, prefix) in [(&[b'n'; 179][..], 0), (&[b'n'; 171], 8), (b"", 0), (b"two words", 0)] {
        assert!(matches!(Space::new(name, prefix), Err(Error::Key { .. })), "{name:?}");
    }
    assert!(matches!(Space::whole(0).forget(at(0)), Err(Error::Argument { .. })));
}

#[cfg(feature = "long-keys")]
mod long_keys {
    use bytes::Bytes;

    use super::*;
    use crate::value::Value;

    fn hashing(prefix: usize, long_keys: LongKeys) -> Place {
        Space::whole(prefix).place(at(0), BOUND, long_keys).unwrap()
    }

    #[test]
    fn a_key_is_hashed_only_if_it_has_to_be_or_looks_like_a_hash() {
        let place = hashing(0, LongKeys::Hash);
        assert_eq!(sent(&place, b"a"), b"a");
        assert_eq!(sent(&place, &[b'k'; 250]), [b'k'; 250]);
        // The digest of "two words" by sha256sum, in base64url.
        let hash = b"sha256:oD8dYRZF61OtFsGvVGygeS3IhFBbq1ft6A9NrWuRHTo";
        assert_eq!(sent(&place, b"two words"), hash);
        let long = sent(&place, &[b'k'; 251]);
        assert!(long.starts_with(b"sha256:") && long.len() == hash.len());
        assert_ne!(sent(&place, &long), long);
        assert_eq!(sent(&hashing(1, LongKeys::Hash), &[b'k'; 250]).len(), hash.len());
    }

    #[test]
    fn a_value_with_another_key_before_it_is_a_miss() {
        let place = hashing(0, LongKeys::HashAndCheck);
        let (one, two) = ([b'1'; 300], [b'2'; 301]);
        let (one, two) = (place.key(&one).unwrap(), place.key(&two).unwrap());
        let stored = one.frame("value").unwrap();
        let stored = crate::data::ToValue::to_value(&stored).unwrap();
        let value = || Some(Value::new(Bytes::copy_from_slice(stored.as_bytes()), 7));
        assert_eq!(value().open(&one), Some(Value::new(Bytes::from_static(b"value"), 7)));
        assert_eq!(value().open(&two), None);
        for foreign in [&b""[..], b"\0\0", b"\xff\xff\xff\xffvalue", b"value"] {
            assert_eq!(Some(Value::new(Bytes::copy_from_slice(foreign), 0)).open(&one), None, "{foreign:?}");
        }
        assert!(matches!(one.plain(), Err(Error::Argument { .. })));
        let short = place.key("short").unwrap();
        assert_eq!((short.plain(), value().open(&short)), (Ok(()), value()));
    }
}
