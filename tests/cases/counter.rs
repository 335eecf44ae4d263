//! Counting.

use memcached2_proto::{Error, Expiry, Landed};
use memcached2_testkit::assert_matches;

use super::servers::Kind;

super::cases! {
    served {
        an_incr_returns_the_sum,
        an_incr_of_a_missing_key_is_none,
        a_sum_wraps_at_64_bits,
        incr_of_a_value_that_is_no_number_is_an_error,
        a_decr_returns_the_difference_and_stops_at_zero,
        blanks_after_a_stored_number_are_ignored,
        a_decr_of_a_missing_key_is_none,
    }
    scripted {}
}

fn an_incr_returns_the_sum(on: Kind) {
    on.on_each_socket(|client| {
        client.set("n", "5", Expiry::Never).unwrap();
        for (by, sum) in [(0, 5), (1, 6), (100, 106), (u64::from(u32::MAX), 4_294_967_401)] {
            assert_eq!(client.incr("n", by), Ok(Some(sum)));
            assert_eq!(client.get("n").unwrap().expect("a hit"), sum.to_string().as_str());
        }
    });
}

fn an_incr_of_a_missing_key_is_none(on: Kind) {
    on.on_each_socket(|client| {
        assert_eq!(client.incr("n", 1), Ok(None));
        assert_eq!(client.get("n"), Ok(None));
    });
}

fn a_sum_wraps_at_64_bits(on: Kind) {
    on.on_each_socket(|client| {
        for (from, by, sum) in [
            (1 << 32, 1, (1 << 32) + 1),
            (i64::MAX as u64, 1, 1 << 63),
            (0, u64::MAX - 5, u64::MAX - 5),
            (u64::MAX, 1, 0),
            (u64::MAX - 1, 1, u64::MAX),
            (u64::MAX, u64::MAX, u64::MAX - 1),
        ] {
            client.set("n", from.to_string(), Expiry::Never).unwrap();
            assert_eq!(client.incr("n", by), Ok(Some(sum)));
        }
    });
}

fn incr_of_a_value_that_is_no_number_is_an_error(on: Kind) {
    on.on_each_socket(|client| {
        for value in ["word", "-1", "1.5", "18446744073709551616"] {
            client.set("n", value, Expiry::Never).unwrap();
            for error in [client.incr("n", 1).unwrap_err(), client.decr("n", 1).unwrap_err()] {
                assert_matches!((&error, error.landed()), (Error::NonNumeric { .. }, Landed::Refused));
            }
            assert_eq!(client.get("n").unwrap().expect("a hit"), value);
        }
    });
}

fn a_decr_returns_the_difference_and_stops_at_zero(on: Kind) {
    on.on_each_socket(|client| {
        client.set("n", "100", Expiry::Never).unwrap();
        for (by, difference) in [(0, 100), (1, 99), (90, 9), (10, 0), (1, 0), (u64::MAX, 0)] {
            assert_eq!(client.decr("n", by), Ok(Some(difference)));
        }
        client.set("n", u64::MAX.to_string(), Expiry::Never).unwrap();
        assert_eq!(client.decr("n", 1), Ok(Some(u64::MAX - 1)));
        assert_eq!(client.decr("n", u64::MAX), Ok(Some(0)));
    });
}

fn blanks_after_a_stored_number_are_ignored(on: Kind) {
    on.on_each_socket(|client| {
        client.set("n", "100", Expiry::Never).unwrap();
        for (by, difference) in [(1, 99), (90, 9), (9, 0)] {
            assert_eq!(client.decr("n", by), Ok(Some(difference)));
            let stored = client.get("n").unwrap().expect("a hit");
            // A number that gets shorter keeps its place in memory, unless the server is looking after the item just
            // then and makes a new one.
            let stored = std::str::from_utf8(stored.data()).unwrap();
            assert_eq!(stored.trim_end_matches(' '), difference.to_string());
            assert!(stored.len() <= 3, "{stored:?}");
        }
        client.set("n", "9  ", Expiry::Never).unwrap();
        assert_eq!(client.decr("n", 1), Ok(Some(8)));
        assert_eq!(client.incr("n", 4), Ok(Some(12)));
    });
}

fn a_decr_of_a_missing_key_is_none(on: Kind) {
    on.on_each_socket(|client| {
        assert_eq!(client.decr("n", 1), Ok(None));
        assert_eq!(client.get("n"), Ok(None));
    });
}
