//! Memoizes a slow function. Its results are in memcached, for all instances of a program.
//!
//! ```text
//! cargo run -p memcached2-cached --example memoize
//! ```
//!
//! The server is one within this process.
#![expect(clippy::print_stdout, clippy::expect_used, reason = "an example prints, and its server has a right address")]

use std::sync::LazyLock;
use std::time::{Duration, Instant};

use cached::macros::concurrent_cached;
use cached::{ConcurrentCacheTtl as _, ConcurrentCachedAsync as _};
use memcached2_cached::memcached2_tokio::Client;
use memcached2_cached::{AsyncMemcachedCache, Error};
use memcached2_testkit::EmbeddedServer;

static SERVER: LazyLock<EmbeddedServer> = LazyLock::new(EmbeddedServer::start);

fn forecasts() -> Result<AsyncMemcachedCache<String, u32>, Error> {
    let client = Client::new([SERVER.address()])?;
    Ok(AsyncMemcachedCache::new(&client, "forecast")?.with_ttl(Duration::from_secs(600)))
}

/// The highest temperature of tomorrow.
#[concurrent_cached(
    ty = "AsyncMemcachedCache<String, u32>",
    create = r#"{ forecasts().expect("the address and the name are right") }"#,
    key = "String",
    convert = r#"{ city.to_owned() }"#,
    map_error = "|error| error"
)]
async fn forecast(city: &str) -> Result<u32, Error> {
    tokio::time::sleep(Duration::from_millis(200)).await;
    Ok(20 + u32::try_from(city.len()).unwrap_or(0))
}

#[tokio::main(flavor = "current_thread")]
async fn main() -> Result<(), Error> {
    for city in ["São Paulo", "Paris", "São Paulo", "Paris"] {
        let begun = Instant::now();
        let degrees = forecast(city).await?;
        println!("{city}: {degrees} °C, after {} ms", begun.elapsed().as_millis());
    }

    // Another instance of the program would have a cache of its own with the same items.
    let other = forecasts()?;
    let paris = "Paris".to_owned();
    println!("another instance has {:?}, for {:?}", other.async_cache_get(&paris).await?, other.ttl());
    other.async_cache_clear().await?;
    println!("after it was cleared, {:?}", other.async_cache_get(&paris).await?);
    Ok(())
}
