//! Sockets that implement [`std::io`]'s traits, while the connection is opened and after.

use std::io::{self, ErrorKind, Read, Write};

use super::{Opened, Opening, Stage};
use crate::error::{Error, Landed};
use crate::reply::Reply;
use crate::time::Instant;

/// For an event loop whose sockets implement [`Read`] and [`Write`], and do not block.
impl Opening {
    /// Whether there is something to be written: then wait until the socket is ready for that, too.
    #[must_use]
    pub fn wants_write(&mut self) -> bool {
        let tls = self.tls.as_ref().is_some_and(|tls| tls.wants_write());
        tls || match &mut self.stage {
            Stage::Authenticate(authentication) => authentication.wants_write(),
            Stage::Probe(_) => self.connection.wants_write(),
            _ => false,
        }
    }

    /// Does the step [`Exchange`](super::Step::Exchange) as far as the socket is ready: writes, reads once, and reports what came of
    /// it. If nothing can be read, [`Opening::on_deadline`] decides. After a failure of TLS it sends the alert.
    pub fn exchange(&mut self, socket: &mut (impl Read + Write), now: Instant) {
        let written = self.write_with(|slices| unless_blocked(socket.write_vectored(slices)));
        match written.and_then(|_| socket.read(self.read_buf())) {
            Ok(n) => self.advance_read(n, now),
            Err(error) if is_blocked(&error) => _ = self.on_deadline(now),
            Err(error) => self.failed(Error::lost(&error, Landed::NotSent), now),
        }
        if matches!(self.stage, Stage::Failed(_)) {
            // The failure is known already.
            let _ = self.write_with(|slices| unless_blocked(socket.write_vectored(slices)));
        }
    }
}

/// For an event loop whose sockets implement [`Read`] and [`Write`], and do not block.
impl Opened {
    /// Whether there is something to be written that the server has room for: then wait until the socket is ready for that, too.
    #[must_use]
    pub fn wants_write(&mut self) -> bool {
        self.tls.as_ref().is_some_and(|tls| tls.wants_write()) || self.connection.wants_write()
    }

    /// Writes and reads once, as far as the socket is ready, and hands out the replies that are complete: the tag of the
    /// request, the reply, and whether it is the last one to that request.
    ///
    /// ```
    /// # use std::sync::Arc;
    /// # use std::time::SystemTime;
    /// use std::net::TcpStream;
    /// use memcached2_proto::opening::{Destination, Endpoint, Opening, Step};
    /// use memcached2_proto::{Error, Get, Now, Options, Reply};
    /// # let server = memcached2_testkit::EmbeddedServer::start();
    /// # let now = Now::new(std::time::Instant::now(), SystemTime::now);
    /// # let endpoint = Arc::new(Endpoint::new(0, &server.address().parse()?, &Options::default()));
    /// # let mut opening = Opening::new(&endpoint, now, None);
    /// # let Step::Connect(Destination::Tcp(address)) = opening.step()? else { unreachable!() };
    ///
    /// // One that blocks will do, where there is nothing else to wait for.
    /// let mut socket = TcpStream::connect(address)?;
    /// # opening.connected(Ok(()), now.monotonic);
    /// # while opening.step()? != Step::Ready {
    /// #     opening.exchange(&mut socket, now.monotonic);
    /// # }
    /// let mut opened = opening.finish();
    /// opened.connection.submit(&Get::new("greeting")?, now, 1)?;
    /// let mut replies = Vec::new();
    /// while opened.connection.is_busy() {
    ///     opened.exchange(&mut socket, |tag, reply, _is_last| replies.push((tag, reply)))?;
    /// }
    /// assert_eq!(replies, [(1, Reply::Miss)]);
    /// # Ok::<(), Box<dyn std::error::Error>>(())
    /// ```
    ///
    /// # Errors
    ///
    /// [`Error::Disconnected`] if the connection is lost, and [`Error::Protocol`] if the server breaks the protocol. Then
    /// [`Connection::fail_pending`](crate::Connection::fail_pending) says which requests may have taken effect.
    pub fn exchange(
        &mut self,
        socket: &mut (impl Read + Write),
        mut on_reply: impl FnMut(u32, Reply, bool),
    ) -> Result<(), Error> {
        let lost = |error: io::Error| Error::lost(&error, Landed::Unknown);
        let Self { connection, tls } = self;
        let mut write = |slices: &[io::IoSlice<'_>]| unless_blocked(socket.write_vectored(slices));
        match tls {
            None => connection.write_with(&mut write),
            Some(tls) => tls.write_with(connection, &mut write),
        }
        .map_err(lost)?;
        let space = match tls {
            None => connection.read_buf(),
            Some(tls) => tls.read_buf(),
        };
        let mut come = match socket.read(space) {
            Ok(n) => Some(n),
            Err(error) if is_blocked(&error) => return Ok(()),
            Err(error) => return Err(lost(error)),
        };
        if let (Some(tls), Some(n)) = (&mut *tls, come) {
            tls.advance_read(n);
            come = tls.decrypt(connection.read_buf()).map_err(lost)?;
        }
        while let Some(n) = come {
            let end = connection.advance_read(n);
            while let Some((tag, reply, last)) = connection.next_reply()? {
                on_reply(tag, reply, last);
            }
            end?;
            come = match tls {
                Some(tls) if n > 0 => tls.decrypt(connection.read_buf()).map_err(lost)?,
                _ => None,
            };
        }
        Ok(())
    }
}

/// A socket that was ready need not be any more.
fn is_blocked(error: &io::Error) -> bool {
    matches!(error.kind(), ErrorKind::WouldBlock | ErrorKind::TimedOut | ErrorKind::Interrupted)
}

/// How much was written: nothing, if the socket takes nothing now.
fn unless_blocked(written: io::Result<usize>) -> io::Result<usize> {
    match written {
        Err(error) if is_blocked(&error) => Ok(0),
        written => written,
    }
}
