//! Several servers in one call: they are connected to, asked and heard at the same time.

use std::time::{Duration, Instant};

use memcached2_proto::{Command, Error, Landed, Leg, Now, ServerId};

use crate::lease::Lease;
use crate::station::Station;
use crate::stream::{Connecting, Patience};

/// A call to several servers.
#[derive(Debug)]
pub(crate) struct Crowd {
    now: Now,
    /// When the round has begun.
    begun: Instant,
}

/// What is asked of one server, how far that is, and how long it may take.
struct Talk<'c, 's, P> {
    leg: Leg<'c, P>,
    lease: Lease<'s>,
    /// While the connection is being made; then the server has not been asked yet.
    connecting: Option<Connecting>,
    /// Until when the server has to say which protocol it speaks, if it has to.
    probed_by: Option<Instant>,
    /// Whether the socket takes no more for now, though there is more to be written.
    is_stuck: bool,
    patience: Patience,
}

impl<P> Talk<'_, '_, P> {
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

impl<P: Command> Talk<'_, '_, P> {
    /// Reads and writes as far as the socket is ready; `true` when all replies have come.
    fn exchange(&mut self, ready: Ready, now: Now) -> Result<bool, Error> {
        let link = self.lease.link();
        let is_done = match ready.to_read {
            true => link.read(&mut self.leg, now, &mut self.patience)?,
            // The time of one does not go by unnoticed while others are ready.
            false => self.patience.left().map(|_| self.leg.is_done())?,
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

impl Crowd {
    pub(crate) fn new(now: Now, begun: Instant) -> Self {
        Self { now, begun }
    }

    /// Asks all servers, and hears all of them as they answer.
    #[cold]
    pub(crate) fn converse<'c, 's, P: Command + 'c>(
        &self,
        legs: impl Iterator<Item = Leg<'c, P>>,
        station: impl Fn(ServerId) -> Result<&'s Station, Error>,
        patience: &mut Patience,
    ) {
        let mut talks = Vec::new();
        for mut leg in legs {
            let lease = station(leg.server()).and_then(|station| station.reserve(leg.is_retry(), self.now, patience));
            match lease {
                Ok(lease) => {
                    let own = patience.clone();
                    // That a connection was waited for is told of this server alone.
                    patience.take_waited();
                    talks.extend(self.begin(leg, lease, own));
                }
                Err(error) => leg.fail(&error),
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
    fn begin<'c, 's, P: Command>(
        &self,
        leg: Leg<'c, P>,
        lease: Lease<'s>,
        patience: Patience,
    ) -> Option<Talk<'c, 's, P>> {
        let mut talk = Talk { leg, lease, connecting: None, probed_by: None, is_stuck: false, patience };
        if talk.lease.link.is_some() {
            return self.ask(talk);
        }
        match talk.lease.begin_connecting(&mut talk.patience) {
            Ok(None) => self.connected(talk),
            Ok(connecting) => Some(Talk { connecting, ..talk }),
            Err(error) => self.fail(talk, &error),
        }
    }

    fn ask<'c, 's, P: Command>(&self, mut talk: Talk<'c, 's, P>) -> Option<Talk<'c, 's, P>> {
        if let Some(waited) = talk.patience.take_waited() {
            talk.leg.waited(waited);
        }
        match talk.lease.link().begin(&mut talk.leg, self.now, &mut talk.patience) {
            Ok(is_written) => Some(Talk { is_stuck: !is_written, ..talk }),
            Err(error) => self.fail(talk, &error),
        }
    }

    /// Goes on with a server that may have something to say; `None` when all was said.
    fn go_on<'c, 's, P: Command>(&self, mut talk: Talk<'c, 's, P>, ready: Ready) -> Option<Talk<'c, 's, P>> {
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
            return self.hear_probe(talk, ready.to_read);
        }
        match talk.exchange(ready, self.now) {
            Ok(false) => Some(talk),
            Ok(true) => {
                talk.leg.ended(self.begun.elapsed());
                talk.lease.checkin(self.now);
                None
            }
            Err(error) => self.fail(talk, &error),
        }
    }

    /// Asks a server, whose connection was made, which protocol it speaks.
    fn connected<'c, 's, P: Command>(&self, mut talk: Talk<'c, 's, P>) -> Option<Talk<'c, 's, P>> {
        if !talk.is_probing() {
            return self.opened(talk);
        }
        match talk.lease.probe(&mut talk.patience) {
            Ok(probed_by) => Some(Talk { probed_by, ..talk }),
            Err(error) => self.reopen(talk, error),
        }
    }

    /// Hears which protocol a server speaks.
    fn hear_probe<'c, 's, P: Command>(&self, mut talk: Talk<'c, 's, P>, ready: bool) -> Option<Talk<'c, 's, P>> {
        let heard = match ready {
            true => talk.lease.link().hear_probe(&mut talk.patience),
            false if talk.left().is_zero() => Err(Error::timeout(Landed::NotSent)),
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
    fn reopen<'c, 's, P: Command>(&self, mut talk: Talk<'c, 's, P>, error: Error) -> Option<Talk<'c, 's, P>> {
        match talk.lease.reopens(error, &mut talk.patience) {
            Ok(()) => self.begin(talk.leg, talk.lease, talk.patience),
            Err(error) => self.fail(talk, &error),
        }
    }

    /// Asks a server whose connection is open.
    fn opened<'c, 's, P: Command>(&self, mut talk: Talk<'c, 's, P>) -> Option<Talk<'c, 's, P>> {
        talk.leg.waited(self.begun.elapsed());
        self.ask(talk)
    }

    /// Ends with a server; nothing is left of the talk.
    fn fail<'c, 's, P>(&self, mut talk: Talk<'c, 's, P>, error: &Error) -> Option<Talk<'c, 's, P>> {
        talk.lease.fail(&mut talk.leg, error, self.now);
        talk.leg.ended(self.begun.elapsed());
        None
    }
}

/// Waits until some of the connections are made, or have something to be read, or one has waited for too long, and says
/// which are ready.
#[cfg(unix)]
fn ready<P>(talks: &mut [Talk<'_, '_, P>]) -> Result<Vec<Ready>, Error> {
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
impl<P> Talk<'_, '_, P> {
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
fn ready<P>(talks: &mut [Talk<'_, '_, P>]) -> Result<Vec<Ready>, Error> {
    Ok(talks.iter().map(|_| Ready { to_read: true, to_write: false }).collect())
}
