use memcached2_testkit::Rng;

use super::*;
use crate::value::Value;

/// A decoder that expects a reply of this kind, and the keys that it may name.
fn expecting(kind: ReplyKind) -> (Decoder, ExpectedKeys) {
    let (mut decoder, mut keys) = (Decoder::new(Limits::default()), ExpectedKeys::default());
    decoder.expect(Expected::new(kind, Opaque::from_ticket(7)));
    for key in [b"a", b"b", b"c"] {
        keys.push(key);
    }
    keys.open(keys.size());
    (decoder, keys)
}

fn read(decoder: &mut Decoder, bytes: &str) {
    decoder.read_buf()[..bytes.len()].copy_from_slice(bytes.as_bytes());
    decoder.advance_read(bytes.len());
}

#[test]
fn a_reply_that_is_half_done_is_not_nothing_though_no_byte_waits() {
    for (kind, begun) in [
        (ReplyKind::FencedValues, "END\r\n"),
        (ReplyKind::Values, "SERVER_ERROR backend failure\r\n"),
        (ReplyKind::Stats, "STAT a 1\r\n"),
        (ReplyKind::Value, "VALUE a 0 1\r\nx\r\n"),
    ] {
        let (mut decoder, mut keys) = expecting(kind);
        assert!(decoder.is_empty());
        read(&mut decoder, begun);
        assert_eq!(decoder.decode(&mut keys, true), Ok(None));
        assert!(decoder.pending().is_empty() && !decoder.is_empty(), "{begun:?}");
    }
}

#[test]
fn the_keys_that_a_fence_follows_end_once() {
    let (mut decoder, mut keys) = expecting(ReplyKind::FencedValues);
    read(&mut decoder, "END\r\nEND\r\n");
    let error = decoder.decode(&mut keys, true).unwrap_err();
    assert!(error.to_string().contains("END twice"), "{error}");
}

#[test]
fn no_value_is_taken_after_the_end_of_the_keys_though_it_begins_what_is_read() {
    let (mut decoder, mut keys) = expecting(ReplyKind::FencedValues);
    read(&mut decoder, "END\r\n");
    assert_eq!(decoder.decode(&mut keys, true), Ok(None));
    read(&mut decoder, "VALUE a 0 1\r\ny\r\nEN O0007\r\n");
    assert!(decoder.decode(&mut keys, true).is_err());
}

#[test]
fn a_value_that_a_fence_follows_is_not_the_whole_reply() {
    let (mut decoder, mut keys) = expecting(ReplyKind::Value);
    decoder.expect(Expected { is_fenced: true, ..decoder.expected() });
    read(&mut decoder, "VALUE a 0 1\r\nx\r\nEND\r\n");
    assert_eq!(decoder.decode(&mut keys, true), Ok(None));
    read(&mut decoder, "NF O0007\r\n");
    assert_eq!(decoder.decode(&mut keys, true), Ok(Some((Reply::Value(0, Value::new("x".into(), 0)), true))));
}

#[test]
fn data_that_reads_as_a_reply_is_data() {
    let data = "VALUE b 0 1\r\ny\r\nEND\r\n";
    let (mut decoder, mut keys) = expecting(ReplyKind::Value);
    read(&mut decoder, &format!("VALUE a 0 {}\r\n", data.len()));
    assert_eq!(decoder.decode(&mut keys, true), Ok(None));
    read(&mut decoder, data);
    assert_eq!(decoder.decode(&mut keys, true), Ok(None));
    read(&mut decoder, "\r\nEND\r\n");
    assert_eq!(decoder.decode(&mut keys, true), Ok(Some((Reply::Value(0, Value::new(data.into(), 0)), true))));
}

#[test]
fn what_is_said_to_all_is_the_whole_reply_to_several_keys() {
    let line = "CLIENT_ERROR unauthenticated";
    for kind in [ReplyKind::Values, ReplyKind::FencedValues] {
        let (mut decoder, mut keys) = expecting(kind);
        read(&mut decoder, &format!("{line}\r\n"));
        assert_eq!(decoder.decode(&mut keys, true), Ok(Some((Reply::Refused(line.into()), true))));
        assert!(decoder.is_empty());
    }
}

#[test]
fn no_more_error_lines_are_taken_than_keys_were_asked_for() {
    let line = "SERVER_ERROR backend failure\r\n";
    for (lines, is_good) in [(3, true), (4, false)] {
        let (mut decoder, mut keys) = expecting(ReplyKind::Values);
        read(&mut decoder, &format!("{}END\r\n", line.repeat(lines)));
        assert_eq!(decoder.decode(&mut keys, true).is_ok(), is_good, "{lines}");
    }
}

#[test]
fn the_answer_to_the_last_key_comes_after_the_end_of_the_others() {
    for (stream, expected, is_in_doubt) in [
        ("END\r\nEN O0007\r\n", Some(Reply::End), false),
        // Without its opaque it proves nothing.
        ("END\r\nEN\r\n", Some(Reply::End), true),
        ("EN O0007\r\n", None, false),
        ("EN\r\n", None, true),
    ] {
        let (mut decoder, mut keys) = expecting(ReplyKind::FencedValues);
        read(&mut decoder, stream);
        let decoded = decoder.decode(&mut keys, true);
        assert_eq!(decoded.clone().ok(), expected.map(|reply| Some((reply, true))), "{stream:?}: {decoded:?}");
        assert_eq!(decoder.is_in_doubt(), is_in_doubt, "{stream:?}");
    }
}

#[test]
fn a_value_and_statistics_may_be_as_long_as_their_limit() {
    let limits = Limits { value: 10, stats: 10, ..Limits::default() };
    for (kind, stream, is_good) in [
        (ReplyKind::Value, "VALUE a 0 10\r\n", true),
        (ReplyKind::Value, "VALUE a 0 11\r\n", false),
        // The name, a blank, the value and the line end.
        (ReplyKind::Stats, "STAT name 123\r\n", true),
        (ReplyKind::Stats, "STAT name 1234\r\n", false),
    ] {
        let (_, mut keys) = expecting(kind);
        let mut decoder = Decoder::new(limits);
        decoder.expect(Expected::new(kind, Opaque::from_ticket(7)));
        read(&mut decoder, stream);
        assert_eq!(decoder.decode(&mut keys, true).is_ok(), is_good, "{stream:?}");
    }
}

#[test]
fn error_lines_of_a_quiet_batch_answer_one_of_its_requests_each() {
    let number = "CLIENT_ERROR cannot increment or decrement non-numeric value\r\n";
    let (too_large, all) = ("SERVER_ERROR object too large for cache\r\n", "CLIENT_ERROR unauthenticated\r\n");
    for (kind, lines, is_good) in [
        (ReplyKind::QuietSet, vec![too_large], true),
        (ReplyKind::QuietSet, vec![too_large; 2], true),
        (ReplyKind::QuietSet, vec![too_large; 3], false),
        // A reply to the first of two: there is one left.
        (ReplyKind::QuietSet, vec!["HD O000700\r\n", too_large], true),
        (ReplyKind::QuietSet, vec!["HD O000700\r\n", too_large, too_large], false),
        (ReplyKind::QuietSet, vec!["EX O000701\r\n"], true),
        (ReplyKind::QuietSet, vec!["HD O000702\r\n"], false),
        (ReplyKind::QuietSet, vec!["MNO\r\n"], false),
        (ReplyKind::QuietArithmetic, vec![number], true),
        (ReplyKind::QuietSet, vec![number], false),
        (ReplyKind::QuietSet, vec![all], true),
        (ReplyKind::QuietSet, vec![too_large, all], false),
    ] {
        let (mut decoder, mut keys) = (Decoder::new(Limits::default()), ExpectedKeys::default());
        decoder.expect(Expected::new(kind, Opaque::from_ticket(7)));
        keys.push_part(10);
        keys.push_part(10);
        keys.open(keys.size());
        read(&mut decoder, &lines.concat());
        let result = loop {
            match decoder.decode(&mut keys, true) {
                Ok(Some(_)) => {}
                end => break end,
            }
        };
        assert_eq!(result.is_ok(), is_good, "{lines:?}: {result:?}");
    }
}

#[test]
fn a_decoder_does_not_panic_whatever_is_expected_in_the_middle_of_a_reply_or_after_an_error() {
    const KINDS: [ReplyKind; 12] = [
        ReplyKind::Ok,
        ReplyKind::Value,
        ReplyKind::Values,
        ReplyKind::FencedValues,
        ReplyKind::Config,
        ReplyKind::Stats,
        ReplyKind::MetaStored,
        ReplyKind::MetaValue,
        ReplyKind::MetaNumber,
        ReplyKind::MetaArithmetic,
        ReplyKind::QuietGet,
        ReplyKind::QuietSet,
    ];
    const PIECES: [&str; 20] = [
        "VALUE a 0 1\r\n",
        "x\r\n",
        "END\r\n",
        "VALUE b 0 5000\r\n",
        "VA 5000 kb O0007\r\n",
        "VA 1 f0 O0007\r\n",
        "VA 1 O000700\r\n",
        "CONFIG a 0 1\r\n",
        "STAT a 1\r\n",
        "ERROR\r\n",
        "SERVER_ERROR backend failure\r\n",
        "EN\r\n",
        "EN O0007\r\n",
        "NF O0007\r\n",
        "HD O0007\r\n",
        "HD O000701\r\n",
        "MN\r\n",
        "\r",
        "12",
        "xxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxx",
    ];
    for seed in 0..2000 {
        let mut rng = Rng::new(seed);
        let limits = Limits {
            line: [0, 20, usize::MAX][rng.below(3)],
            value: [0, 1, usize::MAX][rng.below(3)],
            ..Limits::default()
        };
        let (mut decoder, mut keys) = (Decoder::new(limits), ExpectedKeys::default());
        for _ in 0..60 {
            match rng.below(12) {
                0 => decoder.expect(Expected {
                    reply_kind: KINDS[rng.below(KINDS.len())],
                    opaque: Opaque::from_ticket(7),
                    is_fenced: rng.once_in(2),
                }),
                1 => keys.push(["a", "b", ""][rng.below(3)].as_bytes()),
                2 => keys.open([0, 2, 4, usize::MAX][rng.below(4)]),
                3 => keys.close(),
                4 => decoder.advance_read(rng.below(3)),
                5 | 6 => drop(decoder.decode(&mut keys, rng.once_in(2))),
                _ => {
                    let bytes = PIECES[rng.below(PIECES.len())].as_bytes();
                    let space = decoder.read_buf();
                    let n = bytes.len().min(space.len());
                    space[..n].copy_from_slice(&bytes[..n]);
                    decoder.advance_read(n);
                    assert!(
                        decoder.announced() <= Data::MAX + DATA_END.len() && decoder.pending().len() <= Decoder::BUFFER
                    );
                }
            }
        }
    }
}
