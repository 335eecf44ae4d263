//! Which events an observer wants.

/// Which of the events that each call makes an observer wants: see [`Observer::interest`](crate::Observer::interest).
///
/// ```
/// use memcached2_proto::Observer;
/// use memcached2_proto::observer::{Interest, OperationEvent};
///
/// #[derive(Debug)]
/// struct SlowCalls;
///
/// impl Observer for SlowCalls {
///     fn interest(&self) -> Interest {
///         Interest::OPERATIONS
///     }
///
///     fn on_operation(&self, event: &OperationEvent<'_>) {
///         if event.time.as_millis() > 100 {
///             println!("{} took {:?}", event.name(), event.time);
///         }
///     }
/// }
/// ```
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Interest {
    requests: bool,
    operations: bool,
}

impl Interest {
    /// Requests and operations: what an observer wants unless it says otherwise.
    pub const ALL: Self = Self { requests: true, operations: true };
    /// Requests alone: [`Observer::on_request`](crate::Observer::on_request).
    pub const REQUESTS: Self = Self { operations: false, ..Self::ALL };
    /// Operations alone: [`Observer::on_operation`](crate::Observer::on_operation).
    pub const OPERATIONS: Self = Self { requests: false, ..Self::ALL };
    /// Neither: an observer of servers, connections and clients, which costs a call nothing.
    pub const NONE: Self = Self { requests: false, operations: false };

    /// What one or the other wants: for an observer that calls others.
    #[must_use]
    pub const fn or(self, other: Self) -> Self {
        Self { requests: self.requests || other.requests, operations: self.operations || other.operations }
    }

    /// Whether requests are wanted.
    #[must_use]
    #[inline]
    pub const fn has_requests(self) -> bool {
        self.requests
    }

    /// Whether operations are wanted.
    #[must_use]
    #[inline]
    pub const fn has_operations(self) -> bool {
        self.operations
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn several_observers_want_what_any_of_them_wants() {
        for (one, other, both) in [
            (Interest::NONE, Interest::NONE, Interest::NONE),
            (Interest::NONE, Interest::REQUESTS, Interest::REQUESTS),
            (Interest::OPERATIONS, Interest::NONE, Interest::OPERATIONS),
            (Interest::OPERATIONS, Interest::OPERATIONS, Interest::OPERATIONS),
            (Interest::OPERATIONS, Interest::REQUESTS, Interest::ALL),
            (Interest::ALL, Interest::NONE, Interest::ALL),
        ] {
            assert_eq!((one.or(other), other.or(one)), (both, both));
        }
    }
}
