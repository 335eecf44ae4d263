//! Ending a server: `shutdown`.

use std::time::Duration;

use super::{StreamCommand, no_record};
use crate::error::Error;

/// Ends a server, and with it all that it has stored: `shutdown`, which it accepts only if it was started with `-A`.
///
/// The server answers by closing the connection. So this has a connection of its own: one that a program has used before may have been closed
/// for another reason.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum Shutdown {
    /// It ends as after SIGINT; needs memcached 1.4.16.
    Now,
    /// It ends as after SIGUSR1, and keeps what is to be used after a restart (`-e`): `shutdown graceful`; needs memcached 1.6.9.
    Graceful,
}

impl StreamCommand for Shutdown {
    type Record = ();

    fn name(&self) -> &'static str {
        "shutdown"
    }

    fn line(&self) -> Result<String, Error> {
        Ok(match self {
            Self::Now => "shutdown".to_owned(),
            Self::Graceful => "shutdown graceful".to_owned(),
        })
    }

    fn read(&self, line: &[u8]) -> Result<Option<()>, Error> {
        Err(no_record(line, "the end of the connection"))
    }

    /// That of a call.
    fn idle_timeout(&self) -> Option<Duration> {
        Some(Duration::from_secs(10))
    }

    fn ends_in_close(&self) -> bool {
        true
    }
}
