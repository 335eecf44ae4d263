//! Servers that come and go, in virtual time: what a client with a journal reads is nothing older than what it wrote last.

use std::collections::{BTreeSet, HashMap};
use std::time::Duration;

use super::super::*;
use crate::Options;
use crate::command::{Get, Store};
use crate::operation::{DeleteMany, EachReplica, GetMany, OnServer, RoutedBy, SetMany};
use crate::reply::{MetaReply, QuietReply, Ttl};
use crate::routing::{MigrationStage, ReconnectPolicy, WriteTo};
use crate::time::{Expiry, Instant};
use crate::value::Value;

/// A random number generator: `SplitMix64`.
struct Random(u64);

impl Random {
    fn below(&mut self, limit: u64) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut mixed = self.0;
        mixed = (mixed ^ (mixed >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        mixed = (mixed ^ (mixed >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        (mixed ^ (mixed >> 31)) % limit
    }
}

/// What a server does.
#[derive(Debug, Clone, Copy, PartialEq)]
enum State {
    Up,
    Refusing,
    Silent,
}

struct World {
    random: Random,
    now: Instant,
    /// By server and key: the number of the write.
    items: HashMap<(String, Vec<u8>), u64>,
    states: HashMap<String, State>,
    /// The number of the last write of each key.
    written: HashMap<Vec<u8>, u64>,
    writes: u64,
    /// Whether the call under way is a quiet batch.
    is_quiet: bool,
    /// What was found last on an old server of a migration.
    filled: HashMap<Vec<u8>, u64>,
    /// The servers of the gutter, which may serve what is older.
    gutter: BTreeSet<String>,
    /// Whether the call under way has found something there.
    from_gutter: bool,
}

impl World {
    fn moment(&self) -> Now {
        Now::fixed(self.now, std::time::UNIX_EPOCH)
    }

    /// Carries a request out, and returns the replies to it. What it stores is the write with this number.
    fn apply(&mut self, command: &impl Command, server: &str, number: u64) -> Vec<Reply> {
        let mut keys: Vec<Vec<u8>> = Vec::new();
        match self.is_quiet {
            true => command.for_each_written(&mut |key| keys.push(key.as_bytes().to_vec())),
            false => keys.extend((0..command.keys()).filter_map(|at| Some(command.key_at(at)?.as_bytes().to_vec()))),
        }
        let mut replies = Vec::new();
        let place = |key: &Vec<u8>| (server.to_owned(), key.clone());
        for (at, key) in keys.iter().enumerate() {
            let known = self.items.get(&place(key)).copied();
            let value = |number: u64| Value::new(number.to_string().into(), 0);
            match command.name() {
                "set" => {
                    self.items.insert(place(key), number);
                    replies.push(Reply::Stored);
                }
                "add" if known.is_some() => replies.push(Reply::NotStored),
                "add" => {
                    self.items.insert(place(key), self.filled[key]);
                    replies.push(Reply::Stored);
                }
                "delete" => {
                    let reply = if self.items.remove(&place(key)).is_some() { Reply::Deleted } else { Reply::NotFound };
                    replies.push(reply);
                }
                "get" => {
                    self.from_gutter |= known.is_some() && self.gutter.contains(server);
                    let found = known.map(|number| Reply::Value(u32::try_from(at).unwrap(), value(number)));
                    match (command.keys(), found) {
                        (1, None) => replies.push(Reply::Miss),
                        (_, found) => replies.extend(found),
                    }
                }
                "mg" => {
                    let Some(number) = known else {
                        replies.push(Reply::Miss);
                        continue;
                    };
                    self.filled.insert(key.clone(), number);
                    let mut reply = MetaReply::default();
                    (reply.item.value, reply.item.ttl) = (Some(value(number)), Some(Ttl::Never));
                    replies.push(Reply::Meta(Box::new(reply)));
                }
                other => panic!("{other}"),
            }
        }
        if self.is_quiet {
            let end = QuietReply { at: u32::try_from(keys.len()).unwrap(), ..QuietReply::default() };
            return vec![Reply::Quiet(Box::new(end))];
        }
        if command.keys() > 1 {
            replies.push(Reply::End);
        }
        replies
    }

    /// Runs an operation. Some requests are lost, before or after they were carried out.
    fn run<O: Operation>(&mut self, router: &Router, operation: O, number: u64) -> Result<O::Output, Error> {
        let mut call = Call::new(operation, router, self.moment());
        for _ in 0..100 {
            for at in 0..call.sub_requests().len() {
                let sub_request = call.sub_requests()[at];
                if !sub_request.is_open() {
                    continue;
                }
                let server = router.server(sub_request.server()).unwrap().name().to_owned();
                let state = self.states.get(&server).copied().unwrap_or(State::Up);
                match (state, self.random.below(20)) {
                    (State::Refusing, _) => {
                        call.fail(at, &Error::connect(&std::io::ErrorKind::ConnectionRefused.into()), Fault::Server);
                    }
                    (State::Silent, _) => {
                        call.fail(at, &Error::timeout(Landed::Unknown), Fault::Server);
                    }
                    (State::Up, 0) => {
                        let error = Error::disconnected("idle").with_landed(Landed::NotSent);
                        call.fail(at, &error, Fault::Connection);
                    }
                    (State::Up, fate @ 1..=2) => {
                        if fate == 1 {
                            self.apply(call.command(at), &server, number);
                        }
                        call.fail(at, &Error::timeout(Landed::Unknown), Fault::Nobody);
                    }
                    (State::Up, _) => {
                        let mut replies = self.apply(call.command(at), &server, number);
                        let last = replies.pop().unwrap();
                        replies.into_iter().for_each(|reply| call.answer(at, reply, false));
                        call.answer(at, last, true);
                    }
                }
            }
            let now = self.now;
            if !call.end_round(|| now) {
                return call.finish();
            }
            let is_quiet = std::mem::replace(&mut self.is_quiet, false);
            if let Some(replay) = call.replay(Duration::ZERO, Duration::MAX) {
                let _ = self.run(router, replay, 0);
            }
            if let Some(fill) = call.fill() {
                if let Ok(next) = self.run(router, fill, 0) {
                    call.filled(next);
                }
            }
            self.is_quiet = is_quiet;
        }
        panic!("it goes on for ever: {call:?}");
    }

    /// Fails if a value is older than the last write of its key, whatever came of that.
    fn check(&self, key: &[u8], value: Option<&Value>) {
        let (Some(value), false) = (value, self.from_gutter) else { return };
        let number: u64 = std::str::from_utf8(&value.data).unwrap().parse().unwrap();
        let written = self.written.get(key).copied().unwrap_or_default();
        assert!(number >= written, "{} is {number}, after {written}", key.escape_ascii());
    }

    /// Numbers a write of these keys.
    fn write(&mut self, keys: &[&Vec<u8>]) -> u64 {
        self.writes += 1;
        for key in keys {
            self.written.insert((*key).clone(), self.writes);
        }
        self.writes
    }

    /// One call.
    fn step(&mut self, router: &Router, keys: &[Vec<u8>]) {
        let key = &keys[usize::try_from(self.random.below(keys.len() as u64)).unwrap()];
        let some: Vec<&Vec<u8>> = keys.iter().filter(|_| self.random.below(2) == 0).collect();
        self.from_gutter = false;
        let is_one = router.uses_one_group();
        let choice = self.random.below(12);
        match choice {
            0..=2 => {
                let value = self.run(router, Get::new(key).unwrap(), 0);
                self.check(key, value.ok().flatten().as_ref());
            }
            3..=4 => {
                for (key, value) in some.iter().zip(self.run(router, GetMany::new(&some).unwrap(), 0).unwrap()) {
                    self.check(key, value.ok().flatten().as_ref());
                }
            }
            5 => {
                let number = self.write(&[key]);
                let _ = self.run(router, Delete::new(key).unwrap(), number);
            }
            6 => {
                let number = self.write(&[key]);
                let _ = self.run(router, Store::set(key, &number).unwrap().expiry(Expiry::Never), number);
            }
            7 => {
                let number = self.write(&some);
                let items: Vec<_> = some.iter().map(|key| (key, number)).collect();
                self.is_quiet = is_one && self.random.below(2) == 0;
                let operation = SetMany::new(&items, Expiry::Never).unwrap();
                let _ = match self.is_quiet {
                    true => self.run(router, operation.quiet(), number),
                    false => self.run(router, operation, number),
                };
                self.is_quiet = false;
            }
            8 => {
                let number = self.write(&some);
                self.is_quiet = is_one && self.random.below(2) == 0;
                let operation = DeleteMany::new(&some).unwrap();
                let _ = match self.is_quiet {
                    true => self.run(router, operation.quiet(), number),
                    false => self.run(router, operation, number),
                };
                self.is_quiet = false;
            }
            9 => {
                // Keys of its own, which another key routes.
                let own = [b"by-", &key[..]].concat();
                let value = self.run(router, RoutedBy::new(&b"user"[..], Get::new(&own).unwrap()).unwrap(), 0);
                self.check(&own, value.ok().flatten().as_ref());
                let number = self.write(&[&own]);
                let store = Store::set(&own, &number).unwrap();
                let _ = self.run(router, RoutedBy::new(&b"user"[..], store).unwrap(), number);
            }
            10 => {
                let results = self.run(router, EachReplica::new(Get::new(key).unwrap()), 0).unwrap();
                let used = |at: &usize| {
                    router.stage().is_none() || (router.read_order().contains(at) && router.written().contains(at))
                };
                for (_, value) in results.into_iter().enumerate().filter(|(at, _)| used(at)) {
                    self.check(key, value.ok().flatten().as_ref());
                }
            }
            _ => {
                let home = router.route_home(Key::new(key).unwrap()).unwrap();
                let server = router.server(home).unwrap();
                let value = self.run(router, OnServer::new(server, Get::new(key).unwrap()), 0);
                self.check(key, value.ok().flatten().as_ref());
            }
        }
    }
}

#[derive(Debug, Clone, Copy)]
enum Kind {
    Alone,
    Gutter,
    Replicas,
    ReplicasAndGutter,
    Migration,
    MigrationAndGutter,
}

/// A few hundred calls of a client of this kind, through all stages of a migration.
fn model(kind: Kind, seed: u64) {
    let journal = Arc::new(Journal::new(1000));
    let options = Options::default().reconnect(ReconnectPolicy::After(Duration::from_secs(1)));
    let options = options.journal(Arc::clone(&journal)).failover(false).failures(1 + u32::try_from(seed % 2).unwrap());
    let options = if seed % 3 == 0 { options.prefix("p:") } else { options };
    let options = match kind {
        Kind::Gutter | Kind::ReplicasAndGutter | Kind::MigrationAndGutter => {
            options.gutter(["g1", "g2"], Duration::from_secs(10))
        }
        _ => options,
    };
    let write_to = [WriteTo::All, WriteTo::Quorum, WriteTo::One][usize::try_from(seed % 3).unwrap()];
    let options = match kind {
        Kind::Alone | Kind::Gutter => options,
        Kind::Replicas | Kind::ReplicasAndGutter => {
            let options = options.replica(["r1", "r2"]).replica(["s1"]).write_to(write_to);
            if seed % 2 == 0 { options.read_next_on_miss(true) } else { options.nearest(1) }
        }
        Kind::Migration | Kind::MigrationAndGutter => {
            options.migrate_to(["n1", "n2"], MigrationStage::Old).write_to(write_to)
        }
    };
    let mut router = Router::with_options(["a", "b", "c"], &options)
        .unwrap()
        .for_client(seed, || Now::fixed(Instant::ZERO, std::time::UNIX_EPOCH));
    let names: Vec<_> = router.servers().iter().map(|server| server.name().to_owned()).collect();
    let gutter = router.ids().filter(|id| router.is_in_gutter(*id));
    let gutter = gutter.map(|id| router.server(id).unwrap().name().to_owned()).collect();
    let mut world = World {
        random: Random(seed),
        now: Instant::ZERO + Duration::from_secs(100),
        items: HashMap::new(),
        states: HashMap::new(),
        written: HashMap::new(),
        writes: 0,
        is_quiet: false,
        filled: HashMap::new(),
        gutter,
        from_gutter: false,
    };
    let keys: Vec<Vec<u8>> = (0..6).map(|number| format!("k{number}").into_bytes()).collect();
    let stages = [MigrationStage::WriteBoth, MigrationStage::ReadBoth, MigrationStage::ReadNew, MigrationStage::New];
    let mut stages = stages.into_iter();
    for turn in 0..300 {
        if world.random.below(6) == 0 {
            let name = &names[usize::try_from(world.random.below(names.len() as u64)).unwrap()];
            let state =
                [State::Up, State::Refusing, State::Up, State::Silent][usize::try_from(world.random.below(4)).unwrap()];
            world.states.insert(name.clone(), state);
        }
        world.now += Duration::from_millis(world.random.below(700));
        if turn % 60 == 59 && router.stage().is_some() {
            if let Some(stage) = stages.next() {
                router = router.at_stage(stage).unwrap();
            }
        }
        world.step(&router, &keys);
    }
}

#[test]
fn nothing_older_is_read_than_what_was_written_last() {
    for kind in
        [Kind::Alone, Kind::Gutter, Kind::Replicas, Kind::ReplicasAndGutter, Kind::Migration, Kind::MigrationAndGutter]
    {
        for seed in 0..10 {
            model(kind, seed);
        }
    }
}
