//! From one group of servers to another, in stages.

use std::sync::Arc;

use super::{ReplicaGroups, Router, ServerId};
use crate::error::Error;
use crate::key::Key;

/// How far a client is on its way from its servers to new ones: see
/// [`Options::migrate_to`](crate::Options::migrate_to) and the guide [replicas](crate::guide::replicas#migration).
///
/// Two programs may be in stages that follow each other, and no further apart.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
#[non_exhaustive]
pub enum MigrationStage {
    /// Only the old servers are used.
    Old,
    /// The old servers are read, and both are written.
    WriteBoth,
    /// The new servers are read, and the old ones for what those do not have; both are written.
    ReadBoth,
    /// The new servers are read, and both are written.
    ReadNew,
    /// Only the new servers are used.
    New,
}

/// The numbers of the old and the new group.
const OLD: usize = 0;
const NEW: usize = 1;

impl MigrationStage {
    /// Which groups are read, in their order, and which are written.
    fn groups(self) -> (&'static [usize], &'static [usize]) {
        match self {
            Self::Old => (&[OLD], &[OLD]),
            Self::WriteBoth => (&[OLD], &[OLD, NEW]),
            Self::ReadBoth => (&[NEW, OLD], &[OLD, NEW]),
            Self::ReadNew => (&[NEW], &[OLD, NEW]),
            Self::New => (&[NEW], &[NEW]),
        }
    }
}

impl ReplicaGroups {
    /// The same groups at this stage of a migration.
    pub(super) fn at_stage(mut self, stage: MigrationStage) -> Self {
        let (read, written) = stage.groups();
        (self.order, self.written) = (read.to_vec(), written.to_vec());
        (self.read_next_on_miss, self.stage) = (read.len() > 1, Some(stage));
        self
    }
}

impl Router {
    /// The stage of the migration, if the client was made [for one](crate::Options::migrate_to).
    #[must_use]
    pub fn stage(&self) -> Option<MigrationStage> {
        self.replicas.as_ref()?.stage
    }

    /// The same router at another stage of its migration: for `Client::set_stage` of a transport.
    ///
    /// # Errors
    ///
    /// [`Error::Argument`] if the client was not made for a migration.
    pub fn at_stage(&self, stage: MigrationStage) -> Result<Self, Error> {
        let replicas = self.replicas.as_ref().filter(|replicas| replicas.stage.is_some());
        let replicas = replicas.ok_or_else(|| Error::argument("the client has no servers to migrate to"))?;
        let replicas = Some(Arc::new(ReplicaGroups::clone(replicas).at_stage(stage)));
        Ok(Self { replicas, ..self.clone() })
    }

    /// Whether one group of servers is used and no other, so that a key has one server.
    pub(crate) fn uses_one_group(&self) -> bool {
        self.replicas.as_ref().is_none_or(|replicas| replicas.written.len() == 1 && replicas.order == replicas.written)
    }

    /// The server of a key where items are kept that have no copies, such as locks: of the first replica, or of those servers
    /// that are read first in a migration.
    ///
    /// # Errors
    ///
    /// Those of [`Router::route`].
    pub fn route_home(&self, key: Key<'_>) -> Result<ServerId, Error> {
        match &self.replicas {
            Some(replicas) if replicas.stage.is_some() => self.route_read(key, replicas, 0, &|_| true),
            _ => self.route(key),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::routing::{Replicas, RouterOptions};

    fn router(replicas: Replicas) -> Result<Router, Error> {
        Router::with_options(["a", "b"], RouterOptions { replicas, ..RouterOptions::default() })
    }

    #[test]
    fn each_stage_reads_and_writes_its_groups() {
        let new: Arc<[String]> = Arc::new(["c".to_owned(), "d".to_owned()]);
        let replicas = || Replicas { others: vec![Arc::clone(&new)], ..Replicas::default() };
        let first = router(Replicas { stage: Some(MigrationStage::Old), ..replicas() }).unwrap();
        let key = Key::new("x").unwrap();
        for (stage, read, written, is_one) in [
            (MigrationStage::Old, &[OLD][..], &[OLD][..], true),
            (MigrationStage::WriteBoth, &[OLD], &[OLD, NEW], false),
            (MigrationStage::ReadBoth, &[NEW, OLD], &[OLD, NEW], false),
            (MigrationStage::ReadNew, &[NEW], &[OLD, NEW], false),
            (MigrationStage::New, &[NEW], &[NEW], true),
        ] {
            let router = first.at_stage(stage).unwrap();
            let home = router.replica_of(router.route_home(key).unwrap());
            assert_eq!((router.stage(), router.read_order(), home), (Some(stage), read, Some(read[0])));
            assert_eq!((router.written(), router.uses_one_group()), (written, is_one));
            assert_eq!(router.reads_next_on_miss(), read.len() > 1);
        }
        assert!(matches!(router(replicas()).unwrap().at_stage(MigrationStage::New), Err(Error::Argument { .. })));
        for wrong in
            [Replicas { nearest: 1, ..replicas() }, Replicas { others: vec![Arc::clone(&new); 2], ..replicas() }]
        {
            let wrong = Replicas { stage: Some(MigrationStage::Old), ..wrong };
            assert!(matches!(router(wrong), Err(Error::Argument { .. })));
        }
    }
}
