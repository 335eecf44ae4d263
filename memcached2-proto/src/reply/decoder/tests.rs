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
    read(&mut decoder, "VALUE b 0 1\r\ny\r\nEN O0007\r\n");
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
