//! Every call dropped at every point that it can reach, whatever the server does: others on the connection, and the calls
//! that come next, get their own values, and nothing is left.

mod network;
mod place;
pub(crate) mod subject;

use std::fmt;
use std::future::poll_fn;
use std::pin::Pin;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex};
use std::task::{Context, Poll, Wake, Waker};
use std::time::Duration;

use futures::FutureExt as _;
use futures::future::{LocalBoxFuture, join_all, maybe_done};
use memcached2_proto::command::NoReply;
use memcached2_proto::operation::{GetMany, SetMany};
use memcached2_proto::{Error, Expiry, Get, Landed, Options, Protocol, ReconnectPolicy, Store, Value};

use self::place::Place;
use self::subject::{Subject, turn};
use crate::certificates::TRUSTED;

/// Longer than anything takes.
const PATIENT: Duration = Duration::from_secs(30);

/// What is dropped.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Call {
    Get,
    Set,
    GetMany,
    Cas,
    NoReplySet,
    QuietSets,
    GetLarge,
    SetLarge,
    Close,
}

const CALLS: [Call; 9] = [
    Call::Get,
    Call::Set,
    Call::GetMany,
    Call::Cas,
    Call::NoReplySet,
    Call::QuietSets,
    Call::GetLarge,
    Call::SetLarge,
    Call::Close,
];

/// It takes several reads and writes, and several records of TLS.
static LARGE: [u8; 40_000] = [b'x'; 40_000];

/// What the server does until the drop, and then.
#[derive(Debug, Clone, Copy)]
struct Server {
    name: &'static str,
    /// How many bytes pass at a step; all of them if there is no such number.
    piece: Option<usize>,
    then: Then,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Then {
    GoOn,
    /// Nothing passes while others call.
    Stall,
    /// The connection ends.
    Cut,
    /// It has answered some requests with error lines, and goes on.
    Refuse,
}

const SERVERS: [Server; 6] = [
    Server { name: "fast", piece: None, then: Then::GoOn },
    Server { name: "slow", piece: Some(16), then: Then::GoOn },
    Server { name: "bytewise", piece: Some(1), then: Then::GoOn },
    Server { name: "stalling", piece: Some(5), then: Then::Stall },
    Server { name: "cut", piece: Some(5), then: Then::Cut },
    Server { name: "erring", piece: Some(7), then: Then::Refuse },
];

/// A memcached, with sockets: the call is polled when it is woken.
const SOCKETS: Server = Server { name: "memcached", piece: None, then: Then::GoOn };

/// The call that is dropped, where, and how often so far.
struct Trial<'p, S> {
    call: Call,
    server: Server,
    is_tls: bool,
    /// Whether the connection is open before.
    is_open: bool,
    place: &'p Place,
    client: S,
    point: usize,
}

/// How long a value is without the sign after its key.
const LONG: usize = 14;

fn value(key: &str) -> String {
    format!("{key}={}", "x".repeat(LONG - key.len()))
}

/// A value is that of its key, if there is one.
fn check(key: &str, found: Option<&Value>) {
    if let Some(found) = found {
        assert_eq!(*found, value(key).as_str(), "the value of {key}");
    }
}

/// Counts how often it was woken, and passes it on.
#[derive(Default)]
struct Woken(AtomicUsize, Mutex<Option<Waker>>);

impl Woken {
    /// Waits until it was woken more often than this.
    async fn more_than(&self, times: usize, mut meanwhile: impl FnMut(&mut Context<'_>)) {
        poll_fn(|cx| {
            meanwhile(cx);
            *self.1.lock().unwrap() = Some(cx.waker().clone());
            if self.0.load(Ordering::SeqCst) > times { Poll::Ready(()) } else { Poll::Pending }
        })
        .await;
    }
}

impl Wake for Woken {
    fn wake(self: Arc<Self>) {
        self.0.fetch_add(1, Ordering::SeqCst);
        self.1.lock().unwrap().take().into_iter().for_each(Waker::wake);
    }
}

fn get<'c, S: Subject>(client: &'c S, key: &'static str) -> LocalBoxFuture<'c, Result<Option<Value>, Error>> {
    async move {
        let found = client.ask(Get::new(key)?).await;
        check(key, found.as_ref().ok().and_then(Option::as_ref));
        found
    }
    .boxed_local()
}

/// The call that is dropped.
async fn call<S: Subject>(client: S, call: Call, cas: u64) -> Result<(), Error> {
    let text = value("target");
    match call {
        Call::Get => get(&client, "target").await.map(drop),
        Call::Set => client.ask(Store::set("target", &text)?).await,
        Call::GetMany => {
            let keys = ["other", "target", "none"];
            let results = client.ask(GetMany::new(&keys)?).await?;
            results.into_iter().zip(keys).try_for_each(|(found, key)| {
                let found = found?;
                check(key, found.as_ref());
                assert!(key != "none" || found.is_none());
                Ok(())
            })
        }
        Call::Cas => client.ask(Store::cas("target", &text, cas)?).await,
        Call::NoReplySet => client.ask(NoReply(Store::set("target", &text)?)).await,
        Call::QuietSets => {
            let items = ["target", "other"].map(|key| (key, value(key)));
            let stored = client.ask(SetMany::new(&items, Expiry::Never)?.quiet()).await?;
            // A server that errs is spoken to in the classic protocol.
            let is_spoken = |result: &Result<(), Error>| !matches!(result, Err(Error::NoMeta { .. }));
            stored.into_iter().filter(is_spoken).collect()
        }
        Call::GetLarge => {
            let found = client.ask(Get::new("large")?).await?;
            assert!(found.is_none_or(|found| found.data() == LARGE), "the value of large");
            Ok(())
        }
        Call::SetLarge => client.ask(Store::set("large", &LARGE)?).await,
        Call::Close => {
            assert!(client.end(PATIENT).await);
            Ok(())
        }
    }
}

/// Polls calls whether they were woken or not.
fn poll_all<F: Future + Unpin>(cx: &mut Context<'_>, calls: &mut [F]) {
    for call in calls {
        let _ = call.poll_unpin(cx);
    }
}

const OTHERS: [&str; 3] = ["first", "other", "third"];

impl<'p, S: Subject> Trial<'p, S> {
    fn new(call: Call, server: Server, (place, is_tls): (&'p Place, bool), is_open: bool) -> Self {
        Self { call, server, is_tls, is_open, place, client: client(place, server), point: 0 }
    }

    /// Drops the call at each point, and returns how many there are.
    async fn run(mut self) -> usize {
        for key in OTHERS.iter().chain(&["target"]) {
            let stored = self.client.ask(Store::set(*key, &value(key)).unwrap()).await;
            assert!(stored.is_ok() || self.server.then == Then::Refuse, "{stored:?}");
        }
        let stored = self.client.ask(Store::set("large", &LARGE).unwrap()).await;
        assert!(stored.is_ok() || self.server.then == Then::Refuse, "{stored:?}");
        loop {
            if !self.is_open || self.call == Call::Close {
                self.close().await;
                self.client = client(self.place, self.server);
            }
            if self.drop_at_point().await {
                break;
            }
            self.point += 1;
            assert!(self.point < 2000, "the call does not end");
        }
        self.close().await;
        self.point
    }

    /// Everything ends, and nothing is left.
    async fn close(&self) {
        assert!(self.client.end(PATIENT).await, "somebody still waits");
        self.place.empty().await;
    }

    /// How many bytes pass at a step. A handshake is much longer than a call.
    fn piece(&self) -> Option<usize> {
        if matches!(self.call, Call::GetLarge | Call::SetLarge) {
            return self.server.piece.map(|piece| piece * 2000);
        }
        self.server.piece.map(|piece| match (self.is_open, self.is_tls) {
            (false, true) => piece * 100,
            (false, false) => piece * 2,
            (true, true) => piece * 4,
            (true, false) => piece,
        })
    }

    /// Whether the call came to its end before the point.
    async fn drop_at_point(&self) -> bool {
        let (client, place) = (&self.client, self.place);
        let cas = if self.is_open {
            let found = client.ask(Get::new("target").unwrap().with_cas()).await;
            found.ok().flatten().and_then(|found| found.cas).unwrap_or(1)
        } else {
            1
        };
        place.hold(self.piece());
        let mut others: Vec<_> = vec![Box::pin(maybe_done(get(client, OTHERS[0])))];
        poll_all(&mut Context::from_waker(Waker::noop()), &mut others);
        let woken = Arc::new(Woken::default());
        let waker = Waker::from(Arc::clone(&woken));
        let mut target: Pin<Box<dyn Future<Output = _>>> = Box::pin(call(client.clone(), self.call, cas));
        let mut outcome = Poll::Pending;
        for polls in 0..=self.point {
            if polls == 1 {
                others.extend(OTHERS[1..].iter().map(|key| Box::pin(maybe_done(get(client, key)))));
            }
            if polls == self.point {
                break;
            }
            outcome = target.as_mut().poll(&mut Context::from_waker(&waker));
            if outcome.is_ready() {
                break;
            }
            // A call that is waited for has to be polled.
            place.step(&woken, polls, |cx| poll_all(cx, &mut others)).await;
        }
        drop(target);
        drop(waker);
        // The timer of async-io forgets the waker of a close some time later.
        if self.call != Call::Close {
            assert_eq!(Arc::strong_count(&woken), 1, "{self}: the waker of a dropped call is kept");
        }
        if let Poll::Ready(outcome) = &outcome {
            self.check_outcome(outcome);
        }
        match self.server.then {
            Then::Stall => {
                others.push(Box::pin(maybe_done(get(client, OTHERS[0]))));
                for _ in 0..4 {
                    poll_all(&mut Context::from_waker(Waker::noop()), &mut others);
                    turn().await;
                }
                place.release();
            }
            Then::Cut => place.cut(self.point % 2 == 0),
            Then::GoOn | Then::Refuse => place.release(),
        }
        join_all(others.iter_mut().map(Pin::as_mut)).await;
        for mut other in others {
            match other.as_mut().take_output().unwrap() {
                Ok(found) => assert!(found.is_some(), "{self}: a stored item is a miss"),
                Err(error) => assert!(self.may_fail(&error), "{self}: {error:?}"),
            }
        }
        // What comes next gets its own, too.
        for key in OTHERS.iter().chain(&["target"]) {
            match get(client, key).await {
                Ok(found) => {
                    assert!(found.is_some() != (self.server.then == Then::Refuse && *key == "target"), "{self}");
                }
                Err(Error::Closed { .. }) if self.is_closed() => {}
                Err(error) => assert!(self.server.then == Then::Refuse && self.may_fail(&error), "{self}: {error:?}"),
            }
        }
        if self.is_closed() {
            self.close().await;
        }
        outcome.is_ready()
    }

    fn is_closed(&self) -> bool {
        self.call == Call::Close && self.point > 0
    }

    /// Whether another call may have this error.
    fn may_fail(&self, error: &Error) -> bool {
        match (error, self.server.then) {
            (Error::Closed { .. }, _) => self.is_closed(),
            // Its reply had begun to come, or the connection was new.
            (Error::Disconnected { .. } | Error::Tls { .. }, Then::Cut) => error.landed() == Landed::NotSent,
            // It was repeated, and so was the error line, which may have replaced its reply.
            (Error::Disconnected { .. }, Then::Refuse) => error.landed() == Landed::NotSent,
            (Error::Refused { .. }, Then::Refuse) => true,
            _ => false,
        }
    }

    fn check_outcome(&self, outcome: &Result<(), Error>) {
        match outcome {
            Ok(()) => {}
            Err(Error::Disconnected { .. }) if self.server.then == Then::Refuse => {}
            Err(Error::Exists { .. } | Error::NotFound { .. }) if self.call == Call::Cas && !self.is_open => {}
            Err(error) => assert!(self.may_fail(error), "{self}: {error:?}"),
        }
    }
}

impl<S: Subject> fmt::Display for Trial<'_, S> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { call, server, is_tls, is_open, point, .. } = self;
        let name = server.name;
        write!(f, "{} {call:?} {name}, TLS: {is_tls}, open before: {is_open}, dropped at {point}", S::NAME)
    }
}

fn client<S: Subject>(place: &Place, server: Server) -> S {
    let options = Options::default().timeout(PATIENT).connect_timeout(PATIENT).reconnect(ReconnectPolicy::Immediately);
    let options = options.tls_built_in_root_certs(false).add_root_certificate(TRUSTED.certificate());
    place.client(if server.then == Then::Refuse { options.protocol(Protocol::Classic) } else { options })
}

/// Drops all calls at all points, while each server does what it does, or only this one, and prints how many points there were.
pub(crate) fn everywhere<S: Subject>(only: Option<&str>) {
    let servers = SERVERS.into_iter().chain([SOCKETS]);
    for server in servers.filter(|server| only.is_none_or(|only| only == server.name)) {
        let places = [false, true].map(|is_tls| (Place::of(server, is_tls), is_tls));
        for call in CALLS {
            let counts = places.iter().flat_map(|(place, is_tls)| [(place, *is_tls, false), (place, *is_tls, true)]);
            let counts = counts.map(|(place, is_tls, is_open)| {
                let Some(place) = place else { return "-".to_owned() };
                let trial = Trial::<S>::new(call, server, (place, is_tls), is_open);
                let points = S::block_on(trial.run());
                assert!(points > 0, "{} {call:?} {}: there is no point to drop it at", S::NAME, server.name);
                points.to_string()
            });
            let counts: Vec<_> = counts.collect();
            println!(
                "{:20} {:10} {:9} dropped at {:>3} points on a new connection, {:>3} on an open one; by TLS {:>3}, {:>3}",
                S::NAME,
                format!("{call:?}"),
                server.name,
                counts[0],
                counts[1],
                counts[2],
                counts[3]
            );
        }
    }
}
