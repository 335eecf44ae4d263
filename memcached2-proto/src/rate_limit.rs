//! How often something may happen: the rules of `client.limit_rate(..)`, without I/O.
//!
//! For users: a [`RateLimit`] says how often, and a [`Rate`] what was decided.

use std::time::{Duration, SystemTime, UNIX_EPOCH};

use crate::error::Error;
use crate::time::Expiry;
use crate::value::Value;

/// How often something may happen, such as the requests of one address.
///
/// Time is divided into windows, from midnight of 1970-01-01 UTC on. Each key has a counter for each window, which all programs count
/// together: their clocks should agree.
///
/// ```
/// use std::time::Duration;
/// use memcached2_proto::rate_limit::RateLimit;
///
/// let limit = RateLimit::new(100, Duration::from_secs(60)).sliding();
/// // let rate = client.limit_rate("login:192.0.2.7", &limit).await?;
/// // if !rate.is_allowed { return too_many_requests(rate.retry_after) }
/// ```
#[derive(Debug, Clone)]
pub struct RateLimit {
    limit: u64,
    window: Duration,
    cost: u64,
    is_sliding: bool,
    allows_if_down: bool,
}

/// Whether something may happen, and what is left.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[non_exhaustive]
pub struct Rate {
    /// Whether it may happen.
    pub is_allowed: bool,
    /// How much more may happen now.
    pub remaining: u64,
    /// How long it is until the window ends.
    pub reset: Duration,
    /// How long to wait until it may happen, if nothing else happens meanwhile; zero if it is allowed.
    pub retry_after: Duration,
    /// Whether the server has counted it: neither what a sliding window has refused at once, nor what could not be counted.
    pub is_counted: bool,
}

impl RateLimit {
    /// Allows this many in each `window`: a millisecond at least, and 584 years at most. At the edge of two windows, twice as many may
    /// happen in a short time.
    #[must_use]
    pub fn new(limit: u64, window: Duration) -> Self {
        /// Two of them together are a duration, and its nanoseconds times any count a number of 128 bits.
        const LONGEST: Duration = Duration::from_nanos(u64::MAX);
        let window = window.clamp(Duration::from_millis(1), LONGEST);
        Self { limit, window, cost: 1, is_sliding: false, allows_if_down: true }
    }

    /// Lets the window slide: what happened in the window before counts by the part of it that is less than a window ago, as if it had
    /// happened evenly. So about as many are allowed in any time of that length. It takes two `get`s more, and what is refused
    /// is mostly not counted.
    #[must_use]
    pub fn sliding(mut self) -> Self {
        self.is_sliding = true;
        self
    }

    /// Sets how much one call counts, such as the bytes of an upload; 1 unless set. In a window that does not slide, a refused call
    /// has counted, and so may refuse a smaller one after it.
    #[must_use]
    pub fn cost(mut self, cost: u64) -> Self {
        self.cost = cost;
        self
    }

    /// Sets whether it is allowed if the cache fails ([`Error::counts_as_miss`]). `true` unless set.
    #[must_use]
    pub fn allow_if_down(mut self, allowed: bool) -> Self {
        self.allows_if_down = allowed;
        self
    }

    /// The window of a moment.
    #[doc(hidden)]
    #[must_use]
    pub fn window(&self, key: &[u8], now: SystemTime) -> Window<'_> {
        let (since, length) = (now.duration_since(UNIX_EPOCH).unwrap_or_default().as_nanos(), self.window.as_nanos());
        let number = since / length;
        let named = |number: u128| [key, b":", number.to_string().as_bytes()].concat();
        let keys = [named(number.saturating_sub(1)), named(number)];
        Window { limit: self, keys, left: duration(length - since % length) }
    }
}

fn duration(nanos: u128) -> Duration {
    Duration::from_nanos(nanos.try_into().unwrap_or(u64::MAX))
}

/// The present window of a key.
#[doc(hidden)]
#[derive(Debug)]
pub struct Window<'l> {
    limit: &'l RateLimit,
    /// Of the counters of the window before, and of this one.
    keys: [Vec<u8>; 2],
    left: Duration,
}

impl Window<'_> {
    /// The counter.
    #[must_use]
    pub fn key(&self) -> &[u8] {
        &self.keys[1]
    }

    /// By how much to count: what is over the limit in any case, by no more than shows that, since the counter of a server begins anew
    /// beyond 2^64.
    #[must_use]
    pub fn cost(&self) -> u64 {
        self.limit.cost.min(self.limit.limit.saturating_add(1))
    }

    /// Until when the counter is of use: it is the one before in the next window.
    #[must_use]
    pub fn expiry(&self) -> Expiry {
        Expiry::After(self.left + self.limit.window + Duration::from_secs(1))
    }

    /// The counters to be asked for before.
    #[must_use]
    pub fn asked(&self) -> Option<&[Vec<u8>]> {
        self.limit.is_sliding.then_some(&self.keys)
    }

    /// What was counted in the window before, if there is room for more; or the refusal.
    ///
    /// # Errors
    ///
    /// [`Error::Value`] if a counter is no number.
    pub fn judge(&self, counters: &[Option<Value>]) -> Result<Result<u64, Rate>, Error> {
        let count = |at: usize| match counters.get(at) {
            Some(Some(value)) => value.parse::<u64>(),
            _ => Ok(0),
        };
        let (before, present) = (count(0)?, count(1)?);
        match self.total(before, present).saturating_add(self.limit.cost) <= self.limit.limit {
            true => Ok(Ok(before)),
            false => Ok(Err(self.rate(false, before, present, false))),
        }
    }

    /// The decision, after the server has counted up to this.
    #[must_use]
    pub fn counted(&self, before: u64, present: u64) -> Rate {
        self.rate(self.total(before, present) <= self.limit.limit, before, present, true)
    }

    /// The decision, if the server has failed.
    ///
    /// # Errors
    ///
    /// The error, unless it is a failure of the cache.
    pub fn failed(&self, error: Error) -> Result<Rate, Error> {
        match (error.counts_as_miss(), self.limit.allows_if_down) {
            (false, _) => Err(error),
            (true, true) => Ok(Rate { is_counted: false, ..self.counted(0, 0) }),
            (true, false) => Ok(self.rate(false, 0, self.limit.limit, false)),
        }
    }

    /// How much counts at this moment: of the window before, the part that has not passed, rounded up.
    fn total(&self, before: u64, present: u64) -> u64 {
        let of_before = (u128::from(before) * self.left.as_nanos()).div_ceil(self.limit.window.as_nanos());
        u64::try_from(of_before).unwrap_or(u64::MAX).saturating_add(present)
    }

    fn rate(&self, is_allowed: bool, before: u64, present: u64, is_counted: bool) -> Rate {
        let remaining = self.limit.limit.saturating_sub(self.total(before, present));
        let retry_after = if is_allowed { Duration::ZERO } else { self.wait(before, present) };
        Rate { is_allowed, remaining, reset: self.left, retry_after, is_counted }
    }

    /// How long until there is room for one more.
    fn wait(&self, before: u64, present: u64) -> Duration {
        let RateLimit { limit, window, cost, is_sliding, .. } = *self.limit;
        if !is_sliding {
            return self.left;
        }
        // How much of a window may be left if this much of it was counted.
        let part = |room: u64, count: u64| {
            let part = (u128::from(room) * window.as_nanos()).checked_div(u128::from(count));
            part.map_or(window, |part| duration(part).min(window))
        };
        match limit.checked_sub(cost.saturating_add(present)) {
            Some(room) => self.left.saturating_sub(part(room, before)),
            None => self.left + (window - part(limit.saturating_sub(cost), present)),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn after(limit: &RateLimit, seconds: u64) -> Window<'_> {
        limit.window(b"a", UNIX_EPOCH + Duration::from_secs(600 + seconds))
    }

    fn facts(rate: Rate) -> (bool, u64, u64, u64) {
        (rate.is_allowed, rate.remaining, rate.reset.as_secs(), rate.retry_after.as_secs())
    }

    #[test]
    fn a_window_allows_as_many_as_the_limit_and_its_counter_is_kept_for_the_next_one() {
        let limit = RateLimit::new(10, Duration::from_secs(60));
        let window = after(&limit, 45);
        assert_eq!((window.key(), window.asked(), window.cost()), (&b"a:10"[..], None, 1));
        assert_eq!(window.expiry(), Expiry::After(Duration::from_secs(76)));
        assert_eq!(facts(window.counted(0, 1)), (true, 9, 15, 0));
        assert_eq!(facts(window.counted(0, 10)), (true, 0, 15, 0));
        assert_eq!(facts(window.counted(0, 11)), (false, 0, 15, 15));
        assert_eq!(after(&limit, 59).key(), b"a:10");
        assert_eq!(after(&limit, 60).key(), b"a:11");
        let costly = limit.clone().cost(4);
        assert_eq!(facts(after(&costly, 0).counted(0, 12)), (false, 0, 60, 60));
    }

    /// The counters of a server wrap at 2^64, and a cost may be what somebody else says, such as the length of an upload.
    #[test]
    fn what_costs_more_than_the_limit_is_never_allowed_and_does_not_make_the_counter_begin_anew() {
        for cost in [11, 1 << 63, u64::MAX - 20, u64::MAX] {
            let limit = RateLimit::new(10, Duration::from_secs(60));
            let (costly, cheap) = (limit.clone().cost(cost), limit.cost(1));
            let mut counter = 10_u64;
            for _ in 0..8 {
                counter = counter.wrapping_add(after(&costly, 0).cost());
                assert!(!after(&costly, 0).counted(0, counter).is_allowed, "{cost}: {counter}");
                counter = counter.wrapping_add(after(&cheap, 0).cost());
                assert!(!after(&cheap, 0).counted(0, counter).is_allowed, "{cost}: {counter}");
            }
        }
    }

    #[test]
    fn of_the_window_before_the_part_counts_that_is_less_than_a_window_ago() {
        let limit = RateLimit::new(10, Duration::from_secs(60)).sliding();
        let judge = |seconds, before: &'static str, present: &'static str| {
            let counters = [before, present].map(|text| Some(Value::new(text.into(), 0)));
            after(&limit, seconds).judge(&counters).unwrap().map_err(facts)
        };
        assert_eq!(after(&limit, 0).asked().unwrap(), [b"a:9".to_vec(), b"a:10".to_vec()]);
        assert_eq!(after(&limit, 0).judge(&[None, None]), Ok(Ok(0)));
        assert_eq!(judge(0, "9", "0"), Ok(9));
        assert_eq!(judge(0, "10", "0"), Err((false, 0, 60, 6)));
        assert_eq!(judge(6, "10", "0"), Ok(10));
        assert_eq!(judge(30, "10", "4"), Ok(10));
        assert_eq!(judge(30, "10", "5"), Err((false, 0, 30, 6)));
        assert_eq!(judge(36, "10", "5"), Ok(10));
        // This window is full: in the next one it is the one before.
        assert_eq!(judge(30, "0", "10"), Err((false, 0, 30, 36)));
        assert!(after(&limit, 0).judge(&[Some(Value::new("x".into(), 0))]).is_err());
        assert_eq!(facts(after(&limit, 30).counted(10, 5)), (true, 0, 30, 0));
        assert_eq!(facts(after(&limit, 30).counted(10, 6)), (false, 0, 30, 12));
    }

    #[test]
    fn a_window_without_an_end_and_counts_without_bounds_overflow_nothing() {
        for window in [Duration::ZERO, Duration::from_secs(60), Duration::from_nanos(u64::MAX), Duration::MAX] {
            for (limit, cost) in [(0, 0), (1, 1), (u64::MAX, 1), (u64::MAX, u64::MAX)] {
                for limit in
                    [RateLimit::new(limit, window).cost(cost), RateLimit::new(limit, window).cost(cost).sliding()]
                {
                    let window = limit.window(b"a", UNIX_EPOCH + Duration::from_secs(1_800_000_000));
                    assert!(matches!(window.expiry(), Expiry::After(_)));
                    for (before, present) in [(0, 0), (u64::MAX, 0), (0, u64::MAX), (u64::MAX, u64::MAX)] {
                        let rate = window.counted(before, present);
                        assert_eq!(
                            rate.retry_after.is_zero(),
                            rate.is_allowed,
                            "{limit:?} {before} {present} {rate:?}"
                        );
                        let refused = window.rate(false, before, present, false);
                        assert!(
                            refused.retry_after <= window.left + limit.window,
                            "{limit:?} {before} {present} {refused:?}"
                        );
                    }
                }
            }
        }
    }

    #[test]
    fn after_the_wait_there_is_room() {
        for (limit, cost) in [(1, 1), (3, 2), (10, 1), (10, 10), (97, 13)] {
            let limit = RateLimit::new(limit, Duration::from_millis(61_003)).cost(cost).sliding();
            let counts = [0, 1, 5, 10, 50, 100, 1000];
            for (before, present) in counts.into_iter().flat_map(|before| counts.map(|present| (before, present))) {
                let at = UNIX_EPOCH + Duration::from_millis(61_003 * 7 + 22_222);
                let rate = limit.window(b"a", at).rate(false, before, present, false);
                let windows = [at, at + limit.window].map(|at| limit.window(b"a", at).key().to_vec());
                let later = limit.window(b"a", at + rate.retry_after);
                let (before, present) = match windows.iter().position(|window| window == later.key()) {
                    Some(0) => (before, present),
                    Some(_) => (present, 0),
                    None => (0, 0),
                };
                assert!(later.total(before, present) + cost <= limit.limit, "{limit:?} {before} {present} {rate:?}");
            }
        }
    }

    #[test]
    fn a_failure_of_the_cache_allows_or_refuses_and_a_mistake_is_an_error() {
        let limit = RateLimit::new(10, Duration::from_secs(60));
        assert_eq!(facts(after(&limit, 0).failed(Error::no_servers()).unwrap()), (true, 10, 60, 0));
        assert_eq!(
            facts(after(&limit.clone().allow_if_down(false), 0).failed(Error::no_servers()).unwrap()),
            (false, 0, 60, 60)
        );
        assert!(after(&limit, 0).failed(Error::closed()).is_err());
    }
}
