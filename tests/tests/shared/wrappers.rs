//! The wrappers of an asynchronous client; the conformance cases test what they do.

use std::time::Duration;

use memcached2_proto::error::CasProblem;
use memcached2_proto::fetch::FetchPolicy;
use memcached2_proto::near_cache::NearCachePolicy;
use memcached2_proto::rate_limit::RateLimit;
use memcached2_proto::values::Codec;
use memcached2_proto::{Error, Expiry};
use memcached2_testkit::assert_matches;

use super::{names, some_polls};
use crate::subject::{AsyncMapping, AsyncMissOnError, block_on, spawn};

const HOUR: Duration = Duration::from_secs(3600);

#[test]
fn an_item_whose_store_was_dropped_half_way_has_used_its_version() {
    block_on(|| async {
        let (_server, client, names) = names(1).await;
        let mut item = client.item_with_cas(&names[0]).await.unwrap().expect("a hit");
        // On a runtime of several threads it may be stored at once.
        let stored = some_polls(item.set("x", Expiry::Never), 1).await;
        assert!(matches!(stored, None | Some(Ok(()))), "{stored:?}");
        assert_matches!(item.set("y", Expiry::Never).await, Err(Error::Cas { problem: CasProblem::Spent, .. }));
        // If it has landed, a refresh fails: an item whose store was dropped still has its old value.
        let landed = client.get(&names[0]).await.unwrap().expect("a hit") == "x";
        let is_known = stored.is_some() || !landed;
        let refreshed = item.refresh().await;
        assert!(if is_known { refreshed.is_ok() } else { matches!(refreshed, Err(Error::CasRefresh { .. })) });
    });
}

#[test]
fn all_wrappers_can_be_given_to_tasks() {
    block_on(|| async {
        let (_server, client, names) = names(1).await;
        let (name, mapping) = (names[0].clone(), AsyncMapping::new(client.clone()));
        let (miss_on_error, users) = (AsyncMissOnError::new(client.clone()), client.namespace("users").unwrap());
        let task = spawn(async move {
            users.clear().await.unwrap();
            let (policy, limit) = (FetchPolicy::new(HOUR), RateLimit::new(1, HOUR));
            let fetched = users.fetch("f", &policy, async || Ok::<_, Error>(1)).await.unwrap();
            assert_eq!(users.cache("f", HOUR, async || Ok::<_, Error>(2)).await.unwrap(), fetched);
            let near = client.near_cache(&NearCachePolicy::new(1 << 20, HOUR));
            assert_eq!(near.get_many(&["none"]).await.unwrap().into_result(), Ok(vec![None]));
            assert!(client.limit_rate("limit", &limit).await.unwrap().is_allowed);
            let mut lock = client.lock("lock", HOUR, Duration::ZERO).await.unwrap().expect("it is free");
            assert_eq!((lock.extend(HOUR).await, lock.release().await), (Ok(true), Ok(true)));
            let values = client.values(Codec::PyLibmc);
            assert_eq!(values.cache("v", HOUR, async || Ok::<_, Error>(7)).await, Ok(7));
            assert_eq!((values.get_as("v").await, values.delete("v").await), (Ok(Some(7)), Ok(true)));
            // Without the meta commands it was let expire, and a server counts it until somebody asks for it.
            assert_eq!(client.get("lock").await, Ok(None));
            assert_eq!(users.get_many(&["a"]).await.unwrap().into_result(), Ok(vec![None]));
            mapping.insert("a", "x").await.unwrap();
            let mut item = client.item("a").await.unwrap().expect("a hit");
            item.set("y", Expiry::Never).await.unwrap();
            let cached = miss_on_error.cache("b", Expiry::Never, async || Ok::<_, Error>(7)).await.unwrap();
            (mapping.len().await.unwrap(), mapping.get(name).await.unwrap().is_some(), cached)
        });
        let (count, found, cached) = task.await;
        // The number of the generation is an item, too, and so are what was fetched and what was counted.
        assert_eq!((count, found, cached.parse()), (6, true, Ok(7)));
    });
}

#[test]
fn a_near_cache_does_not_return_what_was_before_a_write_that_was_dropped_half_way() {
    block_on(|| async {
        let (_server, client, names) = names(1).await;
        let near = client.near_cache(&NearCachePolicy::new(1 << 20, HOUR));
        for round in 0..20 {
            near.get(&names[0]).await.unwrap().expect("a hit");
            let stored = some_polls(near.set(&names[0], round, Expiry::Never), round % 3).await;
            assert!(matches!(stored, None | Some(Ok(()))), "{stored:?}");
            // If it was written, it was before this.
            let near = near.get(&names[0]).await.unwrap().expect("a hit");
            assert_eq!(Some(near), client.get(&names[0]).await.unwrap());
        }
    });
}
