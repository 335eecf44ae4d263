//! The other faces of an asynchronous client; the conformance cases test what they do.

use memcached2_proto::{CasProblem, Error, Expiry};
use memcached2_testkit::assert_matches;

use super::{names, some_polls};
use crate::subject::{AsyncForgiving, AsyncMapping, block_on, spawn};

#[test]
fn an_entry_whose_store_was_dropped_half_way_has_used_its_version() {
    block_on(|| async {
        let (_server, client, names) = names(1).await;
        let mut entry = client.entry_with_cas(&names[0]).await.unwrap().expect("a hit");
        // On a runtime of several threads it may be stored at once.
        let stored = some_polls(entry.set("x", Expiry::Never), 1).await;
        assert!(matches!(stored, None | Some(Ok(()))), "{stored:?}");
        assert_matches!(entry.set("y", Expiry::Never).await, Err(Error::Cas { problem: CasProblem::Spent, .. }));
        // Whether it has landed, a refresh tells: an entry whose caller was gone still holds what it had.
        let landed = client.get(&names[0]).await.unwrap().expect("a hit") == "x";
        let is_known = stored.is_some() || !landed;
        let refreshed = entry.refresh().await;
        assert!(if is_known { refreshed.is_ok() } else { matches!(refreshed, Err(Error::CasRefresh { .. })) });
    });
}

#[test]
fn all_faces_can_be_given_to_tasks() {
    block_on(|| async {
        let (_server, client, names) = names(1).await;
        let (name, mapping) = (names[0].clone(), AsyncMapping::new(client.clone()));
        let forgiving = AsyncForgiving::new(client.clone());
        let task = spawn(async move {
            mapping.insert("a", "x").await.unwrap();
            let mut entry = client.entry("a").await.unwrap().expect("a hit");
            entry.set("y", Expiry::Never).await.unwrap();
            let cached = forgiving.cache("b", Expiry::Never, async || Ok::<_, Error>(7)).await.unwrap();
            (mapping.len().await.unwrap(), mapping.get(name).await.unwrap().is_some(), cached)
        });
        let (count, found, cached) = task.await;
        assert_eq!((count, found, cached.parse()), (3, true, Ok(7)));
    });
}
