//! Servers to test a memcached client with.
//!
//! * [`ScriptedServer`] plays a script and fails the test when the client does not follow it: the place to try early
//!   closes, split replies, stalls and lies.
//! * [`EmbeddedServer`] answers as memcached does, within the process of the test, with its own clock. It is slow, full or
//!   unreliable when a test sets [`Faults`], and says [what was asked](EmbeddedServer::asked). Its [core](embedded) does so without
//!   sockets.
//! * [`Memcached`] is a real memcached on a free port, gone when it is dropped. [`ReservedPort`] is such a port for another server.
//! * [`Transcript`]s are conversations in `C:` and `S:` lines, which drive a protocol core or a scripted server.
//! * [`Rng`] draws the same random numbers for the same seed, so that a failure can be repeated.
//!
//! In a test kit a panic is the failure of the test, and its message says what happened.
#![cfg_attr(docsrs, feature(doc_cfg))]
#![allow(clippy::panic, clippy::expect_used)]

pub mod embedded;
mod memcached;
mod rng;
mod scripted;
mod transcript;

pub use self::embedded::clock::Clock;
pub use self::embedded::core::{Request, Saboteur};
pub use self::embedded::faults::Faults;
pub use self::embedded::server::EmbeddedServer;
pub use self::embedded::setup::EmbeddedSetup;
pub use self::memcached::{Memcached, MemcachedSetup, MemcachedVersion, ReservedPort};
pub use self::rng::Rng;
pub use self::scripted::{Gate, ScriptedServer, Session};
pub use self::transcript::{Transcript, TranscriptError, Turn, load, read};

/// Asserts that a value matches a pattern, with a guard if need be: what an error is compared by.
///
/// ```
/// let port = "eleven".parse::<u16>();
/// memcached2_testkit::assert_matches!(port, Err(error) if error.to_string().contains("invalid digit"));
/// ```
#[macro_export]
macro_rules! assert_matches {
    ($value:expr, $pattern:pat $(if $guard:expr)? $(, $($message:tt)+)?) => {
        match $value {
            $pattern $(if $guard)? => {}
            ref other => panic!(
                "{other:?} does not match {}{}",
                stringify!($pattern $(if $guard)?),
                String::new() $(+ ": " + &format!($($message)+))?
            ),
        }
    };
}

/// The example of the README, compiled and run as a test.
#[cfg(doctest)]
#[doc = include_str!("../README.md")]
struct Readme;
