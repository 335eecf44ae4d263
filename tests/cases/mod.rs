//! The conformance cases: written once, in blocking Rust, and run through every client, which is `crate::subject`:
//! those that talk to a memcached on both kinds of server, the others against servers that play a script.

mod admin;
mod batch;
#[path = "../certificates/mod.rs"]
mod certificates;
mod close;
mod closing;
mod condition;
mod connections;
mod counter;
mod credentials;
mod failure;
mod get;
mod health;
mod item;
mod many;
mod miss_on_error;
mod noreply;
mod observer;
mod protocol;
mod restart;
mod scripted;
mod servers;
mod setting;
mod stats;
mod store;
mod touch;
mod value;

use std::io::Write as _;
use std::sync::atomic::{AtomicUsize, Ordering};

use memcached2_testkit::{Memcached, MemcachedVersion};

use self::servers::Kind;

/// Makes tests of the cases of a file, and counts them: `served` ones run on both kinds of server, `scripted` ones on servers
/// that play a script. A case is skipped on a memcached that is older than its `since` or newer than its `until`.
macro_rules! cases {
    (
        served { $($case:ident $(since $since:tt)? $(until $until:tt)?),* $(,)? }
        scripted { $($scene:ident),* $(,)? }
    ) => {
        mod on_embedded {
            $(#[test] fn $case() { crate::cases::serve_embedded(super::$case); })*
        }

        mod on_memcached {
            $(#[test] fn $case() {
                crate::cases::serve_memcached(super::$case, stringify!($case), &[$($since)?], &[$($until)?]);
            })*
        }

        mod on_tls {
            $(#[test] fn $case() {
                crate::cases::serve_tls(super::$case, stringify!($case), &[$($since)?], &[$($until)?]);
            })*
        }

        mod on_script {
            $(#[test] fn $scene() { let _ran = crate::cases::Ran; super::$scene(); })*
        }

        pub(super) const COUNT: super::Count = super::Count::of(&[$(stringify!($case)),*], &[$(stringify!($scene)),*]);
    };
}
use cases;

/// How many cases a file has.
#[derive(Debug, Clone, Copy)]
struct Count {
    served: usize,
    scripted: usize,
}

impl Count {
    const fn of(served: &[&str], scripted: &[&str]) -> Self {
        Self { served: served.len(), scripted: scripted.len() }
    }
}

const COUNTS: [Count; 22] = [
    admin::COUNT,
    batch::COUNT,
    close::COUNT,
    condition::COUNT,
    connections::COUNT,
    counter::COUNT,
    credentials::COUNT,
    failure::COUNT,
    get::COUNT,
    health::COUNT,
    item::COUNT,
    many::COUNT,
    miss_on_error::COUNT,
    noreply::COUNT,
    observer::COUNT,
    protocol::COUNT,
    restart::COUNT,
    scripted::COUNT,
    stats::COUNT,
    store::COUNT,
    touch::COUNT,
    value::COUNT,
];

fn serve_embedded(case: fn(Kind)) {
    let _ran = Ran;
    case(Kind::Embedded);
}

/// `since` and `until` hold the oldest and the newest version that the case can run on, if there is one.
fn serve_memcached(case: fn(Kind), name: &'static str, since: &[MemcachedVersion], until: &[MemcachedVersion]) {
    let _ran = Ran;
    if since.iter().any(|oldest| Memcached::is_too_old_for(name, *oldest))
        || until.iter().any(|newest| Memcached::is_too_new_for(name, *newest))
    {
        SKIPPED.fetch_add(1, Ordering::Relaxed);
        return;
    }
    case(Kind::Memcached(name));
}

fn serve_tls(case: fn(Kind), name: &'static str, since: &[MemcachedVersion], until: &[MemcachedVersion]) {
    let _ran = Ran;
    if Memcached::has_no_tls_for(name)
        || since.iter().any(|oldest| Memcached::is_too_old_for(name, *oldest))
        || until.iter().any(|newest| Memcached::is_too_new_for(name, *newest))
    {
        SKIPPED_TLS.fetch_add(1, Ordering::Relaxed);
        return;
    }
    case(Kind::Tls(name));
}

static SKIPPED_TLS: AtomicUsize = AtomicUsize::new(0);
static SKIPPED: AtomicUsize = AtomicUsize::new(0);

/// Dropped at the end of each case; after the last one it prints how many there were.
struct Ran;

impl Drop for Ran {
    fn drop(&mut self) {
        static DONE: AtomicUsize = AtomicUsize::new(0);
        let name = crate::subject::NAME;
        let served: usize = COUNTS.iter().map(|count| count.served).sum();
        let scripted: usize = COUNTS.iter().map(|count| count.scripted).sum();
        if DONE.fetch_add(1, Ordering::Relaxed) + 1 == 3 * served + scripted {
            let (skipped, skipped_tls) = (SKIPPED.load(Ordering::Relaxed), SKIPPED_TLS.load(Ordering::Relaxed));
            let told = format!(
                "{name}: {served} cases ran on the embedded server, {} on memcached ({skipped} skipped), {} by TLS \
                 ({skipped_tls} skipped), {scripted} on scripted servers",
                served - skipped,
                served - skipped_tls
            );
            // Unlike `eprintln!`, this is shown for tests that pass, too.
            let _ = writeln!(std::io::stderr(), "{told}");
        }
    }
}
