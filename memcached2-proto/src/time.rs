//! Time as an argument: the moment a caller passes in, and when an item expires.

mod instant;

use std::time::{Duration, SystemTime, UNIX_EPOCH};

pub use self::instant::Instant;
use crate::error::Error;

/// The moment of a call, passed in by the transport.
///
/// The wall clock is read only by requests that need it (an expiry of over 30 days), so it is given as a clock.
#[derive(Debug, Clone, Copy)]
pub struct Now {
    /// The moment on the clock that never goes back; deadlines and retry times are compared with it.
    pub monotonic: Instant,
    wall: Wall,
}

#[derive(Debug, Clone, Copy)]
enum Wall {
    Clock(fn() -> SystemTime),
    Fixed(SystemTime),
}

impl Now {
    /// The moment `monotonic`, also one of [`std::time::Instant`], with a wall clock to read when a request needs one:
    /// `SystemTime::now`.
    #[must_use]
    #[inline]
    pub fn new(monotonic: impl Into<Instant>, wall: fn() -> SystemTime) -> Self {
        Self { monotonic: monotonic.into(), wall: Wall::Clock(wall) }
    }

    /// The moment `monotonic` which is `wall` for people: time that a test moves by hand.
    #[must_use]
    pub fn fixed(monotonic: impl Into<Instant>, wall: SystemTime) -> Self {
        Self { monotonic: monotonic.into(), wall: Wall::Fixed(wall) }
    }

    /// The moment `by` later, or the last one there is.
    #[must_use]
    #[inline]
    pub fn later(&self, by: Duration) -> Instant {
        self.monotonic + by
    }

    /// The same clocks at the moment `monotonic`.
    pub(crate) fn at(self, monotonic: Instant) -> Self {
        Self { monotonic, ..self }
    }

    /// The time of day.
    #[must_use]
    pub fn wall(&self) -> SystemTime {
        match self.wall {
            Wall::Clock(read) => read(),
            Wall::Fixed(at) => at,
        }
    }
}

/// When an item expires: what memcached calls `exptime`.
///
/// On the wire up to 30 days are seconds from now and more is a moment in Unix time that must fit 31 bits
/// (`doc/protocol.txt` of memcached 1.6.45, "Expiration times"); the difference is kept from callers.
///
/// **A duration of zero has expired already**: an item that is stored with it is never found. On the wire `0` means "never", and so it
/// does in clients that pass the number on. Here "never" is [`Expiry::Never`], or `None` of an `Option<Duration>`.
///
/// ```
/// use std::time::Duration;
/// use memcached2_proto::Expiry;
///
/// let hour = Expiry::after_secs(3600);
/// assert_eq!(hour, Duration::from_secs(3600).into());
/// assert_eq!(hour, Some(Duration::from_secs(3600)).into());
///
/// // From a setting in which 0 means "never":
/// let setting = 0;
/// let expiry: Expiry = (setting > 0).then(|| Duration::from_secs(setting)).into();
/// assert_eq!(expiry, Expiry::Never);
/// ```
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub enum Expiry {
    /// The item stays until the server evicts it; the default.
    #[default]
    Never,
    /// The item expires after this long, rounded up to whole seconds. Zero is not "never": it has expired already.
    After(Duration),
    /// The item expires at this moment of the wall clock, rounded up to whole seconds; a past one has expired already.
    At(SystemTime),
}

impl From<Duration> for Expiry {
    fn from(after: Duration) -> Self {
        Self::After(after)
    }
}

/// `None` is [`Expiry::Never`].
impl From<Option<Duration>> for Expiry {
    fn from(after: Option<Duration>) -> Self {
        after.map_or(Self::Never, Self::After)
    }
}

/// How long a call may wait for servers, if it needs part of its `timeout` [to merge](crate::call::Call::time_to_merge) the results:
/// at least half of it.
#[must_use]
#[inline]
pub fn time_to_wait(timeout: Duration, to_merge: Duration) -> Duration {
    if to_merge.is_zero() { timeout } else { less(timeout, to_merge) }
}

#[cold]
fn less(timeout: Duration, to_merge: Duration) -> Duration {
    timeout - to_merge.min(timeout / 2)
}

impl From<SystemTime> for Expiry {
    fn from(at: SystemTime) -> Self {
        Self::At(at)
    }
}

/// Longer than this, and the server takes the number for a moment in Unix time.
const RELATIVE_MAX: u64 = 60 * 60 * 24 * 30;

impl Expiry {
    /// The item expires after so many seconds. Zero is not "never": it has expired already.
    #[must_use]
    pub const fn after_secs(seconds: u64) -> Self {
        Self::After(Duration::from_secs(seconds))
    }

    /// The number that goes on the wire.
    ///
    /// # Errors
    ///
    /// [`Error::Expiry`] when the moment lies after 2038-01-19 03:14:07 UTC: the server keeps 31 bits of it and would
    /// expire the item at once, or never.
    /// A [`Command`](crate::command::Command) of your own asks [`RequestBuffer::exptime`](crate::command::RequestBuffer::exptime), which
    /// also keeps to the longest time to live of the server.
    #[inline]
    pub fn exptime(self, now: Now) -> Result<i32, Error> {
        match self {
            Self::Never => Ok(0),
            Self::After(after) => relative(after, now),
            Self::At(at) => absolute(at),
        }
    }

    /// The same, but no later than this long from now.
    pub(crate) fn at_most(self, max: Duration, now: Now) -> Self {
        Self::After(match self {
            Self::Never => max,
            Self::After(after) => after.min(max),
            Self::At(at) => at.duration_since(now.wall()).unwrap_or_default().min(max),
        })
    }
}

/// What the server takes for "has expired already".
const EXPIRED: i32 = -1;

fn relative(after: Duration, now: Now) -> Result<i32, Error> {
    match whole_seconds(after) {
        0 => Ok(EXPIRED),
        seconds if seconds <= RELATIVE_MAX => moment(seconds),
        _ => absolute(now.wall().checked_add(after).ok_or_else(Error::expiry)?),
    }
}

fn absolute(at: SystemTime) -> Result<i32, Error> {
    match at.duration_since(UNIX_EPOCH) {
        Ok(since) if whole_seconds(since) > RELATIVE_MAX => moment(whole_seconds(since)),
        // A number this small would be read as seconds from now.
        Ok(_) | Err(_) => Ok(EXPIRED),
    }
}

fn moment(seconds: u64) -> Result<i32, Error> {
    i32::try_from(seconds).map_err(|_| Error::expiry())
}

fn whole_seconds(duration: Duration) -> u64 {
    duration.as_secs().saturating_add(u64::from(duration.subsec_nanos() > 0))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn now(unix: u64) -> Now {
        Now::fixed(Instant::ZERO, UNIX_EPOCH + Duration::from_secs(unix))
    }

    #[test]
    fn an_expiry_becomes_the_number_the_server_understands() {
        let day = 24 * 60 * 60;
        let after = |seconds| Expiry::After(Duration::from_secs(seconds));
        let at = |seconds| Expiry::At(UNIX_EPOCH + Duration::from_secs(seconds));
        let wall = 1_800_000_000;
        for (expiry, expected) in [
            (Expiry::Never, Ok(0)),
            (None.into(), Ok(0)),
            (Some(Duration::from_secs(9)).into(), Ok(9)),
            (Some(Duration::ZERO).into(), Ok(-1)),
            (Expiry::after_secs(9), Ok(9)),
            (Expiry::after_secs(0), Ok(-1)),
            (after(0), Ok(-1)),
            (Expiry::After(Duration::from_millis(1)), Ok(1)),
            (Expiry::After(Duration::from_millis(1001)), Ok(2)),
            (after(30 * day), Ok(2_592_000)),
            (after(30 * day + 1), Ok(1_802_592_001)),
            (after(u64::MAX), Err(Error::expiry())),
            (at(wall + 5), Ok(1_800_000_005)),
            (at(5), Ok(-1)),
            (Expiry::At(UNIX_EPOCH - Duration::from_secs(5)), Ok(-1)),
            (at(2_147_483_647), Ok(i32::MAX)),
            (at(2_147_483_648), Err(Error::expiry())),
            (after(20 * 365 * day), Err(Error::expiry())),
        ] {
            assert_eq!(expiry.exptime(now(wall)), expected, "{expiry:?}");
        }
    }

    #[test]
    fn an_expiry_is_cut_to_the_longest_time_to_live() {
        let seconds = Duration::from_secs;
        let at = |unix| Expiry::At(UNIX_EPOCH + Duration::from_millis(unix));
        for (expiry, cut) in [
            (Expiry::Never, 10),
            (Expiry::After(seconds(11)), 10),
            (Expiry::After(seconds(u64::MAX)), 10),
            (Expiry::After(seconds(9)), 9),
            (Expiry::After(Duration::from_millis(9001)), 10),
            (Expiry::After(Duration::ZERO), -1),
            (at(1_800_000_000_000 + 5_000), 5),
            (at(1_800_000_000_000 + 9_999), 10),
            (at(1_800_000_000_000 + 11_000), 10),
            (at(1_800_000_000_000), -1),
            (at(5), -1),
        ] {
            let now = now(1_800_000_000);
            assert_eq!(expiry.at_most(seconds(10), now).exptime(now), Ok(cut), "{expiry:?}");
        }
        let now = now(1_800_000_000);
        // Longer than 30 days is a moment.
        assert_eq!(Expiry::Never.at_most(seconds(40 * 86_400), now).exptime(now), Ok(1_803_456_000));
    }
}
