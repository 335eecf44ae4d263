//! Other shapes of the client: expanded from what is written once for all transports.

use crate::client::Client;
use crate::records::Records;

memcached2_proto::item!([] []
    /// ```no_run
    /// use memcached2_sync::{Client, Error, Expiry};
    ///
    /// /// Adds a name to a list, while other programs do the same.
    /// fn push(client: &Client, name: &str) -> Result<(), Error> {
    ///     while let Some(mut list) = client.item_with_cas("list")? {
    ///         let longer = format!("{},{name}", list.value().as_str()?);
    ///         match list.set(longer, Expiry::Never) {
    ///             Err(Error::Exists { .. }) => {} // Somebody else was faster: fetch it again.
    ///             stored => return stored,
    ///         }
    ///     }
    ///     client.add("list", name, Expiry::Never)
    /// }
    /// ```
);
memcached2_proto::miss_on_error!([] [] FnOnce
    /// ```no_run
    /// use std::time::Duration;
    /// use memcached2_sync::{Client, Error, OrMiss};
    ///
    /// fn page(client: &Client) -> Result<String, Error> {
    ///     let visits = client.incr("visits", 1).or_miss()?; // A single call.
    ///     let render = || Ok::<_, Error>(format!("<p>{visits:?}"));
    ///     let cache = client.miss_on_error(); // A client, which can be kept.
    ///     let page = cache.cache("page:1", Duration::from_secs(60), render)?;
    ///     Ok(page.as_str()?.to_owned())
    /// }
    /// ```
);
memcached2_proto::mapping!([] []);
memcached2_proto::one_server!([] []
    /// ```no_run
    /// use memcached2_sync::proto::command::SlabsAutomove;
    /// use memcached2_sync::{Client, Error};
    ///
    /// fn tune(client: &Client) -> Result<(), Error> {
    ///     let cache1 = client.on("cache1:11211")?;
    ///     println!("{:?} items", cache1.stats()?.number("curr_items"));
    ///     cache1.slabs_automove(SlabsAutomove::On)
    /// }
    ///
    /// fn print_large_items(client: &Client) -> Result<(), Error> {
    ///     for item in client.on("cache1:11211")?.metadump() {
    ///         let item = item?;
    ///         if item.size > Some(100_000) {
    ///             println!("{} expires at {:?}", item.key.escape_ascii(), item.exptime);
    ///         }
    ///     }
    ///     Ok(())
    /// }
    /// ```
);
memcached2_proto::streams!([] []);
memcached2_proto::topology!([] []
    /// ```no_run
    /// use std::time::Duration;
    /// use memcached2_sync::proto::topology::ServerSource;
    /// use memcached2_sync::Client;
    ///
    /// let endpoint = "cache.cfg.use1.cache.amazonaws.com:11211";
    /// let client = Client::new([endpoint])?;
    /// let mut source = ServerSource::cluster(endpoint)?;
    /// client.refresh_servers(&mut source)?;
    /// let follower = client.clone();
    /// std::thread::spawn(move || {
    ///     follower.follow_servers(source, Duration::from_secs(60), |refreshed| {
    ///         if let Err(error) = refreshed {
    ///             eprintln!("the list of servers is as old as before: {error}");
    ///         }
    ///     });
    /// });
    /// # Ok::<(), memcached2_sync::Error>(())
    /// ```
);
memcached2_proto::fetch!([] [] FnOnce FnMut
    /// ```no_run
    /// use std::time::Duration;
    /// use memcached2_sync::proto::fetch::FetchPolicy;
    /// use memcached2_sync::{Client, Error};
    ///
    /// fn front_page(client: &Client) -> Result<String, Error> {
    ///     let policy = FetchPolicy::new(Duration::from_secs(3600)).refresh_before(Duration::from_secs(60));
    ///     let render = || Ok::<_, Error>("<html>".to_owned());
    ///     let page = client.fetch("page:front", &policy, render)?;
    ///     Ok(page.as_str()?.to_owned())
    /// }
    /// ```
);
memcached2_proto::namespace!([] [] FnOnce
    /// ```no_run
    /// use std::time::Duration;
    /// use memcached2_sync::{Client, Error};
    ///
    /// fn example(client: &Client) -> Result<(), Error> {
    ///     let users = client.namespace("users")?;
    ///     users.set("42", "Ada", Duration::from_secs(3600))?;
    ///     assert!(users.get("42")?.is_some());
    ///     users.clear()?;
    ///     assert_eq!(users.get("42")?, None);
    ///     Ok(())
    /// }
    /// ```
);
memcached2_proto::rate_limit!([] []
    /// ```no_run
    /// use std::time::Duration;
    /// use memcached2_sync::proto::rate_limit::RateLimit;
    /// use memcached2_sync::{Client, Error};
    ///
    /// /// Ten attempts to log in per minute.
    /// fn may_log_in(client: &Client, address: &str) -> Result<bool, Error> {
    ///     let limit = RateLimit::new(10, Duration::from_secs(60)).sliding();
    ///     Ok(client.limit_rate(format!("login:{address}"), &limit)?.is_allowed)
    /// }
    /// ```
);
memcached2_proto::lock!([] []
    /// ```no_run
    /// use std::time::Duration;
    /// use memcached2_sync::{Client, Error};
    ///
    /// /// Sends the report of a day, unless another program does.
    /// fn report(client: &Client, day: &str) -> Result<(), Error> {
    ///     if let Some(lock) = client.try_lock(format!("lock:report:{day}"), Duration::from_secs(60))? {
    ///         // ..
    ///         lock.release()?;
    ///     }
    ///     Ok(())
    /// }
    /// ```
);
#[cfg(feature = "near-cache")]
memcached2_proto::near_cache!([] [] FnOnce
    /// ```no_run
    /// use std::time::Duration;
    /// use memcached2_sync::proto::near_cache::NearCachePolicy;
    /// use memcached2_sync::{Client, Error};
    ///
    /// fn example(client: &Client) -> Result<(), Error> {
    ///     let near = client.near_cache(&NearCachePolicy::new(64 << 20, Duration::from_secs(1)));
    ///     near.set("page:front", "<html>", Duration::from_secs(3600))?;
    ///     for _ in 0..1000 {
    ///         // The first one asks the server.
    ///         assert!(near.get("page:front")?.is_some());
    ///     }
    ///     Ok(())
    /// }
    /// ```
);
#[cfg(feature = "other-clients")]
memcached2_proto::values!([] [] FnOnce
    /// ```
    /// use std::time::Duration;
    /// use memcached2_sync::{Client, Codec, Error};
    ///
    /// # fn main() -> Result<(), Error> {
    /// # let server = memcached2_testkit::EmbeddedServer::start();
    /// # let client = Client::new([server.address()])?;
    /// const HOUR: Duration = Duration::from_secs(3600);
    ///
    /// let shared = client.values(Codec::PyLibmc);
    /// shared.set("visits", 17, HOUR)?; // As client.set("visits", 17, time=3600) of pylibmc.
    /// assert_eq!(shared.get_as::<u64>("visits")?, Some(17));
    /// assert_eq!(client.get("visits")?.map(|value| value.flags), Some(4));
    /// # Ok(())
    /// # }
    /// ```
);
