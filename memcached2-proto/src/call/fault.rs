//! What a failure speaks against.

use crate::error::{Error, Landed};
use crate::routing::ServerId;

/// What a failure speaks against.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Fault {
    /// Nothing but the request itself, the client, or a slow network.
    Nobody,
    /// The connection: it was most likely dead before the request was written. Another one may do.
    Connection,
    /// The server, which is left alone for a while ([`ReconnectPolicy`](crate::ReconnectPolicy)).
    Server,
}

impl Fault {
    /// What an error speaks against, as far as it shows by itself.
    #[must_use]
    pub fn of(error: &Error) -> Self {
        match error {
            // It answers, and has others to answer.
            error if error.is_server_full() => Self::Nobody,
            Error::Connect { .. } | Error::Tls { .. } | Error::Disconnected { .. } | Error::Protocol { .. } => {
                Self::Server
            }
            // What was never sent, because others had taken all the time, says nothing.
            Error::Timeout { landed, .. } if *landed != Landed::NotSent => Self::Server,
            _ => Self::Nobody,
        }
    }
}

/// A server that has failed, and how.
#[derive(Debug)]
pub(super) struct ServerFault {
    pub(super) server: ServerId,
    pub(super) error: Error,
}

#[cfg(test)]
mod tests {
    use std::io::ErrorKind;
    use std::sync::Arc;

    use super::*;
    use crate::reply::error_line;

    #[test]
    fn a_request_that_was_not_sent_in_time_says_nothing_about_its_server() {
        for (error, fault) in [
            (Error::timeout(Landed::NotSent), Fault::Nobody),
            (Error::timeout(Landed::Unknown), Fault::Server),
            (Error::disconnected("gone"), Fault::Server),
            (Error::connect(&ErrorKind::TimedOut.into()), Fault::Server),
            (Error::connect(&ErrorKind::ResourceBusy.into()), Fault::Nobody),
            (Error::protocol("nonsense"), Fault::Server),
            (error_line::refusal(&Arc::from("ERROR")), Fault::Nobody),
            (Error::overloaded(), Fault::Nobody),
            // It answers. On another server, the keys would be missing.
            (Error::credentials_refused("CLIENT_ERROR authentication failure"), Fault::Nobody),
            (Error::credentials_not_wanted(), Fault::Nobody),
            (Error::no_credentials("the vault is closed".into()), Fault::Nobody),
            (Error::not_stored(), Fault::Nobody),
        ] {
            assert_eq!(Fault::of(&error), fault, "{error:?}");
        }
    }
}
