//! Typed requests, made from the bytes of a transcript, and their results in the words of its `R:` lines.

use std::fmt;
use std::rc::Rc;
use std::time::Duration;

use super::arguments::{GetOptions, Verb, at, expiry_of, number, small};
use super::meta::AnyMeta;
use super::words::{cluster, counted, dumped, found, grouped, kind, prefixes, report, sizes, version, word};
use memcached2_proto::call::{Call, Fault};
use memcached2_proto::command::meta::MetaNoop;
use memcached2_proto::command::{
    CacheDump, CacheMemlimit, Classes, Command, ConfigGetCluster, Decr, Extstore, FlushAll, Incr, Lru, LruCrawler, Raw,
    RefreshCerts, SlabsAutomove, SlabsReassign, Stats, StatsDetail, StatsReset, Touch, Verbosity, Version, VersionText,
};
use memcached2_proto::operation::GetMany;
use memcached2_proto::reply::{Opaque, ReplyKind};
use memcached2_proto::stats::{CacheDumpItem, GroupedReport, PrefixCount, Report, SizeReport, Statistic};
use memcached2_proto::{Connection, Delete, Error, Expiry, Get, Instant, Landed, Now, Protocol, Reply, Router, Value};

/// What the fence of a request about a whole server begins with.
const SERVER_FENCE: &[u8] = b"md AA== b C18446744073709551615 ";

/// A moment, the same in every test.
pub(crate) fn now() -> Now {
    Now::fixed(Instant::ZERO, at(1_800_000_000))
}

fn one_server() -> Router {
    Router::parse(["server"]).expect("the name of a server")
}

/// A request of a transcript.
#[derive(Debug, Clone)]
pub(crate) enum Request {
    Get(Vec<u8>),
    Gets(Vec<u8>, GetOptions),
    GetMany(Vec<Vec<u8>>, GetOptions),
    Store {
        verb: Verb,
        key: Vec<u8>,
        flags: u32,
        expiry: Expiry,
        data: Vec<u8>,
    },
    Delete(Vec<u8>),
    Incr(Vec<u8>, u64),
    Decr(Vec<u8>, u64),
    Touch(Vec<u8>, Expiry),
    Keyless(Rc<dyn Keyless>),
    /// A request in the meta protocol, or with a fence.
    Meta(Box<Self>),
    Quit,
}

/// A request about a whole server: its command, and the words for its answer.
pub(crate) trait Keyless: fmt::Debug {
    fn submit(&self, connection: &mut Connection, tag: u32) -> Result<u64, Error>;
    fn answer(&self, reply: Reply) -> Result<String, Error>;
}

impl<C: Command + fmt::Debug> Keyless for (C, fn(C::Response) -> String) {
    fn submit(&self, connection: &mut Connection, tag: u32) -> Result<u64, Error> {
        connection.submit(&self.0, now(), tag)
    }

    fn answer(&self, reply: Reply) -> Result<String, Error> {
        self.0.answer(reply).map(self.1)
    }
}

impl Request {
    fn keyless<C: Command + fmt::Debug + 'static>(command: C, words: fn(C::Response) -> String) -> Self {
        Self::Keyless(Rc::new((command, words)))
    }

    fn any_meta(words: &[&[u8]], data: &[u8]) -> Self {
        let words = words.iter().map(|word| word.to_vec()).collect();
        Self::Keyless(Rc::new(AnyMeta { words, data: data.to_vec() }))
    }

    /// Reads requests from the bytes that a client sends, the first of which has this number.
    #[track_caller]
    pub(crate) fn parse(mut bytes: &[u8], first: usize) -> Vec<Self> {
        let mut requests = Vec::new();
        while !bytes.is_empty() {
            let end = bytes.windows(2).position(|pair| pair == b"\r\n").expect("a request line ends with CR LF");
            let (line, rest) = (&bytes[..end], &bytes[end + 2..]);
            bytes = rest;
            if line == b"mn" && !bytes.starts_with(SERVER_FENCE) {
                // The connection asks it by itself.
                continue;
            }
            let mut words: Vec<&[u8]> = line.split(|byte| *byte == b' ').collect();
            // The opaque is the number of the request.
            let is_meta = matches!(words[0], b"mg" | b"ms" | b"md" | b"ma");
            if is_meta {
                assert_eq!(words.pop(), Some(&flag_of(first + requests.len())[..]), "the opaque of a request");
            }
            let key = |at: usize| words[at].to_vec();
            let keys = |from: usize| words[from..].iter().map(|key| key.to_vec()).collect();
            let mut store = |verb| {
                let (data, rest) = bytes.split_at(number(words[4]) as usize);
                bytes = rest.strip_prefix(b"\r\n").expect("a data block ends with CR LF");
                let expiry = expiry_of(words[3]);
                Self::Store { verb, key: key(1), flags: small(words[2]), expiry, data: data.to_vec() }
            };
            let request = match words[..] {
                [b"get", b"AmazonElastiCache:cluster"] => Self::keyless(ConfigGetCluster::by_key(), cluster),
                [b"get", _] => Self::Get(key(1)),
                [b"gets", _] => Self::Gets(key(1), GetOptions::cas()),
                [b"gat", exptime, _] => Self::Gets(key(2), GetOptions::touching(exptime)),
                [b"gats", exptime, _] => Self::Gets(key(2), GetOptions::touching(exptime).and_cas()),
                [b"mg", _, b"f", b"v"] => Self::Get(key(1)),
                [b"mg", _, b"f", b"c", b"v"] => Self::Gets(key(1), GetOptions::cas()),
                [b"mg", _, b"f", b"v", [b'T', exptime @ ..]] => Self::Gets(key(1), GetOptions::touching(exptime)),
                [b"mg", _, b"f", b"c", b"v", [b'T', exptime @ ..]] => {
                    Self::Gets(key(1), GetOptions::touching(exptime).and_cas())
                }
                [b"ms", _, length, ref flags @ ..] if flags.iter().all(|flag| matches!(flag[0], b'F' | b'T')) => {
                    let (data, rest) = bytes.split_at(number(length) as usize);
                    bytes = rest.strip_prefix(b"\r\n").expect("a data block ends with CR LF");
                    let flag = |name| flags.iter().find_map(|flag| flag.strip_prefix(&[name]));
                    Self::Store {
                        verb: Verb::Set,
                        key: key(1),
                        flags: flag(b'F').map_or(0, small),
                        expiry: flag(b'T').map_or(Expiry::Never, expiry_of),
                        data: data.to_vec(),
                    }
                }
                [b"ms", _, length, ..] => {
                    let (data, rest) = bytes.split_at(number(length) as usize);
                    bytes = rest.strip_prefix(b"\r\n").expect("a data block ends with CR LF");
                    Self::any_meta(&words, data)
                }
                [b"md", _] => Self::Delete(key(1)),
                [b"ma", _, b"MI", [b'D', by @ ..], b"v"] => Self::Incr(key(1), number(by)),
                [b"ma", _, b"MD", [b'D', by @ ..], b"v"] => Self::Decr(key(1), number(by)),
                [b"mg" | b"md" | b"ma" | b"me", ..] => Self::any_meta(&words, b""),
                [b"mn"] => Self::keyless(MetaNoop, ok),
                [b"get", ..] => Self::GetMany(keys(1), GetOptions::default()),
                [b"gets", ..] => Self::GetMany(keys(1), GetOptions::cas()),
                [b"gat", exptime, ..] => Self::GetMany(keys(2), GetOptions::touching(exptime)),
                [b"gats", exptime, ..] => Self::GetMany(keys(2), GetOptions::touching(exptime).and_cas()),
                [b"set", _, _, _, _] => store(Verb::Set),
                [b"add", _, _, _, _] => store(Verb::Add),
                [b"replace", _, _, _, _] => store(Verb::Replace),
                [b"append", _, _, _, _] => store(Verb::Append),
                [b"prepend", _, _, _, _] => store(Verb::Prepend),
                [b"cas", _, _, _, _, cas] => store(Verb::Cas(number(cas))),
                [b"delete", b"noreply", b"0"] | [b"delete", _] => Self::Delete(key(1)),
                [b"incr", _, by] => Self::Incr(key(1), number(by)),
                [b"decr", _, by] => Self::Decr(key(1), number(by)),
                [b"touch", _, exptime] => Self::Touch(key(1), expiry_of(exptime)),
                [b"flush_all"] => Self::keyless(FlushAll::now(), ok),
                [b"flush_all", exptime] => Self::keyless(FlushAll::at(expiry_of(exptime)), ok),
                [b"verbosity", level] => Self::keyless(Verbosity(small(level)), ok),
                [b"cache_memlimit", megabytes] => Self::keyless(CacheMemlimit(small(megabytes)), ok),
                [b"slabs", b"reassign", b"-1", dest] => {
                    Self::keyless(SlabsReassign { source: None, dest: small(dest) }, ok)
                }
                [b"slabs", b"reassign", source, dest] => {
                    Self::keyless(SlabsReassign { source: Some(small(source)), dest: small(dest) }, ok)
                }
                [b"slabs", b"automove", b"ratio", ratio] => Self::keyless(SlabsAutomove::Ratio(fraction(ratio)), ok),
                [b"slabs", b"automove", b"freeratio", ratio] => {
                    Self::keyless(SlabsAutomove::FreeRatio(fraction(ratio)), ok)
                }
                [b"slabs", b"automove", b"window", seconds] => Self::keyless(SlabsAutomove::Window(small(seconds)), ok),
                [b"slabs", b"automove", b"0"] => Self::keyless(SlabsAutomove::Off, ok),
                [b"slabs", b"automove", b"1"] => Self::keyless(SlabsAutomove::On, ok),
                [b"slabs", b"automove", b"2"] => Self::keyless(SlabsAutomove::Aggressive, ok),
                [b"lru", b"tune", hot, warm, hot_factor, warm_factor] => Self::keyless(
                    Lru::Tune {
                        hot_percent: small(hot),
                        warm_percent: small(warm),
                        hot_factor: fraction(hot_factor),
                        warm_factor: fraction(warm_factor),
                    },
                    ok,
                ),
                [b"lru", b"mode", b"flat"] => Self::keyless(Lru::Flat, ok),
                [b"lru", b"mode", b"segmented"] => Self::keyless(Lru::Segmented, ok),
                [b"lru", b"temp_ttl", b"-1"] => Self::keyless(Lru::TempTtl(None), ok),
                [b"lru", b"temp_ttl", seconds] => Self::keyless(Lru::TempTtl(Some(small(seconds))), ok),
                [b"lru_crawler", b"enable"] => Self::keyless(LruCrawler::Enable, ok),
                [b"lru_crawler", b"disable"] => Self::keyless(LruCrawler::Disable, ok),
                [b"lru_crawler", b"sleep", microseconds] => {
                    Self::keyless(LruCrawler::Sleep(Duration::from_micros(number(microseconds))), ok)
                }
                [b"lru_crawler", b"tocrawl", count] => Self::keyless(LruCrawler::Tocrawl(small(count)), ok),
                [b"lru_crawler", b"crawl", b"all"] => Self::keyless(LruCrawler::Crawl(Classes::All), ok),
                [b"lru_crawler", b"crawl", classes] => {
                    let classes = classes.split(|byte| *byte == b',').map(small).collect();
                    Self::keyless(LruCrawler::Crawl(Classes::These(classes)), ok)
                }
                [b"extstore", setting, value] => Self::keyless(extstore(setting, value), ok),
                [b"extstore", b"free_memchunks", class, count] => {
                    Self::keyless(Extstore::FreeMemchunks { class: small(class), count: small(count) }, ok)
                }
                [b"refresh_certs"] => Self::keyless(RefreshCerts, ok),
                [b"config", b"get", b"cluster"] => Self::keyless(ConfigGetCluster::new(), cluster),
                [b"vendor", ..] => {
                    let raw = Raw::new(line, ReplyKind::Stats).expect("a line");
                    Self::keyless(raw, |reply| match reply {
                        Reply::Stats(lines) => format!("lines {}", lines.escape_ascii()),
                        other => format!("{other:?}"),
                    })
                }
                [b"version"] => Self::keyless(Version, |text| version(&text)),
                [b"stats"] => Self::keyless(Stats::general(), |told| report(&told)),
                [b"stats", b"settings"] => Self::keyless(Stats::settings(), |told| report(&told)),
                [b"stats", b"items"] => Self::keyless(Stats::items(), |told| grouped(&told)),
                [b"stats", b"slabs"] => Self::keyless(Stats::slabs(), |told| grouped(&told)),
                [b"stats", b"conns"] => Self::keyless(Stats::conns(), |told| grouped(&told)),
                [b"stats", b"extstore"] => Self::keyless(Stats::extstore(), |told| grouped(&told)),
                [b"stats", b"proxy"] => Self::keyless(Stats::proxy(), |told| report(&told)),
                [b"stats", b"proxyfuncs"] => Self::keyless(Stats::proxy_funcs(), |told| report(&told)),
                [b"stats", b"proxybe"] => Self::keyless(Stats::proxy_backends(), |told| report(&told)),
                [b"stats", b"sizes"] => Self::keyless(Stats::sizes(), |told| sizes(&told)),
                [b"stats", b"sizes_enable"] => Self::keyless(Stats::enable_sizes(), |told| sizes(&told)),
                [b"stats", b"sizes_disable"] => Self::keyless(Stats::disable_sizes(), |told| sizes(&told)),
                [b"stats", b"detail", b"dump"] => Self::keyless(Stats::detail(), |told| prefixes(&told)),
                [b"stats", b"detail", word] => Self::keyless(StatsDetail(word == b"on"), ok),
                [b"stats", b"cachedump", class, limit] => {
                    Self::keyless(CacheDump { class: small(class), limit: small(limit) }, |told| dumped(&told))
                }
                [b"stats", b"reset"] => Self::keyless(StatsReset, |()| "reset".to_owned()),
                [b"quit"] => Self::Quit,
                _ => panic!("no request that the tests know: {}", line.escape_ascii()),
            };
            let (request, is_fenced) = request.with_fence(&mut bytes, first + requests.len());
            requests.push(if is_meta || is_fenced { Self::Meta(Box::new(request)) } else { request });
        }
        requests
    }

    /// The request with what follows it in the bytes, if that is its fence.
    #[track_caller]
    fn with_fence(self, bytes: &mut &[u8], number: usize) -> (Self, bool) {
        let begun = match &self {
            Self::Store { key, .. } | Self::Touch(key, _) => [b"md ", &key[..]].concat(),
            Self::Get(_) | Self::Gets(..) | Self::GetMany(..) => return self.with_last_key(bytes, number),
            _ => b"md AA== b".to_vec(),
        };
        let fence = [&begun, &b" C18446744073709551615 "[..], &flag_of(number), b"\r\n"].concat();
        match bytes.strip_prefix(&fence[..]) {
            Some(rest) => {
                *bytes = rest;
                (self, true)
            }
            None => (self, false),
        }
    }

    /// The request for several keys, if an `mg` for the last of them follows.
    #[track_caller]
    fn with_last_key(self, bytes: &mut &[u8], number: usize) -> (Self, bool) {
        let Some(end) = bytes.windows(2).position(|pair| pair == b"\r\n") else { return (self, false) };
        let words: Vec<&[u8]> = bytes[..end].split(|byte| *byte == b' ').collect();
        let [b"mg", last, b"k", .., opaque] = words[..] else { return (self, false) };
        assert_eq!(opaque, flag_of(number), "the opaque of a request for several keys");
        *bytes = &bytes[end + 2..];
        let (mut keys, options) = match self {
            Self::Get(key) => (vec![key], GetOptions::default()),
            Self::Gets(key, options) => (vec![key], options),
            Self::GetMany(keys, options) => (keys, options),
            other => panic!("{other:?} asks for no keys"),
        };
        keys.push(last.to_vec());
        (Self::GetMany(keys, options), true)
    }

    pub(crate) fn submit(&self, connection: &mut Connection, tag: u32) -> Result<u64, Error> {
        if let Self::Meta(request) = self {
            connection.set_protocol(Protocol::Meta);
            let submitted = request.submit(connection, tag);
            connection.set_protocol(Protocol::Classic);
            return submitted;
        }
        match self {
            Self::Get(key) => connection.submit(&Get::new(key)?, now(), tag),
            Self::Gets(key, options) => connection.submit(&options.one(key)?, now(), tag),
            Self::GetMany(keys, options) => {
                let router = one_server();
                let call = Call::new(options.many(keys)?, &router, now());
                assert_eq!(call.sub_requests().len(), 1, "the keys fit one line");
                connection.submit(call.command(0), now(), tag)
            }
            Self::Store { verb, key, flags, expiry, data } => {
                connection.submit(&verb.of(key, data)?.flags(*flags).expiry(*expiry), now(), tag)
            }
            Self::Delete(key) => connection.submit(&Delete::new(key)?, now(), tag),
            Self::Incr(key, by) => connection.submit(&Incr::new(key, *by)?, now(), tag),
            Self::Decr(key, by) => connection.submit(&Decr::new(key, *by)?, now(), tag),
            Self::Touch(key, expiry) => connection.submit(&Touch::new(key, *expiry)?, now(), tag),
            Self::Keyless(request) => request.submit(connection, tag),
            Self::Meta(_) => panic!("a request is in the meta protocol once"),
            Self::Quit => {
                connection.quit();
                Ok(0)
            }
        }
    }

    /// The answer of the typed command, in the words of the `R:` lines.
    pub(crate) fn result(&self, mut replies: Vec<Reply>, end: Result<(), (Error, Landed)>) -> String {
        if let Self::Meta(request) = self {
            return request.result(replies, end);
        }
        if let (Err((error, landed)), false) = (&end, matches!(self, Self::GetMany(..))) {
            return format!("{}, {}", kind(error), word(*landed));
        }
        let end = end.map_err(|(error, _)| error);
        if let Self::GetMany(keys, options) = self {
            return many(keys, *options, replies, end);
        }
        if let Err(error) = end {
            return kind(&error);
        }
        let reply = replies.pop().expect("an answer has a last reply");
        let answer = match self {
            Self::Get(key) => Get::new(key).and_then(|get| get.answer(reply)).map(found),
            Self::Gets(key, options) => options.one(key).and_then(|gets| gets.answer(reply)).map(found),
            Self::Store { verb, key, data, .. } => {
                verb.of(key, data).and_then(|store| store.answer(reply)).map(|()| "stored".to_owned())
            }
            Self::Delete(key) => Delete::new(key)
                .and_then(|delete| delete.answer(reply))
                .map(|deleted| if deleted { "deleted" } else { "not found" }.to_owned()),
            Self::Incr(key, by) => Incr::new(key, *by).and_then(|incr| incr.answer(reply)).map(counted),
            Self::Decr(key, by) => Decr::new(key, *by).and_then(|decr| decr.answer(reply)).map(counted),
            Self::Touch(key, expiry) => Touch::new(key, *expiry)
                .and_then(|touch| touch.answer(reply))
                .map(|touched| if touched { "touched" } else { "not found" }.to_owned()),
            Self::Keyless(request) => request.answer(reply),
            Self::GetMany(..) | Self::Meta(_) | Self::Quit => panic!("nobody waits for an answer to this"),
        };
        answer.unwrap_or_else(|error| match &error {
            Error::Protocol { landed, .. } => format!("protocol, {}", word(*landed)),
            error => kind(error),
        })
    }
}

fn ok((): ()) -> String {
    "ok".to_owned()
}

/// The opaque of a request as a flag.
fn flag_of(number: usize) -> Vec<u8> {
    Opaque::from_ticket(number as u64).as_line_end()[1..6].to_vec()
}

fn fraction(text: &[u8]) -> f64 {
    std::str::from_utf8(text).expect("text").parse().expect("a number")
}

fn extstore(setting: &[u8], value: &[u8]) -> Extstore {
    match setting {
        b"item_size" => Extstore::ItemSize(small(value)),
        b"item_age" => Extstore::ItemAge(small(value)),
        b"low_ttl" => Extstore::LowTtl(small(value)),
        b"recache_rate" => Extstore::RecacheRate(small(value)),
        b"compact_under" => Extstore::CompactUnder(small(value)),
        b"drop_under" => Extstore::DropUnder(small(value)),
        b"max_sleep" => Extstore::MaxSleep(small(value)),
        b"max_frag" => Extstore::MaxFrag(fraction(value)),
        b"drop_unread" => Extstore::DropUnread(value == b"1"),
        other => panic!("no such setting: {}", other.escape_ascii()),
    }
}

/// The answers to all keys, with the merge that the clients use.
fn many(keys: &[Vec<u8>], options: GetOptions, replies: Vec<Reply>, end: Result<(), Error>) -> String {
    let router = one_server();
    let mut call = Call::new(options.many(keys).expect("keys"), &router, now());
    let count = replies.len();
    for (reply, number) in replies.into_iter().zip(1..) {
        call.answer(0, reply, number == count && end.is_ok());
    }
    if let Err(error) = end {
        call.fail(0, &error, Fault::Nobody);
    }
    let results = call.finish().expect("each key has a result of its own");
    let words: Vec<_> = results.into_iter().map(|result| result.map_or_else(|error| kind(&error), found)).collect();
    words.join(" | ")
}
