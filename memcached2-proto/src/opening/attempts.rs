//! Connecting to one of several addresses: which is next, and how long it may take.

use std::io::{self, ErrorKind};
use std::net::SocketAddr;
use std::sync::Arc;

use crate::time::Instant;

/// The addresses of a server, tried one after the other until one of them accepts the connection.
///
/// They share one time: each gets an equal part of what is left, so that one that does not answer leaves enough for those
/// after it.
#[derive(Debug)]
pub(super) struct ConnectAttempts {
    addresses: Arc<[SocketAddr]>,
    next: usize,
    /// When the time of all of them is over.
    deadline: Instant,
    /// Why the last attempt failed.
    error: Option<io::Error>,
}

impl ConnectAttempts {
    /// Attempts at `addresses`, in this order, which may take no longer than until `deadline` together.
    pub(super) fn new(addresses: Arc<[SocketAddr]>, deadline: Instant) -> Self {
        Self { addresses, next: 0, deadline, error: None }
    }

    /// The address to connect to now, and until when that may take, which is later than `now`.
    ///
    /// # Errors
    ///
    /// The last failure, if every address has failed; [`ErrorKind::TimedOut`] if the time is over before that, and
    /// [`ErrorKind::NotFound`] if there is no address.
    pub(super) fn next_address(&mut self, now: Instant) -> io::Result<(SocketAddr, Instant)> {
        let rest = self.addresses.get(self.next..).unwrap_or_default();
        let Some(address) = rest.first() else {
            return Err(self.error.take().unwrap_or_else(|| ErrorKind::NotFound.into()));
        };
        let left = self.deadline.saturating_duration_since(now) / u32::try_from(rest.len()).unwrap_or(u32::MAX);
        if left.is_zero() {
            return Err(ErrorKind::TimedOut.into());
        }
        self.next += 1;
        Ok((*address, now + left))
    }

    /// Sets until when all of them together may take.
    pub(super) fn set_deadline(&mut self, deadline: Instant) {
        self.deadline = deadline;
    }

    /// Notes why the address that was tried last cannot be connected to.
    pub(super) fn failed(&mut self, error: io::Error) {
        self.error = Some(error);
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;

    const TIMEOUT: Duration = Duration::from_millis(600);

    fn attempts(count: u16, started: Instant, timeout: Duration) -> ConnectAttempts {
        let address = |port| SocketAddr::from(([127, 0, 0, 1], port));
        ConnectAttempts::new((0..count).map(address).collect(), started + timeout)
    }

    #[test]
    fn addresses_share_the_time_that_is_left() {
        let started = Instant::ZERO;
        // How many milliseconds each attempt takes, and how many it may take.
        for (taken, expected) in [
            ([0, 0, 0], [200, 300, 600]),
            ([200, 200, 200], [200, 200, 200]),
            ([100, 0, 0], [200, 250, 500]),
            // Longer than it may.
            ([300, 200, 0], [200, 150, 100]),
        ] {
            let (mut attempts, mut now) = (attempts(3, started, TIMEOUT), started);
            for (port, (taken, expected)) in taken.into_iter().zip(expected).enumerate() {
                let (address, by) = attempts.next_address(now).unwrap();
                assert_eq!((usize::from(address.port()), by - now), (port, Duration::from_millis(expected)));
                now += Duration::from_millis(taken);
            }
        }
    }

    #[test]
    fn the_failure_of_the_last_address_is_reported() {
        let started = Instant::ZERO;
        let mut attempts = attempts(2, started, TIMEOUT);
        for kind in [ErrorKind::ConnectionRefused, ErrorKind::ConnectionReset] {
            attempts.next_address(started).unwrap();
            attempts.failed(kind.into());
        }
        assert_eq!(attempts.next_address(started).unwrap_err().kind(), ErrorKind::ConnectionReset);
    }

    #[test]
    fn no_address_is_not_found_and_no_time_is_a_timeout() {
        let started = Instant::ZERO;
        let kind = |count, timeout, now| attempts(count, started, timeout).next_address(now).map_err(|e| e.kind());
        assert_eq!(kind(0, TIMEOUT, started), Err(ErrorKind::NotFound));
        assert_eq!(kind(2, Duration::ZERO, started), Err(ErrorKind::TimedOut));
        // Also when a look-up of the name has used it up.
        assert_eq!(kind(2, TIMEOUT, started + TIMEOUT), Err(ErrorKind::TimedOut));
    }
}
