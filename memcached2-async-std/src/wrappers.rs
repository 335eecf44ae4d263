//! Other shapes of the client: expanded from what is written once for all transports.

use memcached2_proto::shared::Records;

use crate::client::Client;

memcached2_proto::item!([async] [.await]
    /// ```no_run
    /// use memcached2_async_std::{Client, Error, Expiry};
    ///
    /// /// Adds a name to a list, while other programs do the same.
    /// async fn push(client: &Client, name: &str) -> Result<(), Error> {
    ///     while let Some(mut list) = client.item_with_cas("list").await? {
    ///         let longer = format!("{},{name}", list.value().as_str()?);
    ///         match list.set(longer, Expiry::Never).await {
    ///             Err(Error::Exists { .. }) => {} // Somebody else was faster: fetch it again.
    ///             stored => return stored,
    ///         }
    ///     }
    ///     client.add("list", name, Expiry::Never).await
    /// }
    /// ```
);
memcached2_proto::miss_on_error!([async] [.await] AsyncFnOnce
    /// ```no_run
    /// use std::time::Duration;
    /// use memcached2_async_std::{Client, Error, OrMiss};
    ///
    /// async fn page(client: &Client) -> Result<String, Error> {
    ///     let visits = client.incr("visits", 1).await.or_miss()?; // A single call.
    ///     let render = async || Ok::<_, Error>(format!("<p>{visits:?}"));
    ///     let cache = client.miss_on_error(); // A client, which can be kept.
    ///     let page = cache.cache("page:1", Duration::from_secs(60), render).await?;
    ///     Ok(page.as_str()?.to_owned())
    /// }
    /// ```
);
memcached2_proto::mapping!([async] [.await]);
memcached2_proto::one_server!([async] [.await]
    /// ```no_run
    /// use memcached2_async_std::proto::command::SlabsAutomove;
    /// use memcached2_async_std::{Client, Error};
    ///
    /// async fn tune(client: &Client) -> Result<(), Error> {
    ///     let cache1 = client.on("cache1:11211")?;
    ///     println!("{:?} items", cache1.stats().await?.number("curr_items"));
    ///     cache1.slabs_automove(SlabsAutomove::On).await
    /// }
    ///
    /// async fn print_large_items(client: &Client) -> Result<(), Error> {
    ///     let mut dump = client.on("cache1:11211")?.metadump();
    ///     while let Some(item) = dump.next().await {
    ///         let item = item?;
    ///         if item.size > Some(100_000) {
    ///             println!("{} expires at {:?}", item.key.escape_ascii(), item.exptime);
    ///         }
    ///     }
    ///     Ok(())
    /// }
    /// ```
);
memcached2_proto::streams!([async] [.await]);
memcached2_proto::topology!([async] [.await]
    /// ```no_run
    /// use std::time::Duration;
    /// use memcached2_async_std::proto::topology::ServerSource;
    /// use memcached2_async_std::{Client, Error};
    ///
    /// # async fn start() -> Result<(), Error> {
    /// let endpoint = "cache.cfg.use1.cache.amazonaws.com:11211";
    /// let client = Client::new([endpoint])?;
    /// let mut source = ServerSource::cluster(endpoint)?;
    /// client.refresh_servers(&mut source).await?;
    /// let follower = client.clone();
    /// async_std::task::spawn(async move {
    ///     let log = |refreshed| {
    ///         if let Err(error) = refreshed {
    ///             eprintln!("the list of servers is as old as before: {error}");
    ///         }
    ///     };
    ///     follower.follow_servers(source, Duration::from_secs(60), log).await;
    /// });
    /// # Ok(())
    /// # }
    /// ```
);
memcached2_proto::fetch!([async] [.await] AsyncFnOnce AsyncFnMut
    /// ```no_run
    /// use std::time::Duration;
    /// use memcached2_async_std::proto::fetch::FetchPolicy;
    /// use memcached2_async_std::{Client, Error};
    ///
    /// async fn front_page(client: &Client) -> Result<String, Error> {
    ///     let policy = FetchPolicy::new(Duration::from_secs(3600)).refresh_before(Duration::from_secs(60));
    ///     let render = async || Ok::<_, Error>("<html>".to_owned());
    ///     let page = client.fetch("page:front", &policy, render).await?;
    ///     Ok(page.as_str()?.to_owned())
    /// }
    /// ```
);
memcached2_proto::namespace!([async] [.await] AsyncFnOnce
    /// ```no_run
    /// use std::time::Duration;
    /// use memcached2_async_std::{Client, Error};
    ///
    /// async fn example(client: &Client) -> Result<(), Error> {
    ///     let users = client.namespace("users")?;
    ///     users.set("42", "Ada", Duration::from_secs(3600)).await?;
    ///     assert!(users.get("42").await?.is_some());
    ///     users.clear().await?;
    ///     assert_eq!(users.get("42").await?, None);
    ///     Ok(())
    /// }
    /// ```
);
memcached2_proto::rate_limit!([async] [.await]
    /// ```no_run
    /// use std::time::Duration;
    /// use memcached2_async_std::proto::rate_limit::RateLimit;
    /// use memcached2_async_std::{Client, Error};
    ///
    /// /// Ten attempts to log in per minute.
    /// async fn may_log_in(client: &Client, address: &str) -> Result<bool, Error> {
    ///     let limit = RateLimit::new(10, Duration::from_secs(60)).sliding();
    ///     Ok(client.limit_rate(format!("login:{address}"), &limit).await?.is_allowed)
    /// }
    /// ```
);
memcached2_proto::lock!([async] [.await]
    /// ```no_run
    /// use std::time::Duration;
    /// use memcached2_async_std::{Client, Error};
    ///
    /// /// Sends the report of a day, unless another program does.
    /// async fn report(client: &Client, day: &str) -> Result<(), Error> {
    ///     if let Some(lock) = client.try_lock(format!("lock:report:{day}"), Duration::from_secs(60)).await? {
    ///         // ..
    ///         lock.release().await?;
    ///     }
    ///     Ok(())
    /// }
    /// ```
);
#[cfg(feature = "near-cache")]
memcached2_proto::near_cache!([async] [.await] AsyncFnOnce
    /// ```no_run
    /// use std::time::Duration;
    /// use memcached2_async_std::proto::near_cache::NearCachePolicy;
    /// use memcached2_async_std::{Client, Error};
    ///
    /// async fn example(client: &Client) -> Result<(), Error> {
    ///     let near = client.near_cache(&NearCachePolicy::new(64 << 20, Duration::from_secs(1)));
    ///     near.set("page:front", "<html>", Duration::from_secs(3600)).await?;
    ///     for _ in 0..1000 {
    ///         // The first one asks the server.
    ///         assert!(near.get("page:front").await?.is_some());
    ///     }
    ///     Ok(())
    /// }
    /// ```
);
#[cfg(feature = "other-clients")]
memcached2_proto::values!([async] [.await] AsyncFnOnce
    /// ```
    /// use std::time::Duration;
    /// use memcached2_async_std::{Client, Codec, Error};
    ///
    /// # fn main() -> Result<(), Error> {
    /// # async_std::task::block_on(async {
    /// # let server = memcached2_testkit::EmbeddedServer::start();
    /// # let client = Client::new([server.address()])?;
    /// const HOUR: Duration = Duration::from_secs(3600);
    ///
    /// let shared = client.values(Codec::PyLibmc);
    /// shared.set("visits", 17, HOUR).await?; // As client.set("visits", 17, time=3600) of pylibmc.
    /// assert_eq!(shared.get_as::<u64>("visits").await?, Some(17));
    /// assert_eq!(client.get("visits").await?.map(|value| value.flags), Some(4));
    /// # Ok(())
    /// # })
    /// # }
    /// ```
);
