use std::panic::{AssertUnwindSafe, catch_unwind};

use super::*;

/// Encodes half a request, then gives up in one way or another.
fn half(buffer: &mut RequestBuffer, give_up: fn() -> Error) -> Result<ReplyKind, Error> {
    buffer.put(b"set ");
    buffer.ask_key(Key::new("k")?);
    buffer.put_data(&Data::from(vec![b'x'; Data::SHARED_MIN]));
    Err(give_up())
}

#[test]
fn a_request_that_cannot_be_encoded_leaves_no_bytes() {
    for give_up in [|| Error::expiry(), || panic!("a bug in somebody's command")] {
        let mut buffer = RequestBuffer::default();
        buffer.put(b"before");
        let result = catch_unwind(AssertUnwindSafe(|| buffer.encode(0, |buffer| half(buffer, give_up))));
        assert!(!matches!(result, Ok(Ok(_))), "half a request was taken");
        assert_eq!((&buffer.bytes[..], buffer.len(), buffer.keys.size()), (&b"before"[..], 6, 0));
    }
}

/// What is wrong with a request, if it cannot be sent.
fn refusal(encode: impl FnOnce(&mut RequestBuffer) -> ReplyKind) -> Option<String> {
    let mut buffer = RequestBuffer::default();
    buffer.encode(0, |buffer| Ok(buffer_line(buffer))).unwrap();
    let before = buffer.bytes.clone();
    let result = buffer.encode(0, |buffer| Ok(encode(buffer)));
    let error = result.err()?;
    assert_eq!((&buffer.bytes, buffer.fence, buffer.ticket), (&before, 0, 1), "{error}");
    assert_eq!(error.landed(), Landed::NotSent);
    assert!(buffer.encode(0, |buffer| Ok(buffer_line(buffer))).is_ok(), "the next one is another one");
    Some(error.to_string())
}

fn buffer_line(buffer: &mut RequestBuffer) -> ReplyKind {
    buffer.put(b"line\r\n");
    ReplyKind::Ok
}

#[test]
fn a_request_whose_bytes_or_fence_are_wrong_is_refused() {
    type Encode = fn(&mut RequestBuffer);
    let endless = cfg!(debug_assertions).then_some("does not end in CR LF");
    let cases: [(ReplyKind, Encode, Option<&str>); 14] = [
        (ReplyKind::Ok, |_| {}, Some("without bytes")),
        (ReplyKind::Ok, |out| out.put(b"line"), endless),
        (ReplyKind::Stored, |out| out.put_data(&Data::from(&[b'\n'; Data::SHARED_MIN][..])), endless),
        (ReplyKind::Stored, |out| out.put_data(&Data::from(vec![b'x'; Data::SHARED_MIN])), endless),
        (ReplyKind::Ok, |out| out.put(b"line\r\n"), None),
        (ReplyKind::Ok, RequestBuffer::put_server_fence, Some("what it follows does not end in CR LF")),
        (
            ReplyKind::Ok,
            |out| (out.put(b"line"), out.put_server_fence()).1,
            Some("what it follows does not end in CR LF"),
        ),
        (ReplyKind::Ok, |out| (out.put(b"line\r\n"), out.put_server_fence()).1, None),
        (
            ReplyKind::Ok,
            |out| (out.put(b"line\r\n"), out.put_server_fence(), out.put_server_fence()).2,
            Some("two fences"),
        ),
        (
            ReplyKind::Ok,
            |out| (out.put(b"a\r\n"), out.put_server_fence(), out.put(b"b\r\n")).2,
            Some("something follows it"),
        ),
        (ReplyKind::FencedValues, |out| (out.put(b"get a\r\nmg b"), out.end_with_opaque()).1, None),
        (ReplyKind::FencedValues, |out| (out.put(b"mg b\r\n"), out.put_server_fence()).1, Some("takes its place")),
        (ReplyKind::QuietGet, |out| (out.put(b"mg b\r\n"), out.put_server_fence()).1, Some("only a `QuietPart`")),
        // What was wrong first is said.
        (
            ReplyKind::Ok,
            |out| (out.ask_last_key(Key::new("noreply").unwrap()), out.put(b"\r\n"), out.put_server_fence()).2,
            Some("noreply"),
        ),
    ];
    for (at, (reply_kind, encode, expected)) in cases.into_iter().enumerate() {
        let refusal = refusal(|out| {
            encode(out);
            reply_kind
        });
        match (&refusal, expected) {
            (None, None) => {}
            (Some(refusal), Some(expected)) => assert!(refusal.contains(expected), "{at}: {refusal}"),
            _ => panic!("{at}: {refusal:?}, expected {expected:?}"),
        }
    }
}
