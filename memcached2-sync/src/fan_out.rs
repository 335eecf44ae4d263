//! Several servers in one call: they are connected to, asked and read at the same time.

use std::iter::successors;
use std::time::Duration;

use memcached2_proto::call::{Call, ServerBatch};
use memcached2_proto::routing::ServerId;
use memcached2_proto::{Error, Landed, Now, Operation};

use crate::opening::{Opener, SOON};
use crate::pooled_connection::PooledConnection;
use crate::server_pool::ServerPool;
use crate::stream::{Deadline, now};

/// A call to several servers.
pub(crate) struct FanOut<'f, 'r, 's, O: Operation> {
    call: &'f mut Call<'r, O>,
    now: Now,
    /// Servers that take no further connection, and what is to be asked of them.
    full: Vec<Full<'s>>,
}

/// A server that takes no further connection: one of the others is waited for.
struct Full<'s> {
    batch: ServerBatch,
    server_pool: &'s ServerPool,
    deadline: Deadline,
    error: Error,
}

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
        Self { call, now, full: Vec::new() }
    }

    /// Sends all batches from the first one on, and reads the replies of all servers as they come.
    #[cold]
    pub(crate) fn run(
        &mut self,
        first: ServerBatch,
        server_pool: impl Fn(ServerId) -> Result<&'s ServerPool, Error>,
        deadline: &mut Deadline,
    ) {
        // All calls reserve their connections in the same order, also those that began with another list of servers: else two of them
        // could wait for each other.
        let mut batches: Vec<_> = successors(Some(first), |batch| self.call.batch(batch.end())).collect();
        batches.sort_by_key(|batch| server_pool(batch.server()).ok().map(|server_pool| server_pool.number));
        let mut exchanges = Vec::new();
        for mut batch in batches {
            let pooled = server_pool(batch.server())
                .and_then(|server_pool| server_pool.reserve(batch.is_retry(), self.now, deadline));
            match pooled {
                Ok(pooled) => {
                    let own = deadline.clone();
                    // That a connection was waited for is reported of this server alone.
                    deadline.take_waited();
                    exchanges.extend(self.begin(batch, pooled, own));
                }
                Err(error) => self.call.fail_batch(&mut batch, &error),
            }
        }
        deadline.spent();
        loop {
            while !exchanges.is_empty() {
                exchanges = self.go_on_with(exchanges);
            }
            let Some(full) = self.full.pop() else { return };
            exchanges.extend(self.wait_for(full));
        }
    }

    /// Goes on with all servers that have not said all, once one of them is ready. Returns those that still have not.
    fn go_on_with(&mut self, mut exchanges: Vec<Exchange<'s>>) -> Vec<Exchange<'s>> {
        let ready = ready(&mut exchanges);
        let go_on = |(at, exchange)| match &ready {
            Ok(ready) => self.go_on(exchange, ready.get(at).copied().unwrap_or_default()),
            Err(error) => self.fail(exchange, error),
        };
        exchanges.into_iter().enumerate().filter_map(go_on).collect()
    }

    /// Asks a server, or begins to connect to it.
    fn begin(&mut self, batch: ServerBatch, pooled: PooledConnection<'s>, deadline: Deadline) -> Option<Exchange<'s>> {
        let mut exchange = Exchange { batch, pooled, opener: None, deadline, is_late: false };
        if exchange.pooled.conn.is_some() {
            return self.ask(exchange);
        }
        let server_pool = exchange.pooled.server_pool;
        let mut deadline = exchange.deadline.at_most(server_pool.time_to_open());
        match Opener::begin(&server_pool.endpoint, &mut deadline) {
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
        // None of its requests could be encoded: nothing will come.
        if exchange.batch.is_done() {
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
            return match opener.go_on(ready.to_read, ready.to_write) {
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

    /// No connection could be opened. If the server may be full, one that others have is waited for once all other servers have
    /// answered.
    fn not_opened(&mut self, mut exchange: Exchange<'s>, error: Error) -> Option<Exchange<'s>> {
        // Or those that others had while it was opened are gone, and there is time left.
        let is_hasty = matches!(error, Error::Timeout { .. }) && exchange.deadline.left().is_ok();
        if !is_hasty && !exchange.pooled.server_pool.may_be_full(&error) {
            return self.fail(exchange, &error);
        }
        let Exchange { batch, pooled, deadline, .. } = exchange;
        self.full.push(Full { batch, server_pool: pooled.server_pool, deadline, error });
        None
    }

    /// Waits for a connection to a full server, and asks it.
    fn wait_for(&mut self, Full { mut batch, server_pool, mut deadline, error }: Full<'s>) -> Option<Exchange<'s>> {
        let pooled = match server_pool.wait_if_full(error, self.now, &mut deadline) {
            Err(Error::Timeout { .. }) if deadline.left().is_ok() => {
                server_pool.reserve(false, self.now, &mut deadline)
            }
            waited => waited,
        };
        match pooled {
            Ok(pooled) => self.begin(batch, pooled, deadline),
            Err(error) => {
                self.call.fail_batch(&mut batch, &error);
                None
            }
        }
    }

    /// Ends the exchange with a server by an error.
    fn fail(&mut self, mut exchange: Exchange<'s>, error: &Error) -> Option<Exchange<'s>> {
        exchange.pooled.fail(self.call, &mut exchange.batch, error, self.now);
        None
    }
}

/// Waits until some of the connections are made, or have something to be read, or one has waited for too long, and says
/// which are ready.
#[cfg(unix)]
fn ready(exchanges: &mut [Exchange<'_>]) -> Result<Vec<Ready>, Error> {
    use rustix::event::{PollFlags, Timespec, poll};
    loop {
        let left = exchanges.iter_mut().map(Exchange::left).min().and_then(|left| Timespec::try_from(left).ok());
        let mut sockets: Vec<_> = exchanges.iter().filter_map(Exchange::socket).collect();
        match poll(&mut sockets, left.as_ref()) {
            Ok(_) => {
                // An error, or the end of the stream, is found by reading.
                let ready = |events: PollFlags| Ready {
                    to_read: !events.difference(PollFlags::OUT).is_empty(),
                    to_write: events.contains(PollFlags::OUT),
                };
                return Ok(sockets.iter().map(|socket| ready(socket.revents())).collect());
            }
            Err(rustix::io::Errno::INTR) => {}
            Err(error) => return Err(Error::lost(&error.into(), Landed::Unknown)),
        }
    }
}

#[cfg(unix)]
impl Exchange<'_> {
    /// What it waits for; there is always something.
    fn socket(&self) -> Option<rustix::event::PollFd<'_>> {
        use std::os::fd::AsFd as _;

        use rustix::event::{PollFd, PollFlags};
        let (socket, is_stuck) = match (&self.opener, &self.pooled.conn) {
            (Some(opener), _) => opener.socket()?,
            (None, Some(conn)) => (conn.stream.as_fd(), conn.connection.is_write_blocked()),
            (None, None) => return None,
        };
        let events = if is_stuck { PollFlags::IN | PollFlags::OUT } else { PollFlags::IN };
        Some(PollFd::from_borrowed_fd(socket, events))
    }
}

/// Where there is no poll(2) the connections are read one after the other.
#[cfg(not(unix))]
fn ready(exchanges: &mut [Exchange<'_>]) -> Result<Vec<Ready>, Error> {
    Ok(exchanges.iter().map(|_| Ready { to_read: true, to_write: false }).collect())
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use memcached2_proto::{Error, Expiry, Key, Options, Store};
    use memcached2_testkit::{EmbeddedServer, Faults, Gate, ScriptedServer, Session};

    use crate::Client;

    /// The first of some numbers with this many digits that is a key of that server.
    fn key_on(client: &Client, server: usize, digits: usize) -> String {
        let (router, key) = (client.router(), |number: u32| format!("{number:0digits$}"));
        (0..).map(key).find(|key| router.route(Key::new(key).unwrap()).unwrap().index() == server).unwrap()
    }

    /// It is encoded only when the replies to those before it have made room.
    #[test]
    fn a_server_whose_last_request_cannot_be_encoded_is_not_waited_for() {
        let servers = [EmbeddedServer::start(), EmbeddedServer::start()];
        let client = Client::new(servers.iter().map(EmbeddedServer::address)).unwrap();
        let keys = [key_on(&client, 0, 1), key_on(&client, 0, 2), key_on(&client, 1, 1)];
        let values = ["x".repeat(300 * 1024), "x".into(), "x".into()];
        let stores = keys.iter().zip(&values).map(|(key, value)| Store::set(key, value).unwrap());
        let mut stores: Vec<_> = stores.collect();
        let century = Duration::from_secs(100 * 365 * 86_400);
        stores[1] = stores[1].clone().expiry(Expiry::After(century));
        let results: Vec<_> = client.store_many(stores).unwrap().into_iter().collect();
        assert!(matches!(&results[..], [Ok(()), Err(Error::Expiry { .. }), Ok(())]), "{results:?}");
        // None was closed because of its deadline.
        assert!(
            client.server_status().iter().all(|server| server.idle_connections == 1),
            "{:?}",
            client.server_status()
        );
    }

    #[test]
    fn a_connection_to_a_full_server_is_waited_for_while_others_are_asked() {
        let servers = [EmbeddedServer::start(), EmbeddedServer::start()];
        let client = Client::with_options(
            servers.iter().map(EmbeddedServer::address),
            Options::default().timeout(Duration::from_secs(20)),
        )
        .unwrap();
        let keys = [key_on(&client, 0, 1), key_on(&client, 1, 1)];
        client.set(&keys[0], "x", Expiry::Never).unwrap();
        servers[0].set_faults(Faults::none().max_connections(1).delay(Duration::from_millis(300)));
        std::thread::scope(|scope| {
            let other = scope.spawn(|| client.get(&keys[0]));
            while client.server_status()[0].used_connections == 0 {
                std::thread::yield_now();
            }
            for value in client.get_many(&keys).unwrap() {
                assert!(value.is_ok(), "{value:?}");
            }
            assert!(other.join().unwrap().is_ok());
        });
    }

    /// As memcached before 1.6.7 does that is full: it lets whoever connects wait.
    #[test]
    fn a_connection_to_a_server_that_says_nothing_on_a_new_one_is_waited_for() {
        let other = EmbeddedServer::start();
        let router = Client::new(["one", "two"]).unwrap();
        let keys = [key_on(&router, 0, 1), key_on(&router, 1, 1)];
        let (asked, connected, answer) = (Gate::new("asked"), Gate::new("connected"), Gate::new("answer"));
        let probe = "md AA== b C18446744073709551615 O0000\r\nmn    \r\n";
        let first = Session::new().expect(probe).send("ERROR\r\nERROR\r\n");
        let first = first.expect(format!("get {}\r\n", keys[0])).open(&asked).wait(&answer).send("END\r\n");
        let first = first.expect(format!("get {}\r\n", keys[0])).send("END\r\n");
        let silent = Session::new().expect(probe).open(&connected).ignore();
        let full = ScriptedServer::start([first, silent]);
        let options = Options::default().timeout(Duration::from_secs(20)).connect_timeout(Duration::from_millis(50));
        let client = Client::with_options([full.address(), other.address()], options).unwrap();
        std::thread::scope(|scope| {
            let caller = scope.spawn(|| client.get(&keys[0]));
            asked.wait();
            let many = scope.spawn(|| client.get_many(&keys));
            connected.wait();
            // The one that is being opened is not in use.
            assert_eq!(client.server_status()[0].used_connections, 1);
            answer.open();
            assert_eq!(many.join().unwrap().unwrap().into_result(), Ok(vec![None, None]));
            assert_eq!(caller.join().unwrap(), Ok(None));
        });
        drop(client);
        full.finish();
    }

    /// The thread waits meanwhile for a connection to another one.
    #[test]
    fn what_a_server_answers_before_the_deadline_counts_even_if_it_is_read_after_it() {
        let servers = [EmbeddedServer::start(), EmbeddedServer::start()];
        let options = Options::default().timeout(Duration::from_secs(20)).pool_connections(1);
        let client = Client::with_options(servers.iter().map(EmbeddedServer::address), options).unwrap();
        let keys = [key_on(&client, 0, 1), key_on(&client, 1, 1)];
        keys.iter().for_each(|key| client.set(key, "x", Expiry::Never).unwrap());
        servers[1].set_faults(Faults::none().delay(Duration::MAX));
        std::thread::scope(|scope| {
            let other = scope.spawn(|| client.get(&keys[1]));
            while client.server_status()[1].used_connections == 0 {
                std::thread::yield_now();
            }
            let found = client.with_timeout(Duration::from_millis(500)).get_many(&keys).unwrap();
            let found: Vec<_> = found.into_iter().collect();
            assert!(matches!(&found[..], [Ok(Some(_)), Err(Error::Timeout { .. })]), "{found:?}");
            servers[1].set_faults(Faults::none());
            assert!(other.join().unwrap().is_ok());
        });
    }
}
