//! The service: what OpenDAL asks of a storage.

use std::sync::Arc;

use memcached2_tokio::{Error as ClientError, Expiry, MetaItem, Namespace, Value};
use opendal_core::raw::{
    OpCopy, OpCreateDir, OpList, OpPresign, OpRead, OpRename, OpStat, OpWrite, RpCreateDir, RpPresign, RpRename,
    RpStat, Service, ServiceInfo, build_abs_path, oio, percent_encode_path,
};
use opendal_core::{Capability, Error, ErrorKind, Metadata, MetadataBuilder, OperationContext, Result};

use crate::MEMCACHED2_SCHEME;
use crate::error::{failed, not_found};
use crate::io::{Deleter, Reader, Writer};

/// How many paths are deleted together.
const DELETED_TOGETHER: usize = 1000;

/// Where the files are, and for how long.
#[derive(Debug)]
pub(crate) struct Store {
    pub(crate) items: Namespace,
    pub(crate) expiry: Expiry,
    root: String,
}

impl Store {
    /// The key of a path.
    pub(crate) fn key(&self, path: &str) -> String {
        percent_encode_path(&build_abs_path(&self.root, path))
    }

    pub(crate) async fn get(&self, key: &str) -> Result<Value> {
        self.items.get(key).await.map_err(failed)?.ok_or_else(not_found)
    }

    /// The length of a file, without its value where the server speaks meta.
    async fn length(&self, key: &str) -> Result<u64> {
        match self.items.metadata(key).await {
            Ok(Some(MetaItem { size: Some(size), .. })) => Ok(size),
            Ok(None) => Err(not_found()),
            Ok(Some(_)) | Err(ClientError::NoMeta { .. }) => Ok(self.get(key).await?.data().len() as u64),
            Err(error) => Err(failed(error)),
        }
    }
}

/// What OpenDAL knows of a file.
pub(crate) fn file(length: usize) -> Metadata {
    MetadataBuilder::file(length as u64).build()
}

/// The service.
#[derive(Debug, Clone)]
pub(crate) struct Memcached2Service {
    store: Arc<Store>,
    info: ServiceInfo,
}

impl Memcached2Service {
    pub(crate) fn new(items: Namespace, root: String, expiry: Expiry) -> Self {
        let router = items.client().router();
        let names: Vec<&str> = router.servers().iter().map(|server| server.name()).collect();
        let info = ServiceInfo::new(MEMCACHED2_SCHEME, &root, names.join(","));
        Self { store: Arc::new(Store { items, expiry, root }), info }
    }
}

impl Service for Memcached2Service {
    type Reader = Reader;
    type Writer = Writer;
    type Lister = ();
    type Deleter = oio::BatchDeleter<Deleter>;
    type Copier = ();
    type Composer = ();

    fn info(&self) -> ServiceInfo {
        self.info.clone()
    }

    fn capability(&self) -> Capability {
        Capability {
            stat: true,
            read: true,
            read_with_suffix: true,
            write: true,
            write_can_empty: true,
            write_can_multi: true,
            write_with_if_not_exists: true,
            delete: true,
            delete_max_size: Some(DELETED_TOGETHER),
            shared: true,
            ..Capability::default()
        }
    }

    async fn stat(&self, _: &OperationContext, path: &str, _: OpStat) -> Result<RpStat> {
        let metadata = match path == "/" {
            true => MetadataBuilder::dir(),
            false => MetadataBuilder::file(self.store.length(&self.store.key(path)).await?),
        };
        Ok(RpStat::new(metadata.build()))
    }

    fn read(&self, _: &OperationContext, path: &str, _: OpRead) -> Result<Reader> {
        Ok(Reader::new(Arc::clone(&self.store), path))
    }

    fn write(&self, _: &OperationContext, path: &str, options: OpWrite) -> Result<Writer> {
        Ok(Writer::new(Arc::clone(&self.store), path, options.if_not_exists()))
    }

    fn delete(&self, _: &OperationContext) -> Result<Self::Deleter> {
        Ok(oio::BatchDeleter::new(Deleter::new(Arc::clone(&self.store)), Some(DELETED_TOGETHER)))
    }

    async fn create_dir(&self, _: &OperationContext, _: &str, _: OpCreateDir) -> Result<RpCreateDir> {
        Err(unsupported())
    }

    fn list(&self, _: &OperationContext, _: &str, _: OpList) -> Result<()> {
        Err(unsupported())
    }

    fn copy(&self, _: &OperationContext, _: &str, _: &str, _: OpCopy) -> Result<()> {
        Err(unsupported())
    }

    async fn rename(&self, _: &OperationContext, _: &str, _: &str, _: OpRename) -> Result<RpRename> {
        Err(unsupported())
    }

    async fn presign(&self, _: &OperationContext, _: &str, _: OpPresign) -> Result<RpPresign> {
        Err(unsupported())
    }
}

fn unsupported() -> Error {
    Error::new(ErrorKind::Unsupported, "memcached cannot do this")
}
