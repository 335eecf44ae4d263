//! A moment of the monotonic clock, as a number.

use std::fmt;
use std::ops::{Add, AddAssign, Sub};
use std::sync::OnceLock;
use std::time::Duration;

/// A moment of a clock that never goes back, in nanoseconds.
///
/// It takes the place of [`std::time::Instant`], which a program cannot make without a clock. So the core also works where there
/// is no clock (`wasm32-unknown-unknown`), and in a simulation, whose time is made by hand. Transports turn the moments of
/// their clock into it, relative to the first one that the process has turned; 292 years before and after that can be
/// expressed, and what goes beyond ends there.
///
/// A server that fails and comes back, without waiting for it:
///
/// ```
/// use std::io::ErrorKind;
/// use std::time::{Duration, SystemTime};
/// use memcached2_proto::call::{Call, Fault};
/// use memcached2_proto::{Error, Get, Instant, Landed, Now, Options, ReconnectPolicy, Reply, Router};
///
/// let options = Options::default().reconnect(ReconnectPolicy::After(Duration::from_secs(30)));
/// let router = Router::with_options(["cache1"], &options)?;
/// let get = |seconds, fails: bool| {
///     let now = Instant::ZERO + Duration::from_secs(seconds);
///     let mut call = Call::new(Get::new("greeting")?, &router, Now::fixed(now, SystemTime::UNIX_EPOCH));
///     match fails {
///         _ if call.batch(0).is_none() => {}
///         true => call.fail(0, &Error::lost(&ErrorKind::ConnectionReset.into(), Landed::NotSent), Fault::Server),
///         false => call.answer(0, Reply::Miss, true),
///     }
///     while call.end_round(|| now) {}
///     call.finish()
/// };
/// assert_eq!(get(0, false)?, None);
/// assert!(matches!(get(1, true), Err(Error::Disconnected { .. })));
/// assert!(matches!(get(30, false), Err(Error::Down { .. })));
/// assert_eq!(get(31, false)?, None);
/// # Ok::<(), Error>(())
/// ```
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Instant(u64);

/// The first moment of [`std::time::Instant`] that was turned into an [`Instant`]: the one in the [`MIDDLE`].
#[expect(
    clippy::disallowed_types,
    reason = "the one place where moments of the system's clock are turned into our own"
)]
static ORIGIN: OnceLock<std::time::Instant> = OnceLock::new();

const MIDDLE: Instant = Instant(1 << 63);

impl Instant {
    /// The first moment there is: where a simulation may begin.
    pub const ZERO: Self = Self(0);

    /// The moment this many nanoseconds after [`Instant::ZERO`].
    #[must_use]
    pub const fn from_nanos(nanos: u64) -> Self {
        Self(nanos)
    }

    /// How many nanoseconds it is after [`Instant::ZERO`].
    #[must_use]
    pub const fn as_nanos(self) -> u64 {
        self.0
    }

    /// The moment `by` later, if it can be expressed.
    #[must_use]
    pub fn checked_add(self, by: Duration) -> Option<Self> {
        self.0.checked_add(nanos(by)?).map(Self)
    }

    /// How much later than `earlier` it is; zero if it is not.
    #[must_use]
    #[inline]
    pub const fn saturating_duration_since(self, earlier: Self) -> Duration {
        Duration::from_nanos(self.0.saturating_sub(earlier.0))
    }

    /// The moment on the clock of the system; `None` if no moment of that was turned into an [`Instant`] yet, or if it cannot
    /// express this one.
    #[must_use]
    #[expect(clippy::disallowed_types, reason = "the one place where they are turned back")]
    pub fn to_std(self) -> Option<std::time::Instant> {
        let origin = ORIGIN.get()?;
        match self >= MIDDLE {
            true => origin.checked_add(self - MIDDLE),
            false => origin.checked_sub(MIDDLE - self),
        }
    }
}

#[expect(
    clippy::disallowed_types,
    reason = "the one place where moments of the system's clock are turned into our own"
)]
impl From<std::time::Instant> for Instant {
    #[inline]
    fn from(moment: std::time::Instant) -> Self {
        let origin = *ORIGIN.get_or_init(|| moment);
        match moment.checked_duration_since(origin) {
            Some(after) => MIDDLE + after,
            None => MIDDLE - origin.saturating_duration_since(moment),
        }
    }
}

#[inline]
fn nanos(duration: Duration) -> Option<u64> {
    duration.as_secs().checked_mul(1_000_000_000)?.checked_add(duration.subsec_nanos().into())
}

impl Add<Duration> for Instant {
    type Output = Self;

    /// The moment `by` later, or the last one there is.
    #[inline]
    fn add(self, by: Duration) -> Self {
        Self(self.0.saturating_add(nanos(by).unwrap_or(u64::MAX)))
    }
}

impl AddAssign<Duration> for Instant {
    #[inline]
    fn add_assign(&mut self, by: Duration) {
        *self = *self + by;
    }
}

impl Sub<Duration> for Instant {
    type Output = Self;

    /// The moment `by` earlier, or [`Instant::ZERO`].
    #[inline]
    fn sub(self, by: Duration) -> Self {
        Self(self.0.saturating_sub(nanos(by).unwrap_or(u64::MAX)))
    }
}

impl Sub for Instant {
    type Output = Duration;

    /// How much later than `earlier` it is; zero if it is not.
    #[inline]
    fn sub(self, earlier: Self) -> Duration {
        self.saturating_duration_since(earlier)
    }
}

impl fmt::Debug for Instant {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("Instant").field(&Duration::from_nanos(self.0)).finish()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const SECOND: Duration = Duration::from_secs(1);

    #[test]
    fn sums_and_differences_end_at_the_first_and_the_last_moment() {
        let (one, last) = (Instant::from_nanos(1_000_000_000), Instant::from_nanos(u64::MAX));
        assert_eq!((Instant::ZERO + SECOND, one - SECOND, one - Instant::ZERO), (one, Instant::ZERO, SECOND));
        assert_eq!((one - 2 * SECOND, Instant::ZERO - one), (Instant::ZERO, Duration::ZERO));
        assert_eq!((last + SECOND, one + Duration::MAX, one - Duration::MAX), (last, last, Instant::ZERO));
        assert_eq!((one.checked_add(SECOND), last.checked_add(SECOND)), (Some(one + SECOND), None));
        assert_eq!(one.checked_add(Duration::MAX), None);
        assert_eq!(format!("{:?}", one + SECOND / 2), "Instant(1.5s)");
        assert_eq!((one.as_nanos(), one.max(Instant::ZERO)), (1_000_000_000, one));
    }

    #[test]
    #[expect(clippy::disallowed_methods, reason = "what is turned into an instant must come from somewhere")]
    #[expect(clippy::disallowed_types, reason = "the conversion is tested")]
    fn moments_of_the_system_keep_their_distances_on_both_sides_of_the_first_one() {
        let first = std::time::Instant::now();
        let origin = Instant::from(first);
        let steps = [Duration::ZERO, Duration::from_nanos(1), SECOND / 3, 86_400 * SECOND];
        for step in steps {
            let (before, after) = (first.checked_sub(step), first + step);
            assert_eq!(Instant::from(after) - origin, step);
            assert_eq!((origin + step).to_std(), Some(after));
            // A machine may have been started less than a day ago.
            if let Some(before) = before {
                assert_eq!(origin - Instant::from(before), step);
                assert_eq!((origin - step).to_std(), Some(before));
            }
        }
    }
}
