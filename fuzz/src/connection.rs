//! Commands and bytes on one connection, in any order.

use std::collections::HashMap;
use std::io::IoSlice;
use std::time::SystemTime;

use memcached2_proto::command::meta::{MetaArithmetic, MetaDebug, MetaDelete, MetaGet, MetaNoop, MetaSet, MetaSetMode};
use memcached2_proto::command::{
    Command, FlushAll, Incr, NoReply, Quiet, QuietPart, RequestBuffer, Stats, Touch, Version,
};
use memcached2_proto::reply::ReplyKind;
use memcached2_proto::{Connection, Delete, Error, Expiry, Get, Instant, Key, Now, Protocol, Reply, Store};

use super::decoder::KINDS;
use super::limits;

/// Plays `data` as a script of what a client and a server do to a connection.
///
/// Whatever they do, a request gets at most one complete answer, a value only under its own key, and nothing comes
/// after an error. Each request of a quiet batch gets at most one reply, or one line for itself and those before it, in their order.
pub fn connection(data: &[u8]) {
    let mut connection = Connection::new(limits());
    let now = Now::fixed(Instant::ZERO, SystemTime::UNIX_EPOCH);
    let mut open = HashMap::new();
    let mut shown = HashMap::new();
    let (mut failed, mut left, mut ended) = (false, false, false);
    let mut script = data.iter().copied();
    let mut tag = 0;
    while let Some(step) = script.next() {
        let argument = script.next().unwrap_or_default();
        match step % 12 {
            0..=2 => {
                tag += 1;
                if let Ok(ticket) = submit(&mut connection, argument, now, tag) {
                    assert!(!failed && !left, "a request was taken after an error or a quit");
                    open.insert(tag, ticket);
                }
            }
            3 => write(&mut connection, usize::from(argument) * 4),
            4 => write(&mut connection, usize::MAX),
            5 | 8 => {
                let cancelled = open
                    .iter()
                    .map(|(tag, ticket)| (*tag, *ticket))
                    .min_by_key(|(tag, _)| (tag ^ u32::from(argument)) & 7);
                if let Some((tag, ticket)) = cancelled {
                    if connection.cancel(ticket) {
                        open.remove(&tag);
                    }
                }
            }
            9 => {
                ended = connection.advance_read(0).is_ok();
                assert!(!ended || left, "the end of the stream was taken for a pause");
                // Nothing can be submitted or answered after it.
                left = true;
            }
            10 => {
                connection.quit();
                left = true;
            }
            11 => connection.probe(now),
            _ => {
                let bytes: Vec<u8> = script.by_ref().take(usize::from(argument)).collect();
                feed(&mut connection, &bytes);
            }
        }
        failed |= take_replies(&mut connection, &mut open, &mut shown, failed);
        // A refusal that was to be proven is proven by the end of the stream, too.
        assert!(!ended || open.is_empty(), "the server left before it had answered");
    }
    let abandoned: Vec<u32> = connection.fail_pending().map(|abandoned| abandoned.tag).collect();
    assert_eq!(abandoned.len(), open.len(), "a request was lost or reported twice");
    assert!(abandoned.iter().all(|tag| open.contains_key(tag)), "a request was reported twice");
    assert!(!connection.is_idle(), "an abandoned connection was offered again");
}

fn submit(connection: &mut Connection, choice: u8, now: Now, tag: u32) -> Result<u64, Error> {
    connection.set_protocol(if choice & 0x80 == 0 { Protocol::Classic } else { Protocol::Meta });
    match choice & 0x7f {
        20..=33 => connection.submit(&Own::new(usize::from(choice & 0x7f) - 20 + 14 * (tag % 5) as usize), now, tag),
        0..=39 => connection.submit(&Get::new(&[b'a' + choice % 3])?, now, tag),
        40..=41 => connection.submit(&MetaSet::new("a", "value")?.return_key().cas(), now, tag),
        42..=43 => connection.submit(&MetaSet::new("a", "md a\r\n")?.mode(MetaSetMode::Append), now, tag),
        44..=45 => connection.submit(&MetaDelete::new("a")?.invalidate(), now, tag),
        46..=47 => connection.submit(&MetaArithmetic::incr("a", 1)?.value().ttl(), now, tag),
        48..=49 => connection.submit(&MetaGet::new(b"two words")?.value().return_key(), now, tag),
        50..=51 => connection.submit(&MetaNoop, now, tag),
        52..=54 => {
            quietly(connection, [MetaGet::new("a")?.value(), MetaGet::new("b")?, MetaGet::new("c")?.ttl()], now, tag)
        }
        55..=57 => {
            let sets = [Store::set("a", "value")?, Store::set("b", "mn\r\n")?, Store::set("c", &b""[..])?];
            quietly(connection, sets, now, tag)
        }
        58..=60 => quietly(connection, [Delete::new("a")?, Delete::new("b")?, Delete::new("c")?], now, tag),
        61..=63 => {
            let count = |key| MetaArithmetic::incr(key, 1).map(|count| count.vivify(Expiry::Never));
            quietly(connection, [count("a")?, count("b")?, count("c")?], now, tag)
        }
        64..=79 => connection.submit(&Store::set("a", &b"value"[..])?, now, tag),
        80..=95 => connection.submit(&Delete::new("a")?, now, tag),
        96..=103 => connection.submit(&Incr::new("a", 1)?, now, tag),
        104..=107 => connection.submit(&Stats::general(), now, tag),
        108..=111 => connection.submit(&NoReply(Delete::new("a")?), now, tag),
        112..=115 => connection.submit(&NoReply(Store::set("a", "version\r\n")?), now, tag),
        116..=119 => connection.submit(&Store::append("a", "value")?, now, tag),
        120..=122 => connection.submit(&Touch::new("a", Expiry::Never)?, now, tag),
        123..=125 => connection.submit(&FlushAll::now(), now, tag),
        126 if choice & 0x80 == 0 => connection.submit(&Version, now, tag),
        126 => connection.submit(&MetaDebug::new("a")?, now, tag),
        _ => connection.submit(&MetaGet::new("a")?.value().ttl().return_key(), now, tag),
    }
}

/// A command of one's own.
struct Own {
    reply_kind: ReplyKind,
    is_fenced: bool,
}

impl Own {
    /// One of each kind but those of quiet batches, which only they can have, without a fence and with one.
    fn new(number: usize) -> Self {
        let quiet =
            [ReplyKind::QuietGet, ReplyKind::QuietSet, ReplyKind::QuietDelete, ReplyKind::QuietArithmetic].as_slice();
        let reply_kind = KINDS[number % KINDS.len()];
        let reply_kind = if quiet.contains(&reply_kind) { ReplyKind::Values } else { reply_kind };
        Self { reply_kind, is_fenced: number >= KINDS.len() && reply_kind != ReplyKind::FencedValues }
    }
}

impl Command for Own {
    type Response = ();

    fn encode(&self, _: Protocol, _: Now, out: &mut RequestBuffer) -> Result<ReplyKind, Error> {
        out.put(b"own");
        for key in ["a", "b"] {
            out.put(b" ");
            out.ask_key(Key::new(key)?);
        }
        out.end_with_opaque();
        if self.is_fenced {
            out.put_server_fence();
        }
        Ok(self.reply_kind)
    }

    fn answer(&self, _: Reply) -> Result<(), Error> {
        Ok(())
    }
}

/// How many requests a quiet batch has.
const BATCH: u32 = 3;

fn quietly<C: Quiet>(
    connection: &mut Connection,
    commands: [C; BATCH as usize],
    now: Now,
    tag: u32,
) -> Result<u64, Error> {
    connection.submit(&QuietPart::new(commands.into_iter().enumerate().collect()), now, tag)
}

/// Whether a reply can be that of a quiet batch of which the requests before `next` have been answered. Notes how far it is then.
fn is_in_order(reply: &Reply, last: bool, next: &mut u32) -> bool {
    let Reply::Quiet(quiet) = reply else { return true };
    let free = quiet.at.saturating_sub(*next) as usize;
    let is_whole = quiet.reply.is_none() == last && (last == (quiet.at == BATCH));
    let is_in_order = quiet.at >= *next && quiet.at <= BATCH && quiet.refusals.len() <= free;
    *next = quiet.at + 1;
    is_whole && is_in_order
}

fn write(connection: &mut Connection, at_most: usize) {
    let mut slices = [IoSlice::new(&[]); 4];
    let count = connection.write_slices(&mut slices);
    let offered: usize = slices[..count].iter().map(|slice| slice.len()).sum();
    connection.advance_written(offered.min(at_most));
}

fn feed(connection: &mut Connection, mut bytes: &[u8]) {
    while !bytes.is_empty() {
        let space = connection.read_buf();
        let n = space.len().min(bytes.len());
        if n == 0 {
            return;
        }
        space[..n].copy_from_slice(&bytes[..n]);
        let _ = connection.advance_read(n);
        bytes = &bytes[n..];
    }
}

/// Takes all replies; whether the connection has failed.
fn take_replies(
    connection: &mut Connection,
    open: &mut HashMap<u32, u64>,
    shown: &mut HashMap<u32, u32>,
    failed: bool,
) -> bool {
    loop {
        match connection.next_reply() {
            Err(_) => return true,
            Ok(None) => return false,
            Ok(Some((tag, reply, last))) => {
                assert!(!failed, "a reply came after an error");
                assert!(open.contains_key(&tag), "an answer to nobody, or a second one");
                assert!(is_in_order(&reply, last, shown.entry(tag).or_default()), "{reply:?} in a quiet batch");
                if last {
                    open.remove(&tag);
                }
            }
        }
    }
}
