//! No key, flag, value, prefix, namespace, credential or URI makes a server see more commands than one, or another one than was asked
//! for: it sees exactly this key, these flags and this value, or nothing was written.
#![allow(clippy::panic, clippy::expect_used, reason = "a panic is the failure of the test")]

#[path = "injection/inputs.rs"]
mod inputs;
#[path = "injection/opening.rs"]
mod opening;
#[path = "injection/wire.rs"]
mod wire;
#[path = "injection/world.rs"]
mod world;

use std::time::{Duration, SystemTime};

use memcached2_proto::call::Call;
use memcached2_proto::command::meta::{MetaArithmetic, MetaDebug, MetaDelete, MetaGet, MetaSet, MetaSetMode};
use memcached2_proto::command::{
    Command, CountOr, Decr, DeleteCas, Exists, GetIfChanged, GetWithTtl, Incr, Metadata, NoReply, Raw, Touch,
};
use memcached2_proto::namespace::{LongKeys, Space};
use memcached2_proto::operation::{Batch, DeleteMany, GetMany, SetMany};
use memcached2_proto::rate_limit::RateLimit;
use memcached2_proto::reply::ReplyKind;
use memcached2_proto::{Bytes, Data, Delete, Error, Expiry, Get, Instant, Operation, Protocol, Router, Store};
use memcached2_testkit::Rng;

use self::inputs::{is_key, key, nasty};
use self::world::{Items, WITNESS, World, now, without_fences};

/// A version that no item has.
const OTHER_CAS: u64 = 1 << 40;

/// What becomes of the item.
#[derive(Debug, Clone)]
enum Effect {
    Stays,
    Is(u32, Vec<u8>),
    Goes,
}

/// What commands are made of.
#[derive(Debug)]
struct Input {
    protocol: Protocol,
    prefix: Vec<u8>,
    key: Vec<u8>,
    flags: u32,
    value: Vec<u8>,
    hint: Vec<u8>,
    accepted: std::cell::Cell<usize>,
}

impl Input {
    fn new(rng: &mut Rng) -> Self {
        let prefix = match rng.below(6) {
            0 => nasty(rng),
            1 => key(rng),
            2 => b"shop:".to_vec(),
            _ => Vec::new(),
        };
        Self {
            protocol: rng.pick(&[Protocol::Classic, Protocol::Meta]),
            prefix,
            key: key(rng),
            flags: rng.pick(&[0, 1, 13, 0x0a0d_0a0d, u32::MAX]),
            value: nasty(rng),
            hint: key(rng),
            accepted: std::cell::Cell::new(0),
        }
    }

    /// The key that the server sees.
    fn whole_key(&self) -> Vec<u8> {
        [&self.prefix[..], &self.key].concat()
    }

    fn is_prefix_good(&self) -> bool {
        self.prefix.is_empty() || is_key(&self.prefix)
    }

    /// Whether classic commands can have it.
    fn is_key_good(&self) -> bool {
        self.is_prefix_good() && is_key(&self.key) && is_key(&self.whole_key())
    }

    /// Sends the command, if it is not refused, and looks at what the server makes of it.
    #[track_caller]
    fn check<C: Command>(&self, verbs: &[&[u8]], block: Option<&[u8]>, made: Result<C, Error>, effect: Effect) {
        let whole = self.whole_key();
        let mut world = World::new(self.protocol, &self.prefix, &whole);
        let before = world.items();
        let sent = made.and_then(|command| world.submit(&command).map(|bytes| (command, bytes)));
        let (command, bytes) = match sent {
            Ok(sent) => sent,
            Err(Error::NoMeta { .. }) if self.protocol == Protocol::Classic => return,
            Err(error) => {
                let is_reserved = whole == b"noreply";
                assert!(!self.is_key_good() || is_reserved || !is_hint(&self.hint), "{error} for {self:?}");
                return;
            }
        };
        self.accepted.set(self.accepted.get() + 1);
        assert!(self.is_prefix_good(), "a prefix that is none is written: {self:?}");
        let requests = without_fences(&bytes);
        let [request] = &requests[..] else { panic!("{requests:?} instead of one request for {self:?}") };
        assert!(request.is_clean() && verbs.contains(&&request.words[0][..]), "{request:?} for {self:?}");
        assert_eq!((request.key(), request.block.as_deref()), (whole.clone(), block), "{request:?} for {self:?}");
        let replies = world.serve(&bytes).unwrap_or_else(|error| panic!("{error} for {request:?} of {self:?}"));
        for reply in replies {
            let answer = command.answer(reply).err();
            let is_refused = matches!(answer, Some(Error::Refused { .. } | Error::Protocol { .. }));
            assert!(!is_refused, "{answer:?} for {request:?} of {self:?}");
        }
        assert_eq!(world.items(), after(before, whole, effect), "{request:?} of {self:?}");
    }
}

fn after(mut items: Items, key: Vec<u8>, effect: Effect) -> Items {
    match effect {
        Effect::Stays => {}
        Effect::Is(flags, value) => {
            items.insert(key, (flags, value));
        }
        Effect::Goes => {
            items.remove(&key);
        }
    }
    items
}

fn is_hint(bytes: &[u8]) -> bool {
    is_key(bytes) && bytes.len() <= 128
}

/// The classic commands and the everyday ones, by which each client has its methods.
fn everyday(input: &Input) {
    use Effect::{Goes, Is, Stays};
    type Made<'k, 'v> = Result<Store<'k, 'v>, Error>;
    fn store<'k, 'v>(made: Made<'k, 'v>, flags: u32) -> Made<'k, 'v> {
        made.map(|store| store.flags(flags))
    }
    let Input { key, flags, value, .. } = input;
    let (flags, block) = (*flags, Some(&value[..]));
    let stored = || Is(flags, value.clone());
    let number = |digit: &str| Is(9, digit.into());

    input.check(&[b"get", b"mg"], None, Get::new(key), Stays);
    input.check(&[b"gets", b"mg"], None, Get::new(key).map(Get::with_cas), Stays);
    input.check(&[b"gat", b"mg"], None, Get::new(key).map(|get| get.touch(Expiry::Never)), Stays);
    input.check(&[b"gats", b"mg"], None, Get::new(key).map(|get| get.touch(Expiry::Never).with_cas()), Stays);
    input.check(&[b"touch"], None, Touch::new(key, Expiry::Never), Stays);
    input.check(&[b"get", b"mg"], None, Exists::new(key), Stays);
    input.check(&[b"gets", b"mg"], None, GetIfChanged::new(key, OTHER_CAS), Stays);
    input.check(&[b"mg"], None, GetWithTtl::new(key), Stays);
    input.check(&[b"mg"], None, Metadata::new(key), Stays);
    input.check(&[b"set", b"ms"], block, store(Store::set(key, value), flags), stored());
    input.check(&[b"set", b"ms"], block, store(Store::set(key, value), flags).map(NoReply), stored());
    input.check(&[b"add"], block, store(Store::add(key, value), flags), Stays);
    input.check(&[b"replace"], block, store(Store::replace(key, value), flags), stored());
    input.check(&[b"append"], block, store(Store::append(key, value), flags), Is(9, [b"5", &value[..]].concat()));
    input.check(&[b"prepend"], block, store(Store::prepend(key, value), flags), Is(9, [&value[..], b"5"].concat()));
    input.check(&[b"cas"], block, store(Store::cas(key, value, OTHER_CAS), flags), Stays);
    input.check(&[b"delete", b"md"], None, Delete::new(key), Goes);
    input.check(&[b"delete", b"md"], None, Delete::new(key).map(NoReply), Goes);
    input.check(&[b"md"], None, DeleteCas::new(key, OTHER_CAS), Stays);
    input.check(&[b"incr", b"ma"], None, Incr::new(key, 3), number("8"));
    input.check(&[b"decr", b"ma"], None, Decr::new(key, 3), number("2"));
    input.check(&[b"ma"], None, CountOr::incr(key, 3, 0, Expiry::Never), number("8"));
    input.check(&[b"ma"], None, CountOr::decr(key, 3, 0, Expiry::Never), number("2"));
    // A large value is written from where it lies.
    let large = Bytes::from(value.repeat(Data::SHARED_MIN / (value.len() + 1) + 1));
    let stored = Is(flags, large.to_vec());
    input.check(&[b"set", b"ms"], Some(&large), store(Store::set(key, &large), flags), stored);
}

/// The meta commands, with each flag that has an argument of the caller.
fn meta(input: &Input) {
    use Effect::{Goes, Is, Stays};
    let Input { key, flags, value, hint, .. } = input;
    let block = Some(&value[..]);
    let get = MetaGet::new(key).map(|get| get.value().flags().return_key().opaque(value.clone()).hint_p(hint));
    input.check(&[b"mg"], None, get, Stays);
    for (mode, effect) in [
        (MetaSetMode::Set, Is(*flags, value.clone())),
        (MetaSetMode::Add, Stays),
        (MetaSetMode::Append, Is(9, [b"5", &value[..]].concat())),
        (MetaSetMode::Replace, Is(*flags, value.clone())),
    ] {
        let set = MetaSet::new(key, value).map(|set| set.mode(mode).flags(*flags).return_key().hint_l(hint));
        input.check(&[b"ms"], block, set, effect);
    }
    let delete = MetaDelete::new(key).map(|delete| delete.return_key().opaque(hint.clone()).hint_l(hint).hint_p(hint));
    input.check(&[b"md"], None, delete, Goes);
    input.check(&[b"ma"], None, MetaArithmetic::incr(key, 3).map(|count| count.hint_l(hint)), Is(9, b"8".to_vec()));
    input.check(&[b"me"], None, MetaDebug::new(key), Stays);
}

/// Commands whose key another part of the client makes of what it is given.
fn made_keys(input: &Input) {
    let limit = RateLimit::new(5, Duration::from_secs(60));
    let made = limit.window(&input.key, SystemTime::UNIX_EPOCH).key().to_vec();
    check_made(input, made);
    for long_keys in [LongKeys::Refuse, LongKeys::Hash, LongKeys::HashAndCheck] {
        // The name of a namespace is as wild as a hint.
        for space in [Ok(Space::whole(input.prefix.len())), Space::new(&input.hint, input.prefix.len())] {
            let Ok(space) = space else {
                assert!(!is_key(&input.hint) || input.hint.len() + input.prefix.len() > 100, "{input:?}");
                continue;
            };
            let place = space.place(Instant::ZERO, Duration::from_secs(1), long_keys);
            let place = place.or_else(|question| space.answered(&question, 7, SystemTime::UNIX_EPOCH, long_keys));
            let made = place.expect("a generation").key(&input.key).map(|key| key.into_bytes());
            if let Ok(made) = made {
                check_made(input, made);
            }
        }
    }
}

#[track_caller]
fn check_made(input: &Input, key: Vec<u8>) {
    let Input { protocol, ref prefix, flags, ref value, .. } = *input;
    let (prefix, value) = (prefix.clone(), value.clone());
    let made = Input { protocol, prefix, key, flags, value, hint: b"x".to_vec(), accepted: 0.into() };
    made.check(&[b"get", b"mg"], None, Get::new(&made.key), Effect::Stays);
    let stored = Effect::Is(flags, made.value.clone());
    let set = Store::set(&made.key, &made.value).map(|store| store.flags(flags));
    made.check(&[b"set", b"ms"], Some(&made.value), set, stored);
    input.accepted.set(input.accepted.get() + made.accepted.get());
}

#[test]
fn a_command_about_a_key_is_exactly_one_command_about_exactly_this_key() {
    let mut rng = Rng::new(1);
    let mut accepted = 0;
    for _ in 0..150 {
        let input = Input::new(&mut rng);
        everyday(&input);
        meta(&input);
        made_keys(&input);
        accepted += input.accepted.get();
    }
    assert!(accepted > 2000, "{accepted} commands were sent, so that hardly anything was tested");
}

/// Runs an operation of several keys against a server, and returns whether it was sent.
fn run<O: Operation>(world: &mut World, operation: Result<O, Error>, asked: &[Vec<u8>]) -> bool {
    let router = Router::parse(["server"]).expect("a server");
    let Ok(operation) = operation else { return false };
    let call = Call::new(operation, &router, now());
    let mut is_sent = false;
    for at in 0..call.sub_requests().len() {
        let Ok(bytes) = world.submit(call.command(at)) else { continue };
        is_sent = true;
        for request in without_fences(&bytes) {
            let keys = match request.block {
                None if request.words[0].starts_with(b"get") => request.words[1..].to_vec(),
                _ => vec![request.key()],
            };
            assert!(keys.iter().all(|key| asked.contains(key)), "{request:?} for {asked:?}");
        }
        world.serve(&bytes).unwrap_or_else(|error| panic!("{error} for {:?}", bytes.escape_ascii().to_string()));
    }
    is_sent
}

#[test]
fn a_batch_is_about_exactly_its_keys() {
    let mut rng = Rng::new(2);
    let mut sent = 0;
    for _ in 0..300 {
        let protocol = rng.pick(&[Protocol::Classic, Protocol::Meta]);
        let mut keys: Vec<Vec<u8>> = (0..1 + rng.below(4)).map(|_| key(&mut rng)).collect();
        keys.sort();
        keys.dedup();
        let items: Vec<_> = keys.iter().map(|key| (key.clone(), nasty(&mut rng))).collect();
        let set = || SetMany::new(&items, Expiry::Never);
        let metas = || items.iter().map(|(key, value)| MetaSet::new(key, value)).collect::<Result<Vec<_>, _>>();
        for way in 0..7 {
            let mut world = World::new(protocol, b"", b"");
            let before = world.items();
            let is_sent = match way {
                0 => run(&mut world, GetMany::new(&keys), &keys),
                1 => run(&mut world, GetMany::new(&keys).map(|many| many.with_cas()), &keys),
                2 => run(&mut world, DeleteMany::new(&keys), &keys),
                3 => run(&mut world, set(), &keys),
                4 => run(&mut world, set().map(SetMany::quiet), &keys),
                5 => run(&mut world, metas().map(Batch::new), &keys),
                _ => run(&mut world, metas().map(|metas| Batch::new(metas).quiet()), &keys),
            };
            sent += u32::from(is_sent);
            let stored = if is_sent && way > 2 { &items[..] } else { &[] };
            let stored = stored.iter().map(|(key, value)| (key.clone(), (0, value.clone())));
            let expected: Items = before.into_iter().chain(stored).collect();
            assert_eq!(world.items(), expected, "{protocol:?}, {way}: {items:?}");
        }
    }
    assert!(sent > 300, "{sent} batches were sent, so that hardly anything was tested");
}

#[test]
fn a_line_of_a_users_own_is_one_line_with_one_answer() {
    let mut rng = Rng::new(3);
    let mut sent = 0;
    for _ in 0..4000 {
        let mut line = rng.pick(&[&b""[..], b"verbosity 1", b"flush_all", b"stats", b"touch a 0"]).to_vec();
        line.extend(nasty(&mut rng));
        let protocol = rng.pick(&[Protocol::Classic, Protocol::Meta]);
        let kind = rng.pick(&[ReplyKind::Ok, ReplyKind::Stats, ReplyKind::Touched, ReplyKind::Deleted]);
        let Ok(raw) = Raw::new(line.clone(), kind) else { continue };
        sent += 1;
        let mut world = World::new(protocol, b"", b"");
        let before = world.items();
        let bytes = world.submit(&raw).expect("a line");
        let [request] = &without_fences(&bytes)[..] else { panic!("{raw:?} is more than a line") };
        assert_eq!((request.words.join(&b' '), &request.block), (line.clone(), &None));
        // A reply of another kind ends the connection. No reply, or a further one, would be that of another request.
        let _ = world.serve(&bytes);
        if !line.starts_with(b"flush_all") {
            assert_eq!(world.items(), before, "{raw:?}");
        }
        assert!(!world.items().contains_key(&b"pwned"[..]) && before.contains_key(WITNESS));
    }
    assert!(sent > 300, "{sent} lines were sent, so that hardly anything was tested");
}
