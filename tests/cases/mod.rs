//! The conformance cases: written once, in blocking Rust, and run through every client, which is `crate::subject`: those
//! that talk to a memcached on both kinds of server and over each [`Channel`], the others against servers that play a script.

mod admin;
mod batch;
#[path = "../certificates/mod.rs"]
mod certificates;
mod close;
mod closing;
mod codec;
mod condition;
mod connections;
mod counter;
mod credentials;
mod failure;
mod fetch;
mod fetch_many;
mod get;
mod gutter;
mod health;
mod item;
mod journal;
mod limits_and_locks;
mod many;
mod meta;
mod migration;
mod miss_on_error;
mod namespace;
mod near_cache;
mod noreply;
mod observer;
mod opentelemetry;
mod other_servers;
mod own_command;
mod protocol;
mod quiet;
mod replica_answers;
mod replicas;
mod restart;
mod scripted;
mod servers;
mod setting;
mod stats;
mod store;
mod streams;
mod survival;
mod table;
mod topology;
mod touch;
mod value;

use self::table::{Case, List};

/// Makes tests of the cases of a file, and lists them: `served` ones run on both kinds of server and over each channel,
/// `scripted` ones on servers that play a script. A case is skipped on a memcached that is older than its `since` or newer than
/// its `until`, and over a channel that it is `not_over`.
macro_rules! cases {
    (
        served { $($case:ident $(since $since:tt)? $(until $until:tt)? $(not_over [$($channel:ident)*])?),* $(,)? }
        scripted { $($scene:ident),* $(,)? }
    ) => {
        const SERVED: &[crate::cases::Case] = &[$(crate::cases::Case {
            name: stringify!($case),
            since: &[$($since)?],
            until: &[$($until)?],
            not_over: &[$($(crate::cases::servers::Channel::$channel),*)?],
        }),*];

        crate::cases::on! {
            [$($case)*]
            on_embedded = EMBEDDED[0], on_embedded_by_unix = EMBEDDED[1],
            on_embedded_by_tls = EMBEDDED[2], on_embedded_by_tls_with_password = EMBEDDED[3],
            on_memcached = MEMCACHED[0], on_memcached_by_unix = MEMCACHED[1],
            on_memcached_by_tls = MEMCACHED[2], on_memcached_by_tls_with_password = MEMCACHED[3],
        }

        mod on_script {
            $(#[test] fn $scene() { let _ran = crate::cases::table::Ran::scripted(); super::$scene(); })*
        }

        pub(super) const LIST: crate::cases::List = crate::cases::List {
            module: module_path!(),
            served: SERVED,
            scripted: &[$(stringify!($scene)),*],
        };
    };
}
use cases;

/// Tests of all cases, once for each place.
macro_rules! on {
    ($cases:tt $($module:ident = $server:ident[$channel:literal],)*) => {
        $(crate::cases::on_one! { $cases $module $server $channel })*
    };
}
use on;

macro_rules! on_one {
    ([$($case:ident)*] $module:ident $server:ident $channel:literal) => {
        mod $module {
            $(#[test] fn $case() {
                crate::cases::table::serve(super::$case, super::SERVED, stringify!($case), crate::cases::servers::$server[$channel]);
            })*
        }
    };
}
use on_one;

const LISTS: &[List] = &[
    admin::LIST,
    batch::LIST,
    close::LIST,
    codec::LIST,
    condition::LIST,
    connections::LIST,
    counter::LIST,
    credentials::LIST,
    failure::LIST,
    fetch::LIST,
    fetch_many::LIST,
    get::LIST,
    gutter::LIST,
    health::LIST,
    item::LIST,
    journal::LIST,
    limits_and_locks::LIST,
    many::LIST,
    meta::LIST,
    migration::LIST,
    miss_on_error::LIST,
    namespace::LIST,
    near_cache::LIST,
    noreply::LIST,
    observer::LIST,
    opentelemetry::LIST,
    other_servers::LIST,
    own_command::LIST,
    protocol::LIST,
    quiet::LIST,
    replica_answers::LIST,
    replicas::LIST,
    restart::LIST,
    scripted::LIST,
    stats::LIST,
    store::LIST,
    streams::LIST,
    survival::LIST,
    topology::LIST,
    touch::LIST,
    value::LIST,
];
