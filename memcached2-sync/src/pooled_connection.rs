//! A connection in use, and the conversation on it.

use std::sync::atomic::Ordering;
use std::time::Duration;

use memcached2_proto::call::{Call, ServerBatch};
use memcached2_proto::opening::Opened;
use memcached2_proto::tls::TlsSession;
use memcached2_proto::{Connection, Error, Instant, Landed, Now, Operation};

use crate::opening::open;
use crate::server_pool::ServerPool;
use crate::stream::{self, Deadline, Stream, now};

/// A socket and the state of the conversation on it.
#[derive(Debug)]
pub(crate) struct Conn {
    pub(crate) stream: Stream,
    pub(crate) connection: Connection,
    /// What stands between the two, if the server is connected to by TLS.
    tls: Option<TlsSession>,
    begun: Instant,
    /// How old it may become.
    age: Option<Duration>,
    /// How many bytes had come at the end of the last call of which nothing could be sent.
    bytes_before_nothing: u64,
}

impl Conn {
    /// Writes what may go before replies are read, as much as the socket takes at once; whether that is all.
    #[cfg(unix)]
    pub(crate) fn write_at_once(&mut self, deadline: &mut Deadline) -> Result<bool, Error> {
        deadline.left()?;
        let Self { connection, stream, tls, .. } = self;
        match tls {
            None => connection.write_with(|slices| stream.write_at_once(slices)),
            Some(tls) => tls.write_with(connection, |slices| stream.write_at_once(slices)),
        }
    }

    /// Writes all that may be written before replies are read: without poll(2) there is no wait for several sockets.
    #[cfg(not(unix))]
    pub(crate) fn write_at_once(&mut self, deadline: &mut Deadline) -> Result<bool, Error> {
        self.write(deadline).map(|()| true)
    }

    /// Writes all that may go before replies are read.
    #[inline]
    fn write(&mut self, deadline: &mut Deadline) -> Result<(), Error> {
        if self.tls.is_some() {
            return self.write_sealed(deadline);
        }
        let Self { connection, stream, .. } = self;
        connection.write_with(|slices| stream.write(slices, deadline)).map(drop)
    }

    /// Sends `quit`; whether it arrives makes no difference.
    pub(crate) fn quit(mut self: Box<Self>) {
        let mut deadline = Deadline::new(now(), Duration::from_millis(100));
        self.connection.quit();
        let _ = self.write(&mut deadline);
        if let Some(tls) = &mut self.tls {
            tls.close();
            let _ = self.write(&mut deadline);
        }
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
        if batch.is_done() {
            self.asks_nothing();
            return Ok(());
        }
        self.write(deadline)?;
        while !self.read(call, batch, now, deadline)? {
            self.write(deadline)?;
        }
        Ok(())
    }

    /// None of the requests could be encoded, so nothing will come.
    #[cold]
    pub(crate) fn asks_nothing(&mut self) {
        self.bytes_before_nothing = self.connection.bytes_in();
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
        if self.tls.is_some() {
            return self.read_sealed(call, batch, now, deadline);
        }
        let n = self.stream.read(self.connection.read_buf(), deadline)?;
        let end = self.connection.advance_read(n);
        let is_done = call.take_replies(batch, &mut self.connection)?;
        if is_done {
            return Ok(true);
        }
        end?;
        call.submit(batch, &mut self.connection, now);
        // None of the rest could be encoded: nothing will come.
        Ok(batch.is_done())
    }
}

impl Conn {
    /// Writes all that may go, by TLS.
    #[cold]
    fn write_sealed(&mut self, deadline: &mut Deadline) -> Result<(), Error> {
        let Self { connection, stream, tls, .. } = self;
        let Some(tls) = tls else { return Ok(()) };
        tls.write_with(connection, |slices| stream.write_waiting(slices, deadline)).map(drop)
    }

    /// Reads once, by TLS.
    #[cold]
    fn read_sealed<O: Operation>(
        &mut self,
        call: &mut Call<'_, O>,
        batch: &mut ServerBatch,
        now: Now,
        deadline: &mut Deadline,
    ) -> Result<bool, Error> {
        let Some(tls) = &mut self.tls else { return Ok(batch.is_done()) };
        let n = self.stream.read_waiting(tls.read_buf(), deadline)?;
        tls.advance_read(n);
        let mut is_done = batch.is_done();
        let lost = |error| Error::lost(&error, Landed::Unknown);
        while let Some(n) = tls.decrypt(self.connection.read_buf()).map_err(lost)? {
            let end = self.connection.advance_read(n);
            is_done = call.take_replies(batch, &mut self.connection)?;
            match end {
                Err(_) if is_done => break,
                end => end?,
            }
        }
        if !is_done {
            call.submit(batch, &mut self.connection, now);
        }
        Ok(batch.is_done())
    }
}

/// A connection that is checked out, or the right to open one. Unless it is checked in, it is closed, even by a panic.
#[derive(Debug)]
pub(crate) struct PooledConnection<'s> {
    pub(crate) server_pool: &'s ServerPool,
    pub(crate) conn: Option<Box<Conn>>,
    /// Whether the connection was idle for so long that it may have died unnoticed.
    pub(crate) was_idle: bool,
    /// Whether it counts as one that is being opened.
    is_being_opened: bool,
}

impl<'s> PooledConnection<'s> {
    /// A connection that was open already.
    #[inline]
    pub(crate) fn reused(server_pool: &'s ServerPool, conn: Box<Conn>, was_idle: bool) -> Self {
        Self { server_pool, conn: Some(conn), was_idle, is_being_opened: false }
    }

    /// The right to open a connection.
    #[cold]
    pub(crate) fn to_be_opened(server_pool: &'s ServerPool) -> Self {
        server_pool.opening.fetch_add(1, Ordering::AcqRel);
        Self { server_pool, conn: None, was_idle: false, is_being_opened: true }
    }

    /// It is open, or never will be.
    #[cold]
    fn end_opening(&mut self) {
        if std::mem::take(&mut self.is_being_opened) {
            self.server_pool.opening.fetch_sub(1, Ordering::AcqRel);
        }
    }
}

impl PooledConnection<'_> {
    #[inline]
    #[expect(clippy::expect_used, reason = "only `checkin` takes it, which consumes `self`")]
    pub(crate) fn conn(&mut self) -> &mut Conn {
        self.conn.as_mut().expect("there is a connection until it is checked in")
    }

    /// Opens the connection.
    #[cold]
    pub(crate) fn connect(&mut self, deadline: &mut Deadline) -> Result<(), Error> {
        let (stream, opened) = open(&self.server_pool.endpoint, deadline)?;
        self.opened(stream, opened);
        Ok(())
    }

    /// Takes the connection that was opened.
    pub(crate) fn opened(&mut self, stream: Stream, opened: Opened) {
        let endpoint = &self.server_pool.endpoint;
        self.conn = Some(Box::new(Conn {
            stream,
            connection: opened.connection,
            tls: opened.tls,
            begun: now(),
            age: endpoint.known().age(endpoint.connection_options()),
            bytes_before_nothing: 0,
        }));
        self.end_opening();
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
        let Some(mut conn) = self.conn.take() else { return call.fail_batch(batch, error) };
        let endpoint = &self.server_pool.endpoint;
        let known = endpoint.known();
        let spares_server = self.was_idle
            || known.asks(endpoint.connection_options(), stream::now())
            || endpoint.has_answered_since(now.monotonic);
        let error = match conn.tls {
            None => conn.connection.explain_lost(error.clone()),
            Some(_) => error.clone(),
        };
        if call.fail_on(batch, &mut conn.connection, &error, spares_server) {
            known.doubt();
            self.server_pool.lock().discard_idle_since(now.monotonic);
        }
    }

    /// Notes that the server has answered this call, if it was asked anything: there are other connections to it.
    #[cold]
    fn note_answer(&self, conn: &Conn, now: Now) {
        if conn.connection.bytes_in() != conn.bytes_before_nothing {
            self.server_pool.endpoint.answered(now.monotonic);
        }
    }

    /// Whether the connection is older than it may become.
    #[inline]
    fn is_old(&mut self, now: Now) -> bool {
        let Conn { begun, age, .. } = self.conn();
        age.is_some_and(|age| now.monotonic.saturating_duration_since(*begun) > age)
    }

    /// Gives the connection back, if it is in step.
    #[inline]
    pub(crate) fn checkin(mut self, now: Now) {
        if !self.conn().connection.is_idle() || self.is_old(now) {
            return;
        }
        if let Some(conn) = self.conn.take() {
            let mut pool = self.server_pool.lock();
            if pool.open() > 1 {
                self.note_answer(&conn, now);
            }
            let next = pool.checkin(conn, now.monotonic);
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
        drop(self.conn.take());
        self.end_opening();
        self.server_pool.on_closed();
    }
}
