//! Which protocol a server speaks, as its connections have found out.

use std::io;
use std::sync::atomic::{AtomicU32, Ordering};
use std::sync::{Mutex, PoisonError};
use std::time::Duration;

use super::{Connection, ConnectionOptions};
use crate::command::Protocol;
use crate::time::{Instant, Now};

/// What the connections to one server have found out of the protocol that it speaks.
///
/// A version number proves nothing: proxies pass on the version of a server behind them, and other servers have other
/// versions. A server speaks meta if it has answered a meta command as one. A server that refuses it speaks the classic
/// protocol. So does one that closes the connection or is silent, and has never answered a probe: then its
/// connections are not probed for a minute.
///
/// A value must not be sent in an `ms` to a server that would read it as commands, and another server may have taken the
/// place of the one that was there. So each connection is probed, which takes one round trip, unless the last server
/// there closed it for that within the last minute.
///
/// An [`Opening`](crate::opening::Opening) asks it how to begin a connection, and reports the result to it.
#[derive(Debug, Default)]
pub struct KnownProtocol {
    known: Mutex<Known>,
    /// The place of the server among those of the client.
    server: u32,
    /// How many of its connections were given an age.
    aged: AtomicU32,
}

#[derive(Debug, Clone, Copy, Default)]
enum Known {
    #[default]
    Nothing,
    /// It has answered a probe: in meta, or with a refusal.
    Answers,
    /// It has answered a probe, and one of its connections was found dead or has fallen silent.
    InDoubt,
    /// It did not take being asked, and may be asked again from this moment on.
    ClosesOnProbe(Instant),
}

/// How a new connection begins.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum First {
    /// Requests are said in this protocol.
    Speak(Protocol),
    /// The server is probed first, and has to say something within this time, if it has to.
    Probe(Option<Duration>),
}

/// An age of 90 to 100 % of the most for the connection with this number. Multiples of these fractions (of the golden ratio and
/// the plastic number) lie far apart for numbers and servers that follow each other.
fn spread(most: Duration, server: u32, number: u32) -> Duration {
    const GOLDEN: u32 = 0x9e37_79b9;
    const PLASTIC: u32 = 0xc13f_a9a9;
    let fraction = server.wrapping_mul(PLASTIC).wrapping_add(number.wrapping_mul(GOLDEN));
    most - (most / 10).mul_f64(f64::from(fraction) / f64::from(u32::MAX))
}

/// How long a server that closes a probed connection is not probed again.
const FORGET: Duration = Duration::from_secs(60);

impl KnownProtocol {
    /// Nothing is known yet of the server at this place among those of the client.
    #[must_use]
    pub fn for_server(server: usize) -> Self {
        Self { server: u32::try_from(server).unwrap_or(u32::MAX), ..Self::default() }
    }

    /// How old a connection becomes that is made now, if there is a [limit](ConnectionOptions::max_age): each another age, so that
    /// those which were made together are not replaced together.
    #[must_use]
    pub fn age(&self, options: &ConnectionOptions) -> Option<Duration> {
        let most = options.max_age?;
        Some(spread(most, self.server, self.aged.fetch_add(1, Ordering::Relaxed)))
    }

    /// Begins a connection to the server: one that is [probed](Connection::probe) first, unless its protocol is known. With
    /// the time within which the server must have said something then; if it has not, ask
    /// [`KnownProtocol::retries_classic`]. `None`: wait for as long as callers do.
    pub(crate) fn begin(&self, options: &ConnectionOptions, now: Now) -> (Connection, Option<Duration>) {
        let mut connection = Connection::with_options(options);
        match self.first(options, now.monotonic) {
            First::Speak(protocol) => {
                connection.set_protocol(protocol);
                (connection, None)
            }
            First::Probe(within) => {
                connection.probe(now);
                (connection, within)
            }
        }
    }

    fn first(&self, options: &ConnectionOptions, now: Instant) -> First {
        match (options.protocol, *self.lock()) {
            (Some(protocol), _) => First::Speak(protocol),
            (None, Known::ClosesOnProbe(until)) if now < until => First::Speak(Protocol::Classic),
            (None, Known::Answers) => First::Probe(None),
            (None, _) => First::Probe(Some(options.probe_timeout)),
        }
    }

    /// Whether the next connection begins with a question, so that it shows soon whether the server is there.
    #[must_use]
    pub fn asks(&self, options: &ConnectionOptions, now: Instant) -> bool {
        matches!(self.first(options, now), First::Probe(_))
    }

    /// Notes that a connection was found dead or silent: the probe of the next one has less time, because the server
    /// may be down.
    pub fn doubt(&self) {
        let mut known = self.lock();
        if matches!(*known, Known::Answers) {
            *known = Known::InDoubt;
        }
    }

    /// Notes that a probe was answered. In either protocol the server answers probes, so the next connection is probed.
    pub(crate) fn proved(&self) {
        *self.lock() = Known::Answers;
    }

    /// Notes that a connection was lost, or silent, before its probe was answered. `true`: the server may be one that
    /// cannot be probed, so make a new connection that speaks the classic protocol, without a probe. No other request
    /// was written, so no call fails.
    ///
    /// A server that has answered a probe before and is silent now is no such server. It stands still, and would let the call wait for
    /// its whole deadline on the new connection.
    pub(crate) fn retries_classic(&self, is_silent: bool, now: Instant) -> bool {
        let mut known = self.lock();
        match *known {
            Known::Nothing => {
                *known = Known::ClosesOnProbe(now + FORGET);
                true
            }
            Known::ClosesOnProbe(until) if until <= now => {
                *known = Known::ClosesOnProbe(now + FORGET);
                true
            }
            // Another connection has found out just now.
            Known::ClosesOnProbe(_) => true,
            Known::Answers | Known::InDoubt => {
                *known = if is_silent { Known::InDoubt } else { Known::Nothing };
                false
            }
        }
    }

    /// The error of a connection on which the server has not said within the deadline which protocol it speaks, though it had
    /// said so on one before: nothing was sent.
    pub(crate) fn silence() -> io::Error {
        io::Error::new(io::ErrorKind::TimedOut, "it has taken the connection, and has not answered in time")
    }

    fn lock(&self) -> std::sync::MutexGuard<'_, Known> {
        self.known.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_server_that_closes_on_a_probe_is_spoken_to_in_the_classic_protocol_for_a_minute() {
        let (known, options, now) = (KnownProtocol::default(), ConnectionOptions::default(), Instant::ZERO);
        let probe = |within: Option<u64>| First::Probe(within.map(Duration::from_millis));
        assert_eq!(known.first(&options, now), probe(Some(250)));
        assert!(known.retries_classic(true, now));
        assert_eq!(known.first(&options, now + FORGET / 2), First::Speak(Protocol::Classic));
        assert_eq!(known.first(&options, now + FORGET), probe(Some(250)));
        // Another connection finds that out as well, which is no reason to wait longer; and the minute begins anew once it is over.
        assert!(known.retries_classic(false, now + FORGET / 2));
        assert_eq!(known.first(&options, now + FORGET), probe(Some(250)));
        assert!(known.retries_classic(false, now + FORGET));
        assert_eq!(known.first(&options, now + FORGET + FORGET / 2), First::Speak(Protocol::Classic));
        assert_eq!(known.first(&options, now + FORGET + FORGET), probe(Some(250)));
        known.proved();
        assert_eq!(known.first(&options, now), probe(None));
        known.doubt();
        assert_eq!(known.first(&options, now), probe(Some(250)));
        // A server that has answered is more likely to have gone; the next one is asked with patience for the other case.
        assert!(!known.retries_classic(false, now));
        assert_eq!(known.first(&options, now), probe(Some(250)));
        let options = ConnectionOptions { protocol: Some(Protocol::Meta), ..options };
        assert_eq!(known.first(&options, now), First::Speak(Protocol::Meta));
    }

    #[test]
    fn a_server_that_has_answered_a_probe_and_is_silent_is_never_spoken_to_without_one() {
        let (known, options, now) = (KnownProtocol::default(), ConnectionOptions::default(), Instant::ZERO);
        known.proved();
        known.doubt();
        // Several connections find that out at the same time, and others as often as the server is tried again.
        for _ in 0..10 {
            assert!(!known.retries_classic(true, now));
            assert_eq!(known.first(&options, now), First::Probe(Some(options.probe_timeout)));
        }
        // Another one may have taken its place, which closes the connection.
        assert!(!known.retries_classic(false, now));
        assert!(known.retries_classic(false, now));
    }

    #[test]
    fn connections_that_are_made_together_grow_old_one_after_the_other() {
        let most = Duration::from_secs(1000);
        let options = ConnectionOptions { max_age: Some(most), ..ConnectionOptions::default() };
        let servers: Vec<_> = (0..5).map(KnownProtocol::for_server).collect();
        let mut ages: Vec<_> = servers.iter().flat_map(|known| (0..20).map(|_| known.age(&options).unwrap())).collect();
        ages.sort();
        assert!(ages[0] >= most * 9 / 10 && ages[99] <= most, "{ages:?}");
        // On average, one second lies between two of them.
        let gaps = ages.windows(2).map(|pair| pair[1] - pair[0]);
        assert!(gaps.max() < Some(Duration::from_secs(5)), "{ages:?}");
        assert_eq!(KnownProtocol::default().age(&ConnectionOptions::default()), None);
        let options = ConnectionOptions { max_age: Some(Duration::MAX), ..options };
        assert!(KnownProtocol::default().age(&options) <= Some(Duration::MAX));
    }
}
