//! Several groups of servers, each of which has all keys.

use std::ops::Range;
use std::sync::Arc;

use super::{Group, MigrationStage, Router, Selection, ServerId, parse_servers};
use crate::error::{Error, FailedRequest};
use crate::key::Key;
use crate::uri::Server;

/// How many replicas must carry out a write, so that it succeeds: see [`Options::write_to`](crate::Options::write_to).
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Hash)]
pub enum WriteTo {
    /// One of them.
    One,
    /// More than a half of them.
    Quorum,
    /// All of them; the default.
    #[default]
    All,
}

impl WriteTo {
    /// How many of this many replicas.
    #[must_use]
    pub fn needed(self, replicas: usize) -> usize {
        match self {
            Self::One => 1,
            Self::Quorum => replicas / 2 + 1,
            Self::All => replicas,
        }
    }
}

/// The replicas besides the servers of a router, and how they are used: [`Options::replica`](crate::Options::replica) and the
/// options after it.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
#[non_exhaustive]
pub struct Replicas {
    /// The servers of each further replica.
    pub others: Vec<Arc<[String]>>,
    /// How many replicas must carry out a write.
    pub write_to: WriteTo,
    /// The replica that is read first, counted from 0.
    pub nearest: usize,
    /// Whether the next replica is asked for what one does not have.
    pub read_next_on_miss: bool,
    /// The stage of a migration from the servers of the router to those of the only other replica, if it is one.
    pub stage: Option<MigrationStage>,
}

/// The same, of a router.
#[derive(Debug, Clone)]
pub(super) struct ReplicaGroups {
    /// Those besides the main one.
    others: Vec<Group>,
    /// In which order the replicas are read.
    pub(super) order: Vec<usize>,
    /// Which of them are written.
    pub(super) written: Vec<usize>,
    write_to: WriteTo,
    pub(super) read_next_on_miss: bool,
    pub(super) stage: Option<MigrationStage>,
}

impl ReplicaGroups {
    /// Appends the servers of the replicas; `None` if there is no other one.
    pub(super) fn new(
        replicas: &Replicas,
        servers: &mut Vec<Server>,
        selection: &Selection,
    ) -> Result<Option<Arc<Self>>, Error> {
        let Replicas { others, write_to, nearest, read_next_on_miss, stage } = replicas;
        if others.iter().any(|other| other.is_empty()) || *nearest > others.len() {
            return Err(Error::argument(
                "each replica needs a server, and `nearest` is less than the number of replicas",
            ));
        }
        if stage.is_some() && (others.len() != 1 || *nearest != 0) {
            return Err(Error::argument("a client with replicas cannot migrate to other servers"));
        }
        if others.is_empty() {
            return Ok(None);
        }
        let mut group = |texts: &Arc<[String]>| {
            let first = servers.len();
            parse_servers(&**texts, servers)?;
            Ok(Group::new(first, servers, selection))
        };
        let others = others.iter().map(&mut group).collect::<Result<Vec<_>, Error>>()?;
        let order = [*nearest].into_iter().chain((0..=others.len()).filter(|number| number != nearest)).collect();
        let written = (0..=others.len()).collect();
        let (write_to, read_next_on_miss) = (*write_to, *read_next_on_miss);
        let groups = Self { others, order, written, write_to, read_next_on_miss, stage: None };
        Ok(Some(Arc::new(match stage {
            None => groups,
            Some(stage) => groups.at_stage(*stage),
        })))
    }
}

impl Router {
    /// The server of a key in each replica while all are up, in the order of the replicas. The first one is that of
    /// [`Router::route`], and the only one unless there are [replicas](crate::Options::replica).
    ///
    /// # Errors
    ///
    /// Those of [`Router::route`].
    pub fn route_to_replicas(&self, key: Key<'_>) -> Result<Vec<ServerId>, Error> {
        let others = self.replicas.iter().flat_map(|replicas| &replicas.others);
        let others = others.map(|group| self.choose_in(group, key, &|_| true));
        [self.route(key)].into_iter().chain(others).collect()
    }

    /// The number of the replica that a server belongs to, counted from 0; `None` if it is of the [gutter](super::Gutter).
    #[must_use]
    pub fn replica_of(&self, server: ServerId) -> Option<usize> {
        let others = self.replicas.iter().flat_map(|replicas| &replicas.others);
        let mut groups = [&self.main].into_iter().chain(others).map(Group::places);
        groups.position(|places: Range<usize>| places.contains(&server.index()))
    }

    /// Whether each key has several servers.
    pub(crate) fn has_replicas(&self) -> bool {
        self.replicas.is_some()
    }

    /// In which order the replicas are read.
    pub(crate) fn read_order(&self) -> &[usize] {
        self.replicas.as_ref().map_or(&[0], |replicas| &replicas.order)
    }

    /// Which replicas are written.
    pub(crate) fn written(&self) -> &[usize] {
        self.replicas.as_ref().map_or(&[0], |replicas| &replicas.written)
    }

    /// How many of this many replicas must carry out a write.
    pub(crate) fn needed(&self, replicas: usize) -> usize {
        self.replicas.as_ref().map_or(WriteTo::All, |replicas| replicas.write_to).needed(replicas)
    }

    /// Whether the next replica is asked for what one does not have.
    pub(crate) fn reads_next_on_miss(&self) -> bool {
        self.replicas.as_ref().is_some_and(|replicas| replicas.read_next_on_miss)
    }

    /// The server to read a key from: that of the first replica in their order which is up. The first `skipped` of them are not
    /// asked.
    pub(super) fn route_read(
        &self,
        key: Key<'_>,
        replicas: &ReplicaGroups,
        skipped: usize,
        is_up: &dyn Fn(usize) -> bool,
    ) -> Result<ServerId, Error> {
        for number in replicas.order.iter().skip(skipped) {
            let server = match number {
                0 => self.route(key)?,
                number => self.choose_in(&replicas.others[number - 1], key, &|_| true)?,
            };
            if is_up(server.index()) {
                return Ok(server);
            }
        }
        match &self.gutter {
            None => Err(Error::no_servers()),
            Some(gutter) => self.choose_in(gutter, key, is_up),
        }
    }

    /// The error of a key of which no replica can be asked.
    #[cold]
    pub(crate) fn replicas_down(&self, first: ServerId) -> Error {
        let (request, servers) = (FailedRequest::default(), self.servers.len());
        Error::AllDown { request, servers, cause: self.health.cause(first.index()) }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::routing::RouterOptions;

    fn router(nearest: usize, others: &[&[&str]]) -> Result<Router, Error> {
        let others = others.iter().map(|servers| servers.iter().map(ToString::to_string).collect()).collect();
        let replicas = Replicas { others, nearest, ..Replicas::default() };
        Router::with_options(["a", "b", "c"], RouterOptions { replicas, ..RouterOptions::default() })
    }

    #[test]
    fn each_replica_has_every_key_and_the_nearest_is_read_first() {
        let router = router(1, &[&["d", "e"], &["f"]]).unwrap();
        let alone = [&["a", "b", "c"][..], &["d", "e"], &["f"]].map(|servers| Router::parse(servers).unwrap());
        let replicas = router.replicas.clone().unwrap();
        for key in (0..100).map(|at| format!("key{at}")) {
            let key = Key::new(&key).unwrap();
            let servers = router.route_to_replicas(key).unwrap();
            let expected: Vec<_> =
                alone.iter().zip([0, 3, 5]).map(|(alone, first)| alone.route(key).unwrap().index() + first).collect();
            assert_eq!(servers.iter().map(|server| server.index()).collect::<Vec<_>>(), expected);
            assert_eq!(
                servers.iter().map(|server| router.replica_of(*server)).collect::<Vec<_>>(),
                [Some(0), Some(1), Some(2)]
            );
            let read = |skipped, down: &[usize]| {
                let is_up = |place| !down.contains(&place);
                router.route_read(key, &replicas, skipped, &is_up).map(ServerId::index)
            };
            assert_eq!(read(0, &[]), Ok(expected[1]));
            assert_eq!(read(0, &expected[1..2]), Ok(expected[0]));
            assert_eq!(read(0, &expected[..2]), Ok(expected[2]));
            assert_eq!(read(2, &[]), Ok(expected[2]));
            assert_eq!(read(0, &expected), Err(Error::no_servers()));
            assert_eq!(read(3, &[]), Err(Error::no_servers()));
        }
    }

    #[test]
    fn replicas_that_cannot_be_are_refused() {
        assert!(matches!(router(0, &[&[]]), Err(Error::Argument { .. })));
        assert!(matches!(router(2, &[&["d"]]), Err(Error::Argument { .. })));
        assert!(matches!(router(0, &[&["a"]]), Err(Error::Uri { .. })));
        assert!(!router(0, &[]).unwrap().has_replicas());
        for (write_to, needed) in [(WriteTo::One, [1, 1, 1]), (WriteTo::Quorum, [2, 2, 3]), (WriteTo::All, [2, 3, 4])] {
            assert_eq!([2, 3, 4].map(|replicas| write_to.needed(replicas)), needed);
        }
    }
}
