//! Clients and servers in time that is made by hand.

use std::cmp::Reverse;
use std::collections::BinaryHeap;
use std::io::ErrorKind;
use std::sync::Arc;
use std::time::{Duration, SystemTime};

use memcached2_proto::call::{Call, Fault};
use memcached2_proto::routing::{Journal, ServerId};
use memcached2_proto::{Error, Get, Instant, Key, Landed, Now, Options, Reply, Router, Store};
use memcached2_testkit::Rng;

use super::pending::{Pending, refused};

const MILLISECOND: Duration = Duration::from_millis(1);
const ANSWER: Duration = MILLISECOND;
const DOWN_AT: Duration = Duration::from_secs(3);
const BACK_AT: Duration = Duration::from_secs(13);
const END: Duration = Duration::from_secs(20);
/// The default options.
pub(super) const TIMEOUT: Duration = Duration::from_secs(1);
const CONNECT_TIMEOUT: Duration = Duration::from_millis(500);
/// How many calls a second a client makes for each server that goes down, and for each other one.
const RATES: [f64; 2] = [4.0, 0.8];
const KEYS: usize = 20_000;
/// What is counted together.
const BUCKET: Duration = Duration::from_millis(100);

/// How a server is down.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Outage {
    /// Its connections end, and it refuses new ones.
    Killed,
    /// Nothing answers.
    CutOff,
}

/// What came of one simulation.
#[derive(Debug, Clone, Default, PartialEq)]
pub(crate) struct Figures {
    pub(crate) calls: u64,
    pub(crate) failed: u64,
    /// Calls that took longer than a tenth of a second.
    pub(crate) slow: u64,
    /// Attempts to connect to one server that was down, in a second on average, and at most in a tenth of one.
    pub(crate) attempts: f64,
    pub(crate) herd: u64,
    /// Connections to one server that was back, at most in a tenth of a second.
    pub(crate) rush: u64,
    /// How long it took after the servers were back until 50 %, 99 % and all clients used them.
    pub(crate) back: [Duration; 3],
    /// The part of all keys that had another server meanwhile, and of those the part that one server had.
    pub(crate) moved: f64,
    pub(crate) on_one: f64,
    /// The most keys in the journal of a client.
    pub(crate) journal: usize,
    /// How long after the servers were back all journals were empty.
    pub(crate) emptied: Duration,
    /// The most connections that were open.
    pub(crate) connections: u64,
}

/// What happens next to a call that waits.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Next {
    /// The server answers, if it has not gone down since.
    Answer,
    /// The connection is there.
    Connected,
    Refused,
    /// Nothing was heard: while connecting, or for all of its time.
    NoConnection,
    Silence,
}

/// A connection of a client to a server.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
enum Link {
    #[default]
    None,
    /// It is being opened: until when, and what comes of it.
    Opening(Duration, Next),
    Open,
}

struct InFlight<'r> {
    call: Box<dyn Pending<'r> + 'r>,
    client: usize,
    begun: Duration,
    is_set: bool,
    next: Next,
}

struct World<'r> {
    routers: &'r [Router],
    journals: &'r [Arc<Journal>],
    outage: Outage,
    servers: usize,
    now: Duration,
    links: Vec<Vec<Link>>,
    open: u64,
    calls: Vec<Option<InFlight<'r>>>,
    free: Vec<usize>,
    /// When, which of those that happen then, and which call; or, with a number past all calls, which client begins one.
    events: BinaryHeap<Reverse<(Duration, u64, Event)>>,
    number: u64,
    attempts: Vec<u64>,
    connects: Vec<u64>,
    /// By client and server: when it was used again.
    back: Vec<Vec<Option<Duration>>>,
    figures: Figures,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
enum Event {
    Begin(usize),
    Go(usize),
}

/// Lets time pass for these clients and servers.
pub(crate) fn simulate(clients: usize, servers: usize, outage: Outage, seed: u64) -> Result<Figures, Error> {
    let down = servers / 10;
    let names: Vec<_> = (0..servers).map(|at| format!("server{at}")).collect();
    let mut rng = Rng::new(seed);
    let journals: Vec<_> = (0..clients).map(|_| Arc::new(Journal::new(100_000))).collect();
    let router = |journal: &Arc<Journal>| {
        let options = Options::default().journal(Arc::clone(journal));
        let seed = (rng.below(1 << 32) << 32 | rng.below(1 << 32)) as u64;
        Router::with_options(&names, &options)
            .map(|router| router.for_client(seed, || Now::fixed(Instant::ZERO, SystemTime::UNIX_EPOCH)))
    };
    let routers = journals.iter().map(router).collect::<Result<Vec<_>, _>>()?;
    let keys: Vec<_> = (0..KEYS).map(|at| format!("key{at}")).collect();
    let mut pools = [Vec::new(), Vec::new()];
    let mut others = vec![0_u64; servers];
    for key in &keys {
        let home = routers[0].route(Key::new(key)?)?.index();
        pools[usize::from(home >= down)].push(key.as_str());
        if home < down {
            others[routers[0].route_among(Key::new(key)?, &|place| place >= down)?.index()] += 1;
        }
    }
    let links = (0..clients).map(|_| vec![Link::None; servers]).collect();
    let buckets = usize::try_from(END.as_millis() / BUCKET.as_millis()).unwrap_or(0) + 1;
    let mut world = World {
        routers: &routers,
        journals: &journals,
        outage,
        servers,
        now: Duration::ZERO,
        links,
        open: 0,
        calls: Vec::new(),
        free: Vec::new(),
        events: BinaryHeap::new(),
        number: 0,
        attempts: vec![0; buckets],
        connects: vec![0; buckets],
        back: vec![vec![None; down]; clients],
        figures: Figures::default(),
    };
    world.run(&pools, &mut rng)?;
    let mut figures = world.summary();
    figures.moved = pools[0].len() as f64 / KEYS as f64;
    figures.on_one = others.iter().max().map_or(0.0, |most| *most as f64 / pools[0].len().max(1) as f64);
    Ok(figures)
}

impl<'r> World<'r> {
    fn down(&self) -> usize {
        self.servers / 10
    }

    fn is_up(&self, server: ServerId) -> bool {
        server.index() >= self.down() || !(DOWN_AT..BACK_AT).contains(&self.now)
    }

    fn at(&mut self, after: Duration, event: Event) {
        self.number += 1;
        self.events.push(Reverse((self.now + after, self.number, event)));
    }

    fn moment(&self) -> Now {
        Now::fixed(Instant::ZERO + self.now, SystemTime::UNIX_EPOCH)
    }

    fn run(&mut self, pools: &[Vec<&'r str>; 2], rng: &mut Rng) -> Result<(), Error> {
        let rates = [RATES[0] * self.down() as f64, RATES[1] * (self.servers - self.down()) as f64];
        let pause = |rng: &mut Rng| Duration::from_secs_f64(rng.below(2_000_000) as f64 / 1e6 / (rates[0] + rates[1]));
        for client in 0..self.routers.len() {
            let after = pause(rng);
            self.at(after, Event::Begin(client));
        }
        let theirs = (rates[0] / (rates[0] + rates[1]) * 1e6) as usize;
        let mut has_been = [false; 2];
        while let Some(Reverse((now, _, event))) = self.events.pop() {
            self.now = now;
            if now >= DOWN_AT && !std::mem::replace(&mut has_been[0], true) {
                self.go_down();
            }
            if now >= BACK_AT && !std::mem::replace(&mut has_been[1], true) {
                self.come_back();
            }
            match event {
                Event::Begin(client) => {
                    let pool = &pools[usize::from(rng.below(1_000_000) >= theirs)];
                    self.begin(client, pool[rng.below(pool.len())], rng.once_in(4))?;
                    let after = pause(rng);
                    if now + after < END {
                        self.at(after, Event::Begin(client));
                    }
                }
                Event::Go(at) => self.go(at),
            }
        }
        Ok(())
    }

    fn go_down(&mut self) {
        let down = self.down();
        if self.outage == Outage::Killed {
            for link in self.links.iter_mut().flat_map(|links| &mut links[..down]).filter(|link| **link == Link::Open) {
                *link = Link::None;
                self.open -= 1;
            }
        }
    }

    fn come_back(&mut self) {
        self.figures.journal = self.journals.iter().map(|journal| journal.len()).max().unwrap_or(0);
    }

    fn begin(&mut self, client: usize, key: &'r str, is_set: bool) -> Result<(), Error> {
        let router = &self.routers[client];
        let call: Box<dyn Pending<'r> + 'r> = match is_set {
            true => Box::new(Call::new(Store::set(key, "x")?, router, self.moment())),
            false => Box::new(Call::new(Get::new(key)?, router, self.moment())),
        };
        self.figures.calls += 1;
        let pending = InFlight { call, client, begun: self.now, is_set, next: Next::Answer };
        let at = self.free.pop().unwrap_or_else(|| {
            self.calls.push(None);
            self.calls.len() - 1
        });
        self.calls[at] = Some(pending);
        self.ask_or_end(at);
        Ok(())
    }

    /// Begins a round, or rounds that ask nobody, to the end of the call.
    fn ask_or_end(&mut self, at: usize) {
        while let Some(mut pending) = self.calls[at].take() {
            if let Some(server) = pending.call.server() {
                let after;
                (pending.next, after) = self.ask(pending.client, server, pending.begun);
                self.calls[at] = Some(pending);
                return self.at(after, Event::Go(at));
            }
            if self.end_round(&mut pending) {
                self.calls[at] = Some(pending);
                continue;
            }
            self.figures.failed += u64::from(pending.call.finish().is_err());
            self.figures.slow += u64::from(self.now - pending.begun > Duration::from_millis(100));
            self.free.push(at);
        }
    }

    fn end_round(&self, pending: &mut InFlight<'r>) -> bool {
        pending.call.end_round(&self.routers[pending.client], self.moment(), &|server| self.is_up(server))
    }

    /// What comes of a request to a server that is sent now, and after what time.
    fn ask(&mut self, client: usize, server: ServerId, begun: Duration) -> (Next, Duration) {
        let is_up = self.is_up(server);
        let left = (begun + TIMEOUT).saturating_sub(self.now);
        let (next, after) = match self.links[client][server.index()] {
            Link::Open if is_up => (Next::Answer, ANSWER),
            Link::Open => (Next::Silence, left),
            Link::Opening(until, next) => (next, until.saturating_sub(self.now)),
            Link::None => {
                let (next, after) = match (is_up, self.outage) {
                    (true, _) => (Next::Connected, ANSWER),
                    (false, Outage::Killed) => (Next::Refused, ANSWER),
                    (false, Outage::CutOff) => (Next::NoConnection, CONNECT_TIMEOUT),
                };
                let bucket = self.bucket();
                match is_up {
                    true if server.index() < self.down() => self.connects[bucket] += 1,
                    true => {}
                    false => self.attempts[bucket] += 1,
                }
                self.links[client][server.index()] = Link::Opening(self.now + after, next);
                (next, after)
            }
        };
        if after > left { (Next::Silence, left) } else { (next, after) }
    }

    fn bucket(&self) -> usize {
        usize::try_from(self.now.as_millis() / BUCKET.as_millis()).unwrap_or(0).min(self.attempts.len() - 1)
    }

    /// What a call has waited for has come.
    fn go(&mut self, at: usize) {
        let Some(mut pending) = self.calls[at].take() else { return };
        let Some(server) = pending.call.server() else { return };
        let (client, place) = (pending.client, server.index());
        let link = self.links[client][place];
        match pending.next {
            Next::Answer if self.is_up(server) => {
                if place < self.down() && self.now >= BACK_AT {
                    self.back[client][place].get_or_insert(self.now - BACK_AT);
                }
                pending.call.answer(if pending.is_set { Reply::Stored } else { Reply::Miss });
            }
            // It has gone down while it was asked.
            Next::Answer if self.outage == Outage::Killed => {
                pending.call.fail(&Error::lost(&ErrorKind::ConnectionReset.into(), Landed::Unknown), Fault::Connection);
            }
            Next::Answer => {
                let left = (pending.begun + TIMEOUT).saturating_sub(self.now);
                pending.next = Next::Silence;
                self.calls[at] = Some(pending);
                return self.at(left, Event::Go(at));
            }
            Next::Connected => {
                if matches!(link, Link::Opening(..)) {
                    self.links[client][place] = Link::Open;
                    self.open += 1;
                    self.figures.connections = self.figures.connections.max(self.open);
                }
                pending.next = Next::Answer;
                self.calls[at] = Some(pending);
                return self.at(ANSWER, Event::Go(at));
            }
            Next::Refused => self.not_connected(&mut pending, server, &refused()),
            Next::NoConnection => {
                self.not_connected(&mut pending, server, &Error::connect(&ErrorKind::TimedOut.into()));
            }
            // A missed deadline alone says nothing about the server, but the connection is not used again.
            Next::Silence => {
                if link == Link::Open && !self.is_up(server) {
                    self.links[client][place] = Link::None;
                    self.open -= 1;
                }
                let landed = if link == Link::Open { Landed::Unknown } else { Landed::NotSent };
                pending.call.fail(&Error::timeout(landed), Fault::Nobody);
            }
        }
        if !self.end_round(&mut pending) {
            self.figures.failed += u64::from(pending.call.finish().is_err());
            self.figures.slow += u64::from(self.now - pending.begun > Duration::from_millis(100));
            self.free.push(at);
        } else {
            self.calls[at] = Some(pending);
            self.ask_or_end(at);
        }
        if self.now >= BACK_AT
            && self.figures.emptied.is_zero()
            && self.journals.iter().all(|journal| journal.is_empty())
        {
            self.figures.emptied = self.now - BACK_AT;
        }
    }

    fn not_connected(&mut self, pending: &mut InFlight<'r>, server: ServerId, error: &Error) {
        if matches!(self.links[pending.client][server.index()], Link::Opening(until, _) if until <= self.now) {
            self.links[pending.client][server.index()] = Link::None;
        }
        pending.call.fail(error, Fault::Server);
    }

    fn summary(self) -> Figures {
        let down = self.down() as u64;
        let mut back: Vec<_> = self.back.into_iter().flatten().map(|time| time.unwrap_or(END)).collect();
        back.sort_unstable();
        let part = |percent: usize| back[(back.len() * percent).div_ceil(100).saturating_sub(1)];
        let seconds = (BACK_AT - DOWN_AT).as_secs_f64();
        Figures {
            attempts: self.attempts.iter().sum::<u64>() as f64 / seconds / down as f64,
            herd: self.attempts.iter().max().map_or(0, |most| most.div_ceil(down)),
            rush: self.connects[usize::try_from(BACK_AT.as_millis() / BUCKET.as_millis()).unwrap_or(0)..]
                .iter()
                .max()
                .map_or(0, |most| most.div_ceil(down)),
            back: [part(50), part(99), part(100)],
            ..self.figures
        }
    }
}
