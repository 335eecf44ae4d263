//! What calls find out about servers, and the errors of those that are down.

use super::{Health, Router, ServerId};
use crate::error::{Error, FailedRequest, Landed};
use crate::key::Key;
use crate::observer::{ServerEvent, ServerStatus};
use crate::time::Instant;

impl Router {
    /// The status of a server, without connections: for authors of a transport, who add those.
    #[must_use]
    pub fn status(&self, id: ServerId) -> Option<ServerStatus> {
        Some(ServerStatus {
            server: self.server(id)?.clone(),
            is_up: !self.is_down(id),
            max_connections: 0,
            used_connections: 0,
            idle_connections: 0,
            in_flight: 0,
            waiting: 0,
        })
    }

    /// The error of a key that no server which is up may have.
    #[cold]
    pub(crate) fn all_down(&self, key: Key<'_>) -> Error {
        match (self.route(key), self.servers.len()) {
            (Err(error), _) => error,
            (Ok(id), 2..) if self.failover || self.gutter.is_some() || self.has_replicas() => {
                let (request, servers) = (FailedRequest::default(), self.servers.len());
                Error::AllDown { request, servers, cause: self.health.cause(id.index()) }
            }
            (Ok(id), _) => self.down(id),
        }
    }

    /// The error of a request to a server that is down.
    #[cold]
    pub(crate) fn down(&self, id: ServerId) -> Error {
        let cause = self.health.cause(id.index());
        self.at(id, Error::Down { request: FailedRequest::default(), cause })
    }

    /// Whether a call may use a server: `None` if not. `Some(None)` if it is up. A number if it is down and this call
    /// is the one that probes it.
    pub(crate) fn claim(&self, id: ServerId, now: Instant) -> Option<Option<u64>> {
        self.health.claim(id.index(), now)
    }

    /// Whether a server may be asked: it is up, or its retry is due.
    pub(crate) fn may_try(&self, id: ServerId, now: Instant) -> bool {
        self.health.may_try(id.index(), now)
    }

    /// Gives back the probe of a server that had no result.
    pub(crate) fn release(&self, id: ServerId, probe: u64) {
        self.health.release(id.index(), probe);
    }

    /// Reports that a server has answered.
    pub(crate) fn report_answer(&self, id: ServerId) {
        if !self.health.all_up() {
            self.tell(id, |health| health.succeeded(id.index()));
        }
    }

    /// Reports that a server has failed: when the request began and ended, and the number of the probe if it was one.
    pub(crate) fn report_failure(&self, id: ServerId, error: &Error, probe: Option<u64>, time: (Instant, Instant)) {
        let error = self.at(id, error.clone());
        self.tell(id, |health| health.failed(id.index(), error, probe, time));
    }

    /// Reports that a server was silent until a deadline, and all its callers were gone.
    pub(crate) fn report_silence(&self, id: ServerId, now: Instant) {
        let error = self.at(id, Error::timeout(Landed::NotSent));
        self.tell(id, |health| health.fell_silent(id.index(), error, now));
    }

    /// Reports an error line of a server.
    #[cold]
    pub(crate) fn on_error_line(&self, id: ServerId, line: &str, now: Instant) {
        self.closers.on_error_line(id.index(), line, now);
    }

    /// Whether no server has ever closed connections after errors.
    #[inline]
    pub(crate) fn has_no_closers(&self) -> bool {
        self.closers.is_empty()
    }

    /// Whether a server closes connections after errors for now, so that it is asked for one key at a time.
    pub(crate) fn is_closer(&self, id: ServerId, now: Instant) -> bool {
        self.closers.holds(id.index(), now)
    }

    /// Notes something about a server, and tells the observer if it went down or came back.
    fn tell(&self, id: ServerId, note: impl FnOnce(&Health) -> Option<ServerEvent>) {
        let incident = self.incidents.begin();
        let change = note(&self.health);
        match change {
            Some(_) => drop(incident),
            None => incident.cancel(),
        }
        if let (Some(change), Some(observer), Some(server)) = (change, &self.observer, self.server(id)) {
            observer.on_server_event(server, change);
        }
    }

    /// The same error with the name of its server.
    #[cold]
    pub(crate) fn at(&self, id: ServerId, error: Error) -> Error {
        match self.server(id) {
            Some(server) => error.at(server.shared_name()),
            None => error,
        }
    }
}
