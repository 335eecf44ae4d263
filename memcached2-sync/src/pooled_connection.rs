//! A connection in use, and the conversation on it.

use std::time::{Duration, SystemTime};

use memcached2_proto::{Call, Connection, Error, Instant, KnownProtocol, Now, Operation, ServerBatch};

use crate::server_pool::ServerPool;
use crate::stream::{self, Connecting, Deadline, Stream};

/// A socket and the state of the conversation on it.
#[derive(Debug)]
pub(crate) struct Link {
    pub(crate) stream: Stream,
    pub(crate) connection: Connection,
    /// Within which time the server has to say which protocol it speaks, if it is asked and has to.
    within: Option<Duration>,
    begun: Instant,
    /// How old it may become.
    age: Option<Duration>,
}

impl Link {
    /// Writes what may go before replies are read, as much as the socket takes at once; whether that is all.
    #[cfg(unix)]
    pub(crate) fn write_at_once(&mut self, deadline: &mut Deadline) -> Result<bool, Error> {
        deadline.left()?;
        let Self { connection, stream, .. } = self;
        connection.write_with(|slices| stream.write_at_once(slices))
    }

    /// Writes all that may go before replies are read: where there is no poll(2), nobody waits for several sockets.
    #[cfg(not(unix))]
    pub(crate) fn write_at_once(&mut self, deadline: &mut Deadline) -> Result<bool, Error> {
        self.write(deadline).map(|()| true)
    }

    /// Writes all that may go before replies are read.
    #[inline]
    fn write(&mut self, deadline: &mut Deadline) -> Result<(), Error> {
        let Self { connection, stream, .. } = self;
        connection.write_with(|slices| stream.write(slices, deadline)).map(drop)
    }

    /// Waits until the server has said which protocol it speaks.
    fn open(&mut self, deadline: &mut Deadline) -> Result<(), Error> {
        let mut own = match self.within {
            Some(within) => deadline.at_most(within)?,
            None => deadline.clone(),
        };
        self.write(&mut own)?;
        while !self.read_probe(&mut own)? {}
        Ok(())
    }

    /// Reads once; `true` when the server has said which protocol it speaks.
    pub(crate) fn read_probe(&mut self, deadline: &mut Deadline) -> Result<bool, Error> {
        let n = self.stream.read(self.connection.read_buf(), deadline)?;
        let end = self.connection.advance_read(n);
        // There is no other reply than the one to the probe.
        self.connection.next_reply()?;
        if self.connection.is_probing() {
            end?;
        }
        Ok(!self.connection.is_probing())
    }

    /// Takes leave of the server; whether it hears that makes no difference.
    pub(crate) fn quit(mut self: Box<Self>) {
        self.connection.quit();
        let _ = self.write(&mut Deadline::new(stream::now(), Duration::from_millis(100)));
    }

    /// Until when the server has to say which protocol it speaks, if it is asked and has to.
    pub(crate) fn probed_by(&self) -> Option<Instant> {
        self.within.map(|within| stream::now() + within)
    }

    /// Sends a batch, and reads until all its replies are there.
    #[inline]
    pub(crate) fn exchange<O: Operation>(
        &mut self,
        call: &mut Call<'_, O>,
        batch: &mut ServerBatch,
        now: Now,
        deadline: &mut Deadline,
    ) -> Result<(), Error> {
        call.submit(batch, &mut self.connection, now);
        self.write(deadline)?;
        while !batch.is_done() && !self.read(call, batch, now, deadline)? {
            self.write(deadline)?;
        }
        Ok(())
    }

    /// Reads once, and submits more of the batch if there is more; `true` when all replies are there.
    #[inline]
    pub(crate) fn read<O: Operation>(
        &mut self,
        call: &mut Call<'_, O>,
        batch: &mut ServerBatch,
        now: Now,
        deadline: &mut Deadline,
    ) -> Result<bool, Error> {
        let n = self.stream.read(self.connection.read_buf(), deadline)?;
        let end = self.connection.advance_read(n);
        let is_done = call.take_replies(batch, &mut self.connection)?;
        if !is_done {
            end?;
            call.submit(batch, &mut self.connection, now);
        }
        Ok(is_done)
    }
}

/// A connection that is checked out, or the right to open one. Unless it is checked in, it is closed, even by a panic.
#[derive(Debug)]
pub(crate) struct PooledConnection<'s> {
    pub(crate) server_pool: &'s ServerPool,
    pub(crate) link: Option<Box<Link>>,
    /// Whether the connection had been idle for so long that it may have died unnoticed.
    pub(crate) was_idle: bool,
}

impl PooledConnection<'_> {
    #[inline]
    #[expect(clippy::expect_used, reason = "only `checkin` takes it, which ends the pooled")]
    pub(crate) fn link(&mut self) -> &mut Link {
        self.link.as_mut().expect("a pooled has a link until it is checked in")
    }

    /// Opens the connection.
    #[cold]
    pub(crate) fn connect(&mut self, deadline: &mut Deadline) -> Result<(), Error> {
        let begun = stream::now();
        loop {
            let stream = Stream::connect(
                &self.server_pool.address,
                &self.server_pool.lookup,
                &self.server_pool.options,
                deadline,
            )?;
            self.begin(stream);
            if self.link().connection.is_probing() {
                if let Err(error) = self.link().open(deadline) {
                    self.reopens(error, deadline)?;
                    continue;
                }
                self.opened();
            }
            deadline.waited_since(begun);
            return Ok(());
        }
    }

    /// Begins to open the connection; `None` when it was made at once.
    pub(crate) fn begin_connecting(&mut self, deadline: &mut Deadline) -> Result<Option<Connecting>, Error> {
        let connecting = Connecting::begin(
            &self.server_pool.address,
            &self.server_pool.lookup,
            &self.server_pool.options,
            deadline,
        )?;
        if connecting.is_none() {
            let stream = Stream::connect(
                &self.server_pool.address,
                &self.server_pool.lookup,
                &self.server_pool.options,
                deadline,
            )?;
            self.begin(stream);
        }
        Ok(connecting)
    }

    /// Takes the connection that was made.
    pub(crate) fn connected(&mut self, connecting: Connecting) -> Result<(), Error> {
        let stream = connecting.finish(&self.server_pool.options)?;
        self.begin(stream);
        Ok(())
    }

    /// Begins the conversation.
    fn begin(&mut self, stream: Stream) {
        let now = Now::new(stream::now(), SystemTime::now);
        let (connection, within) = self.server_pool.known.begin(&self.server_pool.options, now);
        let (begun, age) = (now.monotonic, self.server_pool.known.age(&self.server_pool.options));
        self.link = Some(Box::new(Link { stream, connection, within, begun, age }));
    }

    /// The server has said which protocol it speaks.
    pub(crate) fn opened(&mut self) {
        self.server_pool.known.proved();
    }

    /// The server was asked for its protocol and did not answer: whether to connect once more, without asking it, or the
    /// error. That a caller has no more time says nothing.
    pub(crate) fn reopens(&mut self, error: Error, deadline: &mut Deadline) -> Result<(), Error> {
        self.link = None;
        match error {
            Error::Timeout { .. } | Error::Disconnected { .. } | Error::Protocol { .. }
                if deadline.left().is_ok() && self.server_pool.known.retries_classic(stream::now()) =>
            {
                Ok(())
            }
            Error::Timeout { .. } => Err(KnownProtocol::silence()),
            error => Err(error),
        }
    }

    /// Ends what was asked on the connection with an error, and closes it; and with it the others that have been idle since
    /// before the call, if it was dead before it was used.
    #[cold]
    pub(crate) fn fail<O: Operation>(
        mut self,
        call: &mut Call<'_, O>,
        batch: &mut ServerBatch,
        error: &Error,
        now: Now,
    ) {
        let Some(mut link) = self.link.take() else { return call.fail_batch(batch, error) };
        let ServerPool { known, options, .. } = self.server_pool;
        let spares_server = self.was_idle || known.asks(options, stream::now());
        if call.fail_on(batch, &mut link.connection, error, spares_server) {
            known.doubt();
            self.server_pool.lock().discard_idle_since(now.monotonic);
        }
    }

    /// Whether the connection is older than it may become.
    #[inline]
    fn is_old(&mut self, now: Now) -> bool {
        let Link { begun, age, .. } = self.link();
        age.is_some_and(|age| now.monotonic.saturating_duration_since(*begun) > age)
    }

    /// Gives the connection back, if it is in step.
    #[inline]
    pub(crate) fn checkin(mut self, now: Now) {
        if !self.link().connection.is_idle() || self.is_old(now) {
            return;
        }
        if let Some(link) = self.link.take() {
            let mut pool = self.server_pool.lock();
            let next = pool.checkin(link, now.monotonic);
            let is_closed = pool.is_closed();
            drop(pool);
            if let Some(next) = next {
                next.wake();
            }
            if is_closed {
                self.server_pool.emptied.notify_all();
            }
            std::mem::forget(self);
        }
    }
}

impl Drop for PooledConnection<'_> {
    #[cold]
    fn drop(&mut self) {
        drop(self.link.take());
        self.server_pool.on_closed();
    }
}
