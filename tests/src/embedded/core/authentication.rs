//! ASCII authentication: what a connection may ask before it has given a user and password.

use super::Core;
use super::dispatch::Answer;
use super::syntax::{Line, u32_of};

/// What a line leads to before authentication.
#[derive(Debug)]
pub(super) enum Request {
    /// The credentials follow: a block of this many bytes, and a line end.
    Credentials(usize),
    Refused(Answer),
}

impl Core {
    /// Whether clients have to give a user and password first.
    pub(super) fn asks_for_credentials(&self) -> bool {
        !self.config.credentials.is_empty()
    }

    /// Reads a line as `try_read_command_asciiauth` of memcached 1.6.18 does: a `set` of any key, or nothing it serves.
    pub(super) fn before_authentication(line: &[u8]) -> Request {
        let line = Line::split(line);
        let length = match line.words[..] {
            [b"set", _, _, _, length, ..] => u32_of(length),
            _ => None,
        };
        match length {
            Some(length) => Request::Credentials(length as usize),
            None => Request::Refused(alone("CLIENT_ERROR unauthenticated")),
        }
    }

    /// Checks the block of the credentials; `true` if the client is authenticated. Before 1.6.40 a password ends at its first blank.
    pub(super) fn authenticate(&mut self, block: &[u8]) -> (bool, Answer) {
        let Some(token) = block.strip_suffix(b"\r\n") else {
            return (false, alone("CLIENT_ERROR bad command line termination"));
        };
        let line = Line::split(token);
        let given = match line.words[..] {
            // The password is all that follows the first blank.
            _ if self.is_since((1, 6, 40)) => token.contains(&b' ').then(|| token.to_vec()),
            [user, password, ..] => Some([user, b" ", password].concat()),
            _ => None,
        };
        let Some(given) = given else {
            return (false, alone("CLIENT_ERROR bad authentication token format"));
        };
        let counts = &mut self.store.counts;
        counts.auth_cmds += 1;
        if self.config.credentials.contains(&given) {
            return (true, alone("STORED"));
        }
        counts.auth_errors += 1;
        (false, alone("CLIENT_ERROR authentication failure"))
    }
}

/// An answer in the place of all that wait: memcached has one response until a client is authenticated.
fn alone(text: &str) -> Answer {
    Answer { alone: true, ..Answer::line(text) }
}
