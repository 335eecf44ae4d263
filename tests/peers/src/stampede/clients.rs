//! The clients that fetch.

use std::convert::Infallible;
use std::future::Future;
use std::time::Duration;

use memcache::exp::{AsyncMemcache, Ttl};
use memcached2_tokio::proto::command::meta::MetaDelete;
use memcached2_tokio::proto::fetch::FetchPolicy;
use memcached2_tokio::{Error, Protocol};
use tokio::sync::Mutex;

use super::LEASE;
use crate::items::options;

/// For how long a computed value is stored.
const EXPIRY: Duration = Duration::from_secs(60);
/// In this time before its end it is computed again.
const REFRESH: Duration = Duration::from_secs(30);
/// For how long an old value is stored: it is to be computed again.
const OLD_EXPIRY: Duration = Duration::from_secs(20);

/// Who takes part; the table in `stampede.rs` says what each one is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Kind {
    Tokio,
    TokioClassic,
    MemcacheExp,
    GetThenSet,
}

impl Kind {
    pub(super) const ALL: [Self; 4] = [Self::Tokio, Self::TokioClassic, Self::MemcacheExp, Self::GetThenSet];

    /// Finds the client of a name.
    pub(super) fn parse(name: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|kind| kind.name() == name)
    }

    /// Returns the name in the table, and on the command line of a program.
    pub(super) fn name(self) -> &'static str {
        match self {
            Self::Tokio => "tokio",
            Self::TokioClassic => "tokio-classic",
            Self::MemcacheExp => "memcache-exp",
            Self::GetThenSet => "get-then-set",
        }
    }
}

/// A client; its clones share what it has.
#[derive(Debug, Clone)]
pub(super) enum Client {
    Own(memcached2_tokio::Client),
    Exp(AsyncMemcache),
    GetThenSet(memcached2_tokio::Client),
}

impl Client {
    pub(super) async fn new(kind: Kind, server: &str) -> Self {
        let own = |options| memcached2_tokio::Client::with_options([server], options).expect("a server");
        match kind {
            Kind::Tokio => Self::Own(own(options())),
            Kind::TokioClassic => Self::Own(own(options().protocol(Protocol::Classic))),
            Kind::GetThenSet => Self::GetThenSet(own(options())),
            Kind::MemcacheExp => {
                // As patient as the other ones.
                let patience = Duration::from_secs(30);
                let builder = AsyncMemcache::builder().timeout(patience).connect_timeout(patience);
                Self::Exp(builder.connect_async([server]).await.expect("a server"))
            }
        }
    }

    /// Fetches the value of a key, which is computed if there is none.
    pub(super) async fn fetch(&self, key: &str, compute: impl Future<Output = String> + Send + 'static) -> String {
        let value = match self {
            Self::Exp(client) => {
                let freshness = Ttl::from(EXPIRY).refresh_ahead(REFRESH);
                let compute = async { Ok::<_, Infallible>(compute.await) };
                return client.fetch(key, freshness, compute).await.expect("a value");
            }
            Self::Own(client) => {
                let policy = FetchPolicy::new(EXPIRY).refresh_before(REFRESH).lease(LEASE);
                // The computation may run more than once, a future only once: here it never does.
                let compute = Mutex::new(Some(Box::pin(compute)));
                let compute = async || Ok::<_, Error>(compute.lock().await.take().expect("it runs once").await);
                client.fetch(key, &policy, compute).await
            }
            Self::GetThenSet(client) => match client.get(key).await.expect("an answer") {
                Some(value) => Ok(value),
                None => {
                    let value = compute.await;
                    client.set(key, &value, EXPIRY).await.expect("stored");
                    return value;
                }
            },
        };
        value.and_then(|value| value.as_str().map(str::to_owned)).expect("a value")
    }

    /// Fetches what is stored.
    pub(super) async fn get(&self, key: &str) -> Option<String> {
        match self {
            Self::Exp(client) => client.get(key).await.expect("an answer"),
            Self::Own(client) | Self::GetThenSet(client) => {
                client.get(key).await.expect("an answer").map(|value| value.as_str().expect("a text").to_owned())
            }
        }
    }

    pub(super) async fn delete(&self, key: &str) {
        match self {
            Self::Exp(client) => client.delete(key).await.expect("an answer"),
            Self::Own(client) | Self::GetThenSet(client) => drop(client.delete(key).await.expect("an answer")),
        }
    }

    /// Stores a value that is to be computed again soon.
    pub(super) async fn store(&self, key: &str, value: &str) {
        match self {
            Self::Exp(client) => client.set(key, value, OLD_EXPIRY).await.expect("stored"),
            Self::Own(client) | Self::GetThenSet(client) => client.set(key, value, OLD_EXPIRY).await.expect("stored"),
        }
    }

    /// Marks a value as stale.
    pub(super) async fn invalidate(&self, key: &str) {
        match self {
            Self::Exp(client) => client.invalidate(key, EXPIRY).await.expect("an answer"),
            Self::Own(client) | Self::GetThenSet(client) => {
                let invalidate = MetaDelete::new(key).expect("a key").invalidate().expiry(EXPIRY);
                assert!(client.run(invalidate).await.expect("an answer").is_done());
            }
        }
    }
}
