//! Commands of one's own: what answers each kind of reply is the same however it is cut, taken and pipelined, with a fence behind the
//! request or without one.

mod mixed;
mod said;

use self::said::SAID;
use super::*;
use crate::command::Delete;
use crate::key::Key;

/// A line that names keys, and what answers it.
#[derive(Debug, Clone, Copy)]
struct Own {
    kind: ReplyKind,
    keys: &'static [&'static str],
    fence: Fence,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Fence {
    Without,
    OfServer,
    OfKey,
}

/// The fences that a request may have. In the place of one, the last of several keys is asked for.
fn fences(kind: ReplyKind) -> &'static [Fence] {
    match kind {
        ReplyKind::FencedValues => &[Fence::Without],
        _ => &[Fence::Without, Fence::OfServer, Fence::OfKey],
    }
}

impl Command for Own {
    type Response = ();

    fn encode(&self, _: Protocol, _: Now, out: &mut RequestBuffer) -> Result<ReplyKind, Error> {
        out.put(b"own");
        for key in self.keys {
            out.put(b" ");
            out.ask_key(Key::new(key)?);
        }
        out.end_with_opaque();
        if self.kind.has_data() {
            out.put(b"data\r\n");
        }
        match self.fence {
            Fence::Without => {}
            Fence::OfServer => out.put_server_fence(),
            Fence::OfKey => out.put_fence(Key::new("key")?),
        }
        Ok(self.kind)
    }

    fn answer(&self, _: Reply) -> Result<(), Error> {
        Ok(())
    }
}

/// A reply in few words.
fn spoken(reply: &Reply) -> String {
    let text = |value: &crate::value::Value| String::from_utf8_lossy(&value.data).into_owned();
    match reply {
        Reply::Value(at, value) => format!("{at}={}", text(value)),
        Reply::Stats(lines) => {
            format!("Stats[{}]", String::from_utf8_lossy(lines).split_whitespace().collect::<Vec<_>>().join(" "))
        }
        Reply::Meta(meta) => {
            let value = meta.item.value.as_ref().map_or_else(String::new, |value| format!("={}", text(value)));
            format!("{:?}{value}", meta.status)
        }
        reply => format!("{reply:?}"),
    }
}

/// How what comes is cut and taken.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Way {
    /// In pieces of this many bytes.
    Pieces(usize),
    /// In two pieces.
    Cut(usize),
    /// Whole, and without the ways that recognise several replies at once, or the most common ones at all.
    OneByOne,
    ByLine,
}

fn take(
    connection: &mut Connection,
    bytes: &[u8],
    way: Way,
    mut act: impl FnMut(u32, Reply, bool),
) -> Result<(), Error> {
    match way {
        Way::Pieces(size) => {
            for piece in bytes.chunks(size) {
                connection.feed(piece, &mut act)?;
            }
        }
        Way::Cut(at) => {
            let (first, rest) = bytes.split_at(at.min(bytes.len()));
            for piece in [first, rest].into_iter().filter(|piece| !piece.is_empty()) {
                connection.feed(piece, &mut act)?;
            }
        }
        Way::OneByOne | Way::ByLine => {
            connection.read_buf()[..bytes.len()].copy_from_slice(bytes);
            connection.advance_read(bytes.len())?;
            let next = if matches!(way, Way::ByLine) { Connection::next_in_order } else { Connection::next_reply };
            while let Some((tag, reply, last)) = next(connection)? {
                act(tag, reply, last);
            }
        }
    }
    Ok(())
}

/// What is under way beside a command of one's own.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Beside {
    Nothing,
    Gets,
    Changes,
}

/// What came of the requests: the replies, whether the connection is of use, and what was left.
type Outcome = (Vec<(u32, String, bool)>, bool, Vec<(u32, Landed)>);

/// Asks and is answered: by `said`, where `@` is the opaque.
fn dialogue(own: Own, said: &str, is_cancelled: bool, (protocol, beside): (Protocol, Beside), way: Way) -> Outcome {
    let mut connection = Connection::new(Limits::default());
    connection.set_protocol(protocol);
    let mut come = Vec::new();
    for tag in 0..3_u32 {
        let ticket = connection.next_ticket();
        let opaque = String::from_utf8_lossy(Opaque::from_ticket(ticket).as_flag()).into_owned();
        let answer = match (tag, beside, protocol) {
            (1, ..) => {
                let fence = if own.fence == Fence::Without { "" } else { "NF@\r\n" };
                connection.submit(&own, now(), tag).unwrap();
                format!("{said}{}", if said.contains('!') { "" } else { fence }).replace('!', "")
            }
            (_, Beside::Nothing, _) => continue,
            (_, Beside::Gets, _) => {
                connection.submit(&Get::new("key").unwrap(), now(), tag).unwrap();
                match protocol {
                    Protocol::Classic => format!("VALUE key 0 1\r\n{tag}\r\nEND\r\n"),
                    Protocol::Meta => format!("VA 1 f0@\r\n{tag}\r\n"),
                }
            }
            (_, Beside::Changes, _) => {
                connection.submit(&Delete::new("key").unwrap(), now(), tag).unwrap();
                if protocol == Protocol::Meta { "HD@\r\n".to_owned() } else { "DELETED\r\n".to_owned() }
            }
        };
        come.extend_from_slice(answer.replace('@', &opaque).as_bytes());
        while connection.take_outgoing().is_some() {}
        if tag == 1 && is_cancelled {
            assert!(!connection.cancel(ticket), "it was written");
        }
    }
    let mut replies = Vec::new();
    let mut act = |tag, reply, last| replies.push((tag, spoken(&reply), last));
    let mut result = take(&mut connection, &come, way, &mut act);
    while result.is_ok() {
        let Some(bytes) = connection.take_outgoing() else { break };
        assert_eq!(bytes, "mn\r\n", "only that shows whose an error line is");
        result = take(&mut connection, b"MN\r\n", way, &mut act);
    }
    let is_idle = connection.is_idle();
    // What is not sure is reported later, and a classic reply makes nothing sure.
    replies.sort_by_key(|(tag, ..)| *tag);
    (replies, is_idle, connection.fail_pending().map(|abandoned| (abandoned.tag, abandoned.landed)).collect())
}

/// Without cuts, and with one at each of these places.
fn ways(cuts: impl Iterator<Item = usize>) -> impl Iterator<Item = Way> {
    [Way::OneByOne, Way::ByLine, Way::Pieces(1), Way::Pieces(7)].into_iter().chain(cuts.map(Way::Cut))
}

/// The other ways in which the outcome is not that of all at once.
fn others(
    own: Own,
    said: &str,
    is_cancelled: bool,
    context: (Protocol, Beside),
    cuts: impl Iterator<Item = usize>,
) -> (Outcome, Vec<(Way, Outcome)>) {
    let whole = dialogue(own, said, is_cancelled, context, Way::Pieces(usize::MAX));
    let outcomes = ways(cuts).map(|way| (way, dialogue(own, said, is_cancelled, context, way)));
    let others = outcomes.filter(|(_, outcome)| *outcome != whole).collect();
    (whole, others)
}

const CONTEXTS: [(Protocol, Beside); 5] = [
    (Protocol::Meta, Beside::Gets),
    (Protocol::Meta, Beside::Changes),
    (Protocol::Meta, Beside::Nothing),
    (Protocol::Classic, Beside::Gets),
    (Protocol::Classic, Beside::Nothing),
];

/// What comes for a request and those beside it.
fn expected(texts: &str, is_cancelled: bool, beside: Beside) -> Vec<(u32, String, bool)> {
    let texts: Vec<_> = if is_cancelled { vec!["Cancelled"] } else { texts.split('|').collect() };
    let last = texts.len() - 1;
    let own = (0..).zip(texts).map(|(at, text)| (1, text.to_owned(), at == last));
    let [before, after] = match beside {
        Beside::Nothing => return own.collect(),
        Beside::Gets => ["0=0", "0=2"],
        Beside::Changes => ["Deleted"; 2],
    };
    let before = (0, before.to_owned(), true);
    std::iter::once(before).chain(own).chain([(2, after.to_owned(), true)]).collect()
}

#[test]
fn each_kind_of_reply_ends_where_it_does_however_it_comes() {
    for (kind, keys, said, texts) in SAID.iter().copied() {
        for ((at, context), fence) in
            (0..).zip(CONTEXTS).flat_map(|context| fences(kind).iter().map(move |fence| (context, *fence)))
        {
            let own = Own { kind, keys, fence };
            for is_cancelled in [false, true] {
                let cuts = if at == 0 { 1..120 } else { 0..0 };
                let (whole, others) = others(own, said, is_cancelled, context, cuts);
                assert_eq!(
                    (&whole, others),
                    (&(expected(texts, is_cancelled, context.1), true, Vec::new()), Vec::new()),
                    "{own:?}, {said:?}, cancelled: {is_cancelled}, {context:?}"
                );
            }
        }
    }
}

/// Error lines of each meaning.
const REFUSALS: [&str; 8] = [
    "ERROR",
    "CLIENT_ERROR cannot increment or decrement non-numeric value",
    UNAUTHENTICATED,
    "SERVER_ERROR object too large for cache",
    "SERVER_ERROR out of memory writing get response",
    "SERVER_ERROR backend failure",
    "SERVER_ERROR Connection refused",
    "BUSY",
];
const UNAUTHENTICATED: &str = "CLIENT_ERROR unauthenticated";

/// What comes with an error line, which is `#`; where `!` is, no fence is answered.
const FORMS: [&str; 10] = [
    "#",
    "#!",
    "#END\r\n",
    "##END\r\n",
    "VALUE a 0 1\r\nx\r\n#END\r\n",
    "VALUE a 0 1\r\nx\r\n#EN@\r\n",
    "END\r\n#",
    "#VA 1 kb@\r\nx\r\n",
    "STAT a 1\r\n#",
    "#SERVER_ERROR object too large for cache\r\n!",
];

#[test]
fn a_refusal_is_the_same_however_it_comes_and_answers_no_other_request() {
    let mut kinds: Vec<_> = SAID.iter().map(|(kind, ..)| *kind).collect();
    kinds.dedup();
    for (kind, line) in kinds.into_iter().flat_map(|kind| REFUSALS.map(|line| (kind, line))) {
        for ((form, context), fence) in FORMS
            .iter()
            .flat_map(|form| CONTEXTS[..2].iter().map(move |context| (form, *context)))
            .flat_map(|case| fences(kind).iter().take(2).map(move |fence| (case, *fence)))
        {
            let own = Own { kind, keys: &["a", "b"], fence };
            let said = form.replace('#', &format!("{line}\r\n"));
            let is_cancelled = context.1 == Beside::Changes;
            let case = format!("{own:?}, {said:?}, cancelled: {is_cancelled}, {context:?}");
            let ((replies, is_idle, left), others) = others(own, &said, is_cancelled, context, [22].into_iter());
            assert_eq!(others, [], "{case}: {replies:?}, {is_idle}, {left:?}");
            let is_own = |tag: u32, text: &str| match (tag, context.1) {
                (1, _) if is_cancelled => text == "Cancelled" || text.starts_with("Refused"),
                (1, _) => true,
                // It is said to all, and costs the connection.
                (2, _) if text.contains(UNAUTHENTICATED) => !is_idle,
                (_, Beside::Gets) => text == format!("0={tag}"),
                (_, Beside::Changes) => text == "Deleted",
                (_, Beside::Nothing) => false,
            };
            assert!(replies.iter().all(|(tag, text, _)| is_own(*tag, text)), "{case}: {replies:?}");
            let ended = replies.iter().filter(|(.., last)| *last).count();
            assert_eq!((ended + left.len(), is_idle && !left.is_empty()), (3, false), "{case}: {replies:?}, {left:?}");
        }
    }
}

#[test]
fn an_error_line_in_the_place_of_the_last_key_puts_no_later_reply_in_doubt() {
    let own = |kind, keys| Own { kind, keys, fence: Fence::Without };
    let mut connection = Connection::new(Limits::default());
    connection.submit(&own(ReplyKind::FencedValues, &["a", "b"]), now(), 0).unwrap();
    connection.submit(&own(ReplyKind::Number, &[]), now(), 1).unwrap();
    while connection.take_outgoing().is_some() {}
    let mut replies = Vec::new();
    let mut feed = |connection: &mut Connection, bytes: &[u8]| {
        connection.feed(bytes, |tag, reply, _| replies.push((tag, spoken(&reply)))).unwrap();
    };
    feed(&mut connection, b"END\r\nERROR\r\n12\r\n");
    assert_eq!(connection.take_outgoing().as_deref(), Some(&b"mn\r\n"[..]), "only that shows whose the line is");
    feed(&mut connection, b"MN\r\n");
    assert_eq!(replies, [(1, "Number(12)".to_owned()), (0, "Refused(\"ERROR\")".to_owned())]);
    assert!(connection.is_idle());
}
