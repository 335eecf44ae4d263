//! Reading, writing and deleting files.

use std::fmt;
use std::sync::Arc;

use memcached2_tokio::Bytes;
use opendal_core::raw::{OpDelete, RpRead, oio};
use opendal_core::{Buffer, BytesRange, Metadata, Result};

use crate::error::failed;
use crate::service::{Store, file};

/// Reads ranges of a file. Each read fetches the item anew, since memcached sends only whole ones.
#[derive(Debug)]
pub(crate) struct Reader {
    store: Arc<Store>,
    key: String,
}

impl Reader {
    pub(crate) fn new(store: Arc<Store>, path: &str) -> Self {
        Self { key: store.key(path), store }
    }

    async fn part(&self, range: BytesRange) -> Result<(RpRead, Bytes)> {
        let value = self.store.get(&self.key).await?.into_bytes();
        let part = value.slice(range.to_content_range(value.len())?);
        Ok((RpRead::new(file(value.len())), part))
    }
}

impl oio::Read for Reader {
    async fn open(&self, range: BytesRange) -> Result<(RpRead, Box<dyn oio::ReadStreamDyn>)> {
        let (reply, part) = self.part(range).await?;
        Ok((reply, Box::new(part)))
    }

    async fn read(&self, range: BytesRange) -> Result<(RpRead, Buffer)> {
        let (reply, part) = self.part(range).await?;
        Ok((reply, part.into()))
    }
}

/// Stores what was written as one item when it is closed.
pub(crate) struct Writer {
    store: Arc<Store>,
    key: String,
    only_if_missing: bool,
    written: oio::QueueBuf,
}

impl Writer {
    pub(crate) fn new(store: Arc<Store>, path: &str, only_if_missing: bool) -> Self {
        Self { key: store.key(path), store, only_if_missing, written: oio::QueueBuf::new() }
    }
}

impl fmt::Debug for Writer {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Writer").field("key", &self.key).field("written", &self.written.len()).finish_non_exhaustive()
    }
}

impl oio::Write for Writer {
    async fn write(&mut self, piece: Buffer) -> Result<()> {
        self.written.push(piece);
        Ok(())
    }

    /// What was written is kept, so that a retry stores it again.
    async fn close(&mut self) -> Result<Metadata> {
        let (value, Store { items, expiry, .. }) = (self.written.clone().collect().to_bytes(), &*self.store);
        let stored = match self.only_if_missing {
            true => items.add(&self.key, &value, *expiry).await,
            false => items.set(&self.key, &value, *expiry).await,
        };
        stored.map_err(failed)?;
        Ok(file(value.len()))
    }

    async fn abort(&mut self) -> Result<()> {
        self.written.clear();
        Ok(())
    }
}

/// Deletes files, many by one call of the client.
#[derive(Debug)]
pub(crate) struct Deleter {
    store: Arc<Store>,
}

impl Deleter {
    pub(crate) fn new(store: Arc<Store>) -> Self {
        Self { store }
    }
}

impl oio::BatchDelete for Deleter {
    async fn delete_once(&self, path: String, _: OpDelete) -> Result<()> {
        // A file that is gone already is as good as deleted.
        self.store.items.delete(self.store.key(&path)).await.map(drop).map_err(failed)
    }

    async fn delete_batch(&self, batch: Vec<(String, OpDelete)>) -> Result<oio::BatchDeleteResult> {
        let keys: Vec<String> = batch.iter().map(|(path, _)| self.store.key(path)).collect();
        let deleted = self.store.items.delete_many(&keys).await.map_err(failed)?;
        let mut result = oio::BatchDeleteResult::default();
        for ((path, options), outcome) in batch.into_iter().zip(deleted) {
            match outcome {
                Ok(_) => result.succeeded.push((path, options)),
                Err(error) => result.failed.push((path, options, failed(error))),
            }
        }
        // Without one that was deleted OpenDAL says no reason.
        match result.failed.pop_if(|_| result.succeeded.is_empty()) {
            Some((path, _, error)) => Err(error.with_context("path", path)),
            None => Ok(result),
        }
    }
}
