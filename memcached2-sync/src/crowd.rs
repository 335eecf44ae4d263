//! Several servers in one call: they are connected to, asked and heard at the same time.

use std::time::{Duration, Instant};

use memcached2_proto::{Call, Error, Landed, Now, Operation, ServerBatch, ServerId};

use crate::lease::Lease;
use crate::station::Station;
use crate::stream::{Connecting, Patience};

/// A call to several servers.
pub(crate) struct FanOut<'f, 'r, O: Operation> {
    call: &'f mut Call<'r, O>,
    now: Now,
}

/// What is asked of one server, how far that is, and how long it may take.
struct Talk<'s> {
    batch: ServerBatch,
    lease: Lease<'s>,
    /// While the connection is being made; then the server has not been asked yet.
    connecting: Option<Connecting>,
    /// Until when the server has to say which protocol it speaks, if it has to.
    probed_by: Option<Instant>,
    /// Whether the socket takes no more for now, though there is more to be written.
    is_stuck: bool,
    patience: Patience,
}

impl Talk<'_> {
    /// Whether the server is being asked which protocol it speaks.
    fn is_probing(&self) -> bool {
        self.lease.link.as_ref().is_some_and(|link| link.connection.is_probing())
    }

    /// How long there is nothing to be done unless the socket gets ready.
    fn left(&mut self) -> Duration {
        let left = self.patience.left().unwrap_or_default();
        match (&self.connecting, self.probed_by) {
            (Some(connecting), _) => left.min(connecting.left()),
            (None, Some(by)) if self.is_probing() => left.min(by.saturating_duration_since(Instant::now())),
            (None, _) => left,
        }
    }
}

impl Talk<'_> {
    /// Reads and writes as far as the socket is ready; `true` when all replies have come.
    fn exchange<O: Operation>(&mut self, call: &mut Call<'_, O>, ready: Ready, now: Now) -> Result<bool, Error> {
        let link = self.lease.link();
        let is_done = match ready.to_read {
            true => link.read(call, &mut self.batch, now, &mut self.patience)?,
            // The time of one does not go by unnoticed while others are ready.
            false => self.patience.left().map(|_| self.batch.is_done())?,
        };
        // A reply may make room in the window.
        if !is_done && (ready.to_write || (ready.to_read && !self.is_stuck)) {
            self.is_stuck = !link.write_at_once(&mut self.patience)?;
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

impl<'f, 'r, O: Operation> FanOut<'f, 'r, O> {
    pub(crate) fn new(call: &'f mut Call<'r, O>, now: Now) -> Self {
        Self { call, now }
    }

    /// Asks all servers from the first batch on, and hears all of them as they answer.
    #[cold]
    pub(crate) fn run<'s>(
        &mut self,
        first: ServerBatch,
        station: impl Fn(ServerId) -> Result<&'s Station, Error>,
        patience: &mut Patience,
    ) {
        let mut talks = Vec::new();
        let mut next = Some(first);
        while let Some(mut batch) = next {
            next = self.call.batch(batch.end());
            let lease =
                station(batch.server()).and_then(|station| station.reserve(batch.is_retry(), self.now, patience));
            match lease {
                Ok(lease) => {
                    let own = patience.clone();
                    // That a connection was waited for is reported of this server alone.
                    patience.take_waited();
                    talks.extend(self.begin(batch, lease, own));
                }
                Err(error) => self.call.fail_batch(&mut batch, &error),
            }
        }
        patience.spent();
        while !talks.is_empty() {
            let ready = ready(&mut talks);
            let waiting = std::mem::take(&mut talks).into_iter().enumerate();
            talks = waiting
                .filter_map(|(at, talk)| match &ready {
                    Ok(ready) => self.go_on(talk, ready.get(at).copied().unwrap_or_default()),
                    Err(error) => self.fail(talk, error),
                })
                .collect();
        }
    }

    /// Asks a server, or begins to connect to it.
    fn begin<'s>(&mut self, batch: ServerBatch, lease: Lease<'s>, patience: Patience) -> Option<Talk<'s>> {
        let mut talk = Talk { batch, lease, connecting: None, probed_by: None, is_stuck: false, patience };
        if talk.lease.link.is_some() {
            return self.ask(talk);
        }
        match talk.lease.begin_connecting(&mut talk.patience) {
            Ok(None) => self.connected(talk),
            Ok(connecting) => Some(Talk { connecting, ..talk }),
            Err(error) => self.fail(talk, &error),
        }
    }

    fn ask<'s>(&mut self, mut talk: Talk<'s>) -> Option<Talk<'s>> {
        if let Some(waited) = talk.patience.take_waited() {
            self.call.waited(talk.batch.server(), waited);
        }
        self.call.submit(&mut talk.batch, &mut talk.lease.link().connection, self.now);
        self.write(talk)
    }

    /// Writes as much as the socket takes at once.
    fn write<'s>(&mut self, mut talk: Talk<'s>) -> Option<Talk<'s>> {
        match talk.lease.link().write_at_once(&mut talk.patience) {
            Ok(is_written) => Some(Talk { is_stuck: !is_written, ..talk }),
            Err(error) => self.fail(talk, &error),
        }
    }

    /// Goes on with a server that may have something to say; `None` when all was said.
    fn go_on<'s>(&mut self, mut talk: Talk<'s>, ready: Ready) -> Option<Talk<'s>> {
        if let Some(mut connecting) = talk.connecting.take() {
            return match connecting.go_on(ready.to_read || ready.to_write) {
                Ok(false) => Some(Talk { connecting: Some(connecting), ..talk }),
                Ok(true) => match talk.lease.connected(connecting) {
                    Ok(()) => self.connected(talk),
                    Err(error) => self.fail(talk, &error),
                },
                Err(error) => self.fail(talk, &error),
            };
        }
        if talk.is_probing() {
            return self.hear_probe(talk, ready);
        }
        match talk.exchange(self.call, ready, self.now) {
            Ok(false) => Some(talk),
            Ok(true) => {
                talk.lease.checkin(self.now);
                None
            }
            Err(error) => self.fail(talk, &error),
        }
    }

    /// Asks a server, whose connection was made, which protocol it speaks.
    fn connected<'s>(&mut self, mut talk: Talk<'s>) -> Option<Talk<'s>> {
        if !talk.is_probing() {
            return self.opened(talk);
        }
        talk.probed_by = talk.lease.link().probed_by();
        self.write_probe(talk)
    }

    /// Writes the question which protocol the server speaks, as much as the socket takes at once.
    fn write_probe<'s>(&mut self, mut talk: Talk<'s>) -> Option<Talk<'s>> {
        match talk.lease.link().write_at_once(&mut talk.patience) {
            Ok(is_written) => Some(Talk { is_stuck: !is_written, ..talk }),
            Err(error) => self.reopen(talk, error),
        }
    }

    /// Hears which protocol a server speaks.
    fn hear_probe<'s>(&mut self, mut talk: Talk<'s>, ready: Ready) -> Option<Talk<'s>> {
        let heard = match ready.to_read {
            true => talk.lease.link().hear_probe(&mut talk.patience),
            false if talk.left().is_zero() => Err(Error::timeout(Landed::NotSent)),
            false if ready.to_write => return self.write_probe(talk),
            false => Ok(false),
        };
        match heard {
            Ok(false) => Some(talk),
            Ok(true) => {
                talk.lease.opened();
                self.opened(talk)
            }
            Err(error) => self.reopen(talk, error),
        }
    }

    /// Connects to a server once more that did not say which protocol it speaks, if that is worth it.
    fn reopen<'s>(&mut self, mut talk: Talk<'s>, error: Error) -> Option<Talk<'s>> {
        match talk.lease.reopens(error, &mut talk.patience) {
            Ok(()) => self.begin(talk.batch, talk.lease, talk.patience),
            Err(error) => self.fail(talk, &error),
        }
    }

    /// Asks a server whose connection is open.
    fn opened<'s>(&mut self, talk: Talk<'s>) -> Option<Talk<'s>> {
        self.call.waited(talk.batch.server(), self.call.begun().elapsed());
        self.ask(talk)
    }

    /// Ends with a server; nothing is left of the talk.
    fn fail<'s>(&mut self, mut talk: Talk<'s>, error: &Error) -> Option<Talk<'s>> {
        talk.lease.fail(self.call, &mut talk.batch, error, self.now);
        None
    }
}

/// Waits until some of the connections are made, or have something to be read, or one has waited for too long, and says
/// which are ready.
#[cfg(unix)]
fn ready(talks: &mut [Talk<'_>]) -> Result<Vec<Ready>, Error> {
    use rustix::event::{PollFlags, Timespec, poll};
    loop {
        let left = talks.iter_mut().map(Talk::left).min().and_then(|left| Timespec::try_from(left).ok());
        let mut sockets: Vec<_> = talks.iter().filter_map(Talk::socket).collect();
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
impl Talk<'_> {
    /// What it waits for; there is always something.
    fn socket(&self) -> Option<rustix::event::PollFd<'_>> {
        use std::os::fd::AsFd as _;

        use rustix::event::{PollFd, PollFlags};
        match (&self.connecting, &self.lease.link) {
            (Some(connecting), _) => Some(PollFd::from_borrowed_fd(connecting.as_fd(), PollFlags::OUT)),
            (None, Some(link)) => {
                let events = if self.is_stuck { PollFlags::IN | PollFlags::OUT } else { PollFlags::IN };
                Some(PollFd::from_borrowed_fd(link.stream.as_fd(), events))
            }
            (None, None) => None,
        }
    }
}

/// Where there is no poll(2) the connections are heard one after the other.
#[cfg(not(unix))]
fn ready(talks: &mut [Talk<'_>]) -> Result<Vec<Ready>, Error> {
    Ok(talks.iter().map(|_| Ready { to_read: true, to_write: false }).collect())
}
