//! Several servers in one call: they are connected to, asked and read at the same time.

use std::iter::successors;
#[cfg(unix)]
use std::sync::Arc;
use std::task::Waker;
#[cfg(unix)]
use std::time::Duration;

#[cfg(unix)]
use memcached2_proto::Landed;
use memcached2_proto::call::{Call, ServerBatch};
use memcached2_proto::routing::ServerId;
use memcached2_proto::{Error, Now, Operation};

#[cfg(unix)]
use crate::bell::Bell;
use crate::opening::{Opener, SOON};
use crate::pooled_connection::PooledConnection;
use crate::server_pool::ServerPool;
use crate::stream::{Deadline, now};
use crate::waiter::{FullServer, Unpark, park};

/// A call to several servers.
pub(crate) struct FanOut<'f, 'r, 's, O: Operation> {
    call: &'f mut Call<'r, O>,
    now: Now,
    /// Servers that take no further connection, and what is to be asked of them.
    full: Vec<Full<'s>>,
    bell: Option<CallBell>,
}

/// What is woken when one of those may give a connection, or the name of a server was looked up.
struct CallBell {
    waker: Waker,
    /// What is waited for together with sockets, if there is such a thing. Else the thread is woken, which hears it when it waits for
    /// nothing else.
    #[cfg(unix)]
    bell: Option<Arc<Bell>>,
}

/// A server that takes no further connection, or to which this program has as many as it may: one of the others is waited for.
struct Full<'s> {
    batch: ServerBatch,
    server: FullServer<'s>,
    deadline: Deadline,
}

/// What is to be asked of one server, its connection or the right to open one, and how long it may take.
type Reserved<'s> = (ServerBatch, PooledConnection<'s>, Deadline);

/// What is asked of one server, how far that is, and how long it may take.
struct Exchange<'s> {
    batch: ServerBatch,
    pooled: PooledConnection<'s>,
    /// While the connection is being opened; then the server has not been asked yet.
    opener: Option<Box<Opener>>,
    deadline: Deadline,
    /// Whether the deadline has passed, and what came before it was about to be read.
    is_late: bool,
}

impl Exchange<'_> {
    /// How long there is nothing to be done unless the socket gets ready.
    #[cfg(unix)]
    fn left(&mut self) -> Duration {
        let left = self.deadline.left().unwrap_or_default();
        self.opener.as_ref().map_or(left, |opener| opener.left().min(left))
    }

    /// Reads and writes as far as the socket is ready; `true` when all replies have come.
    fn exchange<O: Operation>(&mut self, call: &mut Call<'_, O>, ready: Ready, begun: Now) -> Result<bool, Error> {
        // What has come in time counts, even if this thread could not look before the deadline.
        if ready.to_read && self.deadline.left().is_err() && !std::mem::replace(&mut self.is_late, true) {
            self.deadline = Deadline::until(Some(now() + SOON));
        }
        let conn = self.pooled.conn();
        let is_done = match ready.to_read {
            true => conn.read(call, &mut self.batch, begun, &mut self.deadline)?,
            // The time of one does not go by unnoticed while others are ready.
            false => self.deadline.left().map(|_| self.batch.is_done())?,
        };
        // A reply may make room in the window.
        if !is_done && (ready.to_write || (ready.to_read && !conn.connection.is_write_blocked())) {
            conn.write_at_once(&mut self.deadline)?;
        }
        Ok(is_done)
    }
}

/// What a socket is ready for.
#[derive(Debug, Clone, Copy, Default)]
struct Ready {
    to_read: bool,
    to_write: bool,
}

impl<'f, 'r, 's, O: Operation> FanOut<'f, 'r, 's, O> {
    pub(crate) fn new(call: &'f mut Call<'r, O>, now: Now) -> Self {
        Self { call, now, full: Vec::new(), bell: None }
    }

    /// Sends all batches from the first one on, and reads the replies of all servers as they come.
    #[cold]
    pub(crate) fn run(
        &mut self,
        first: ServerBatch,
        server_pool: impl Fn(ServerId) -> Result<&'s ServerPool, Error>,
        deadline: &mut Deadline,
    ) {
        let batches: Vec<_> = successors(Some(first), |batch| self.call.batch(batch.end())).collect();
        let (mut reserved, mut exchanges) = (Vec::new(), Vec::new());
        for mut batch in batches {
            let pooled = server_pool(batch.server()).and_then(|server_pool| {
                let pooled = server_pool.reserve(batch.is_retry(), self.now, deadline)?;
                Ok((server_pool, pooled))
            });
            match pooled {
                Ok((_, Some(pooled))) => reserved.push((batch, pooled, deadline.clone())),
                Ok((server_pool, None)) => self.wait_for(batch, server_pool, None, deadline.clone()),
                Err(error) => self.call.fail_batch(&mut batch, &error),
            }
        }
        deadline.spent();
        self.begin_all(reserved, &mut exchanges);
        loop {
            while self.take_free(&mut exchanges) {}
            if exchanges.is_empty() && self.full.is_empty() {
                return;
            }
            exchanges = self.go_on_with(exchanges);
        }
    }

    /// Goes on with all servers that have not said all, once one of them is ready, or a full one may be. Returns those that still have
    /// not.
    fn go_on_with(&mut self, mut exchanges: Vec<Exchange<'s>>) -> Vec<Exchange<'s>> {
        let begun = now();
        let ready = self.wait(&mut exchanges);
        self.full.iter_mut().for_each(|full| full.deadline.waited_since(begun));
        if let Err(error) = &ready {
            std::mem::take(&mut self.full).iter_mut().for_each(|full| self.call.fail_batch(&mut full.batch, error));
        }
        let go_on = |(at, exchange)| match &ready {
            Ok(ready) => self.go_on(exchange, ready.get(at).copied().unwrap_or_default()),
            Err(error) => self.fail(exchange, error),
        };
        exchanges.into_iter().enumerate().filter_map(go_on).collect()
    }

    /// Asks servers, and then begins to connect to others, which may be waited for where there is no poll(2).
    fn begin_all(&mut self, mut reserved: Vec<Reserved<'s>>, exchanges: &mut Vec<Exchange<'s>>) {
        reserved.sort_by_key(|(_, pooled, _)| pooled.conn.is_none());
        exchanges
            .extend(reserved.into_iter().filter_map(|(batch, pooled, deadline)| self.begin(batch, pooled, deadline)));
    }

    /// Asks a server, or begins to connect to it.
    fn begin(&mut self, batch: ServerBatch, pooled: PooledConnection<'s>, deadline: Deadline) -> Option<Exchange<'s>> {
        let mut exchange = Exchange { batch, pooled, opener: None, deadline, is_late: false };
        if exchange.pooled.conn.is_some() {
            return self.ask(exchange);
        }
        let server_pool = exchange.pooled.server_pool;
        let mut deadline = exchange.deadline.at_most(server_pool.time_to_open());
        match Opener::begin(&server_pool.endpoint, &mut deadline, || CallBell::with_sockets(&mut self.bell)) {
            Ok((opener, true)) => self.opened(exchange, opener),
            Ok((opener, false)) => {
                exchange.opener = Some(Box::new(opener));
                Some(exchange)
            }
            Err(error) => self.not_opened(exchange, error),
        }
    }

    fn ask(&mut self, mut exchange: Exchange<'s>) -> Option<Exchange<'s>> {
        if let Some(waited) = exchange.deadline.take_waited() {
            self.call.waited(exchange.batch.server(), waited);
        }
        self.call.submit(&mut exchange.batch, &mut exchange.pooled.conn().connection, self.now);
        if exchange.batch.is_done() {
            exchange.pooled.conn().asks_nothing();
            exchange.pooled.checkin(self.now);
            return None;
        }
        self.write(exchange)
    }

    /// Writes as much as the socket takes at once.
    fn write(&mut self, mut exchange: Exchange<'s>) -> Option<Exchange<'s>> {
        match exchange.pooled.conn().write_at_once(&mut exchange.deadline) {
            Ok(_) => Some(exchange),
            Err(error) => self.fail(exchange, &error),
        }
    }

    /// Goes on with a server that may have something to say; `None` when all was said.
    fn go_on(&mut self, mut exchange: Exchange<'s>, ready: Ready) -> Option<Exchange<'s>> {
        if let Some(mut opener) = exchange.opener.take() {
            let ready = (ready.to_read, ready.to_write);
            return match opener.go_on(ready, || CallBell::with_sockets(&mut self.bell)) {
                Ok(true) => self.opened(exchange, *opener),
                Ok(false) => Some(Exchange { opener: Some(opener), ..exchange }),
                Err(error) => self.not_opened(exchange, error),
            };
        }
        match exchange.exchange(self.call, ready, self.now) {
            Ok(false) => Some(exchange),
            Ok(true) => {
                exchange.pooled.checkin(self.now);
                None
            }
            Err(error) => self.fail(exchange, &error),
        }
    }

    /// Asks a server whose connection is open.
    fn opened(&mut self, mut exchange: Exchange<'s>, opener: Opener) -> Option<Exchange<'s>> {
        match opener.finish() {
            Ok((stream, opened)) => exchange.pooled.opened(stream, opened),
            Err(error) => return self.fail(exchange, &error),
        }
        self.call.waited(exchange.batch.server(), now() - self.call.begun());
        self.ask(exchange)
    }

    /// No connection could be opened. If the server may be full, one that others have is waited for.
    fn not_opened(&mut self, mut exchange: Exchange<'s>, error: Error) -> Option<Exchange<'s>> {
        // Or those that others had while it was opened are gone, and there is time left.
        let is_hasty = matches!(error, Error::Timeout { .. }) && exchange.deadline.left().is_ok();
        if !is_hasty && !exchange.pooled.server_pool.may_be_full(&error) {
            return self.fail(exchange, &error);
        }
        let Exchange { batch, pooled, deadline, .. } = exchange;
        self.wait_for(batch, pooled.server_pool, Some(error), deadline);
        None
    }

    /// Waits for a connection to a full server.
    fn wait_for(&mut self, batch: ServerBatch, server_pool: &'s ServerPool, error: Option<Error>, deadline: Deadline) {
        let bell = self.bell.get_or_insert_with(CallBell::new);
        let server = FullServer::new(server_pool, error, bell.waker.clone());
        self.full.push(Full { batch, server, deadline });
    }

    /// Asks those of the full servers that give a connection; `false` if none does, and all are waited for.
    fn take_free(&mut self, exchanges: &mut Vec<Exchange<'s>>) -> bool {
        let mut ended = Vec::new();
        for mut full in std::mem::take(&mut self.full) {
            match full.server.look(self.now, &mut full.deadline) {
                Some(end) => ended.push((full, end)),
                None => self.full.push(full),
            }
        }
        // To open one may take a while, for which those behind this call are not held up.
        if ended.iter().any(|(_, end)| end.as_ref().is_ok_and(|pooled| pooled.conn.is_none())) {
            self.full.iter_mut().for_each(|full| full.server.leave());
        }
        let is_any = !ended.is_empty();
        let mut reserved = Vec::new();
        for (Full { mut batch, deadline, .. }, end) in ended {
            match end {
                Ok(pooled) => reserved.push((batch, pooled, deadline)),
                Err(error) => self.call.fail_batch(&mut batch, &error),
            }
        }
        self.begin_all(reserved, exchanges);
        is_any
    }

    /// Ends the exchange with a server by an error.
    fn fail(&mut self, mut exchange: Exchange<'s>, error: &Error) -> Option<Exchange<'s>> {
        exchange.pooled.fail(self.call, &mut exchange.batch, error, self.now);
        None
    }
}

#[cfg(unix)]
impl<O: Operation> FanOut<'_, '_, '_, O> {
    /// Waits until some of the connections are made, or have something to be read, or a full server may give one, or a name was looked
    /// up, or one has waited for too long, and says which are ready.
    fn wait(&mut self, exchanges: &mut [Exchange<'_>]) -> Result<Vec<Ready>, Error> {
        use rustix::event::{PollFd, PollFlags, Timespec, poll};
        let bell = self.bell.as_ref().and_then(|bell| bell.bell.as_deref());
        if exchanges.is_empty() && bell.is_none() {
            park(self.full.iter_mut().map(|full| &mut full.deadline));
            return Ok(Vec::new());
        }
        loop {
            let full = self.full.iter_mut().map(|full| full.deadline.left().unwrap_or_default());
            let left = exchanges.iter_mut().map(Exchange::left).chain(full).min();
            let left = left.and_then(|left| Timespec::try_from(left).ok());
            let bell_socket = bell.map(|bell| PollFd::from_borrowed_fd(bell.socket(), PollFlags::IN));
            let mut sockets: Vec<_> =
                exchanges.iter().filter_map(|exchange| exchange.socket(bell)).chain(bell_socket).collect();
            match poll(&mut sockets, left.as_ref()) {
                Ok(_) => {
                    // An error, or the end of the stream, is found by reading.
                    let ready = |events: PollFlags| Ready {
                        to_read: !events.difference(PollFlags::OUT).is_empty(),
                        to_write: events.contains(PollFlags::OUT),
                    };
                    if let Some(bell) = bell {
                        bell.reset();
                    }
                    return Ok(sockets.iter().map(|socket| ready(socket.revents())).collect());
                }
                Err(rustix::io::Errno::INTR) => {}
                Err(error) => return Err(Error::lost(&error.into(), Landed::Unknown)),
            }
        }
    }
}

#[cfg(unix)]
impl Exchange<'_> {
    /// What it waits for; there is always something.
    fn socket<'e>(&'e self, bell: Option<&'e Bell>) -> Option<rustix::event::PollFd<'e>> {
        use std::os::fd::AsFd as _;

        use rustix::event::{PollFd, PollFlags};
        let (socket, is_stuck) = match (&self.opener, &self.pooled.conn) {
            (Some(opener), _) => opener.socket().or_else(|| Some((bell?.socket(), false)))?,
            (None, Some(conn)) => (conn.stream.as_fd(), conn.connection.is_write_blocked()),
            (None, None) => return None,
        };
        let events = if is_stuck { PollFlags::IN | PollFlags::OUT } else { PollFlags::IN };
        Some(PollFd::from_borrowed_fd(socket, events))
    }
}

/// Where there is no poll(2) the connections are read one after the other, and then full servers are waited for.
#[cfg(not(unix))]
impl<O: Operation> FanOut<'_, '_, '_, O> {
    fn wait(&mut self, exchanges: &mut [Exchange<'_>]) -> Result<Vec<Ready>, Error> {
        if exchanges.is_empty() {
            park(self.full.iter_mut().map(|full| &mut full.deadline));
        }
        Ok(exchanges.iter().map(|_| Ready { to_read: true, to_write: false }).collect())
    }
}

impl CallBell {
    /// The waker, if it also wakes a thread that waits for sockets.
    #[cfg(unix)]
    fn with_sockets(bell: &mut Option<Self>) -> Option<Waker> {
        let Self { waker, bell } = bell.get_or_insert_with(Self::new);
        bell.is_some().then(|| waker.clone())
    }

    #[cfg(not(unix))]
    fn with_sockets(_: &mut Option<Self>) -> Option<Waker> {
        None
    }

    #[cfg(unix)]
    fn new() -> Self {
        let bell = Bell::new().ok().map(Arc::new);
        Self { waker: bell.clone().map_or_else(Unpark::this_thread, Waker::from), bell }
    }

    #[cfg(not(unix))]
    fn new() -> Self {
        Self { waker: Unpark::this_thread() }
    }
}
