//! A call under way, whatever it asks for.

use std::io::ErrorKind;
use std::time::Duration;

use memcached2_proto::call::{Call, Fault};
use memcached2_proto::routing::ServerId;
use memcached2_proto::{Error, Now, Operation, Reply, Router};

use super::world::TIMEOUT;

/// A call as the simulation sees it, whatever it asks for.
pub(super) trait Pending<'r> {
    fn server(&self) -> Option<ServerId>;
    fn answer(&mut self, reply: Reply);
    fn fail(&mut self, error: &Error, fault: Fault);
    /// Whether there is another round.
    fn end_round(&mut self, router: &'r Router, now: Now, is_up: &dyn Fn(ServerId) -> bool) -> bool;
    fn finish(self: Box<Self>) -> Result<(), Error>;
}

impl<'r, O: Operation> Pending<'r> for Call<'r, O> {
    fn server(&self) -> Option<ServerId> {
        self.batch(0).map(|batch| batch.server())
    }

    fn answer(&mut self, reply: Reply) {
        if let Some(at) = self.sub_requests().iter().position(|next| next.is_open()) {
            Call::answer(self, at, reply, true);
        }
    }

    fn fail(&mut self, error: &Error, fault: Fault) {
        if let Some(at) = self.sub_requests().iter().position(|next| next.is_open()) {
            Call::fail(self, at, error, fault);
        }
    }

    fn end_round(&mut self, router: &'r Router, now: Now, is_up: &dyn Fn(ServerId) -> bool) -> bool {
        if !Call::end_round(self, || now.monotonic) {
            return false;
        }
        // The deletes of the journal take no time here.
        if let Some(replay) = self.replay(Duration::ZERO, TIMEOUT) {
            let mut call = Call::new(replay, router, now);
            loop {
                while let Some(at) = call.sub_requests().iter().position(|next| next.is_open()) {
                    match is_up(call.sub_requests()[at].server()) {
                        true => call.answer(at, Reply::Deleted, true),
                        false => call.fail(at, &refused(), Fault::Server),
                    }
                }
                if !call.end_round(|| now.monotonic) {
                    break;
                }
            }
        }
        true
    }

    fn finish(self: Box<Self>) -> Result<(), Error> {
        Call::finish(*self).map(drop)
    }
}

pub(super) fn refused() -> Error {
    Error::connect(&ErrorKind::ConnectionRefused.into())
}
