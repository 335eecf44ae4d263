use super::*;

const START: u64 = 1_700_000_000;

fn store(memory_limit: usize) -> (Store, Moment) {
    let store = Store::new(memory_limit, 1024 * 1024, START);
    let now = store.moment(START);
    (store, now)
}

fn set(store: &mut Store, key: &str, value: &str, exptime: i32, now: Moment) {
    let exptime = store.expiry(exptime, now);
    let item = Incoming { key: key.into(), value: value.into(), exptime, ..Incoming::default() };
    assert!(matches!(store.put(Mode::Set, item, now), Outcome::Stored(_)));
}

#[test]
fn an_item_lives_as_long_as_its_expiry_time_says() {
    let cases = [
        (0, Some(u32::MAX - 1_000_000)),
        (1, Some(0)),
        (100, Some(99)),
        (2_592_000, Some(2_591_999)),
        (2_592_001, None),
        (1_700_000_010, Some(9)),
        (1_700_000_000, None),
        (1_699_999_999, None),
        (-1, None),
        (i32::MIN, None),
    ];
    for (exptime, last) in cases {
        let (mut store, now) = store(1_000_000);
        set(&mut store, "k", "v", exptime, now);
        assert_eq!(store.find(b"k", now).is_some(), last.is_some(), "{exptime} at once");
        if let Some(last) = last {
            assert!(store.find(b"k", now + last).is_some(), "{exptime} after {last} seconds");
            assert_eq!(store.find(b"k", now + last + 1).is_some(), exptime == 0, "{exptime} a second later");
        }
    }
}

#[test]
fn a_flush_hides_what_was_stored_before_it_fires() {
    let (mut store, now) = store(1_000_000);
    set(&mut store, "before", "v", 0, now);
    store.flush_all(0, true, now);
    set(&mut store, "after", "v", 0, now);
    assert!(store.find(b"before", now).is_none());
    assert!(store.find(b"after", now).is_some());

    store.flush_all(10, true, now);
    set(&mut store, "meanwhile", "v", 0, now + 5);
    assert!(store.find(b"after", now + 8).is_some());
    assert!(store.find(b"meanwhile", now + 8).is_some());
    assert!(store.find(b"after", now + 10).is_none());
    assert!(store.find(b"meanwhile", now + 10).is_none());
    set(&mut store, "later", "v", 0, now + 10);
    assert!(store.find(b"later", now + 10).is_some());
}

#[test]
fn the_item_that_was_not_used_for_longest_makes_space() {
    let space = size(b"a", 0, 10);
    let (mut store, now) = store(3 * space);
    for key in ["a", "b", "c"] {
        set(&mut store, key, "0123456789", 0, now);
    }
    assert!(store.fetch(b"a", now).is_some());
    set(&mut store, "d", "0123456789", 0, now);
    let left: Vec<_> =
        ["a", "b", "c", "d"].into_iter().filter(|key| store.find(key.as_bytes(), now).is_some()).collect();
    assert_eq!(left, ["a", "c", "d"]);
    assert_eq!((store.bytes, store.len()), (3 * space, 3));
    assert_eq!(store.fit(b"a", 0, 4 * space), Fit::NoMemory);
}

#[test]
fn an_item_counts_its_header_its_key_and_its_flags() {
    assert_eq!(size(b"a", 0, 1), 61);
    assert_eq!(size(b"a", 1, 1), 65);
    let (store, _) = store(10_000_000);
    assert_eq!(store.fit(b"a", 0, 1_048_576 - 60), Fit::Fits);
    assert_eq!(store.fit(b"a", 0, 1_048_576 - 59), Fit::TooLarge);
    assert_eq!([61, 96, 97, 524_289].map(|size| store.classes.of(size)), [1, 1, 2, 39]);
}

#[test]
fn a_counter_keeps_its_length_in_place() {
    let cases = [
        ("10", false, 1, "9 "),
        ("9", true, 1, "10"),
        ("5", false, 9, "0"),
        ("18446744073709551615", true, 1, "0                   "),
        ("007", true, 1, "8  "),
    ];
    for (old, up, by, new) in cases {
        let (mut store, now) = store(1_000_000);
        set(&mut store, "n", old, 0, now);
        assert!(matches!(store.delta(b"n", up, by, 0, now), Delta::Done(_)), "{old}");
        assert_eq!(store.find(b"n", now).map(|item| &item.value[..]), Some(new.as_bytes()), "{old}");
    }
}
