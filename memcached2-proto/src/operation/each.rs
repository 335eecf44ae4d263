//! Several items, each with its own request.

use super::{BatchResult, QuietBatch};
use crate::call::{Operation, Plan, Progress};
use crate::command::{Command, Delete, Keyed, Quiet, Store};
use crate::data::ToValue;
use crate::error::Error;
use crate::time::Expiry;

/// Stores many values.
#[derive(Debug, Clone)]
pub struct SetMany<'k, 'v> {
    items: Vec<Store<'k, 'v>>,
}

impl<'k, 'v> SetMany<'k, 'v> {
    /// Stores `items`, pairs of key and value, until `expiry`.
    ///
    /// # Errors
    ///
    /// What [`Store::set`] says of the first of them that is wrong; nothing is stored then.
    pub fn new<K: AsRef<[u8]>, V: ToValue>(items: &'k [(K, V)], expiry: Expiry) -> Result<Self, Error>
    where
        'k: 'v,
    {
        let mut stores = Vec::with_capacity(items.len());
        for (key, value) in items {
            Store::push_set(&mut stores, key.as_ref(), value, expiry)?;
        }
        Ok(Self { items: stores })
    }

    /// Stores `items`, each with its own flags and expiry.
    #[must_use]
    pub fn from_stores(items: Vec<Store<'k, 'v>>) -> Self {
        Self { items }
    }

    /// Lets the server be silent about what is stored: see [`QuietBatch`].
    #[must_use]
    pub fn quiet(self) -> QuietBatch<Store<'k, 'v>> {
        QuietBatch::new(self.items)
    }
}

/// Deletes many items.
#[derive(Debug, Clone)]
pub struct DeleteMany<'k> {
    items: Vec<Delete<'k>>,
}

impl<'k> DeleteMany<'k> {
    /// Deletes the items of `keys`.
    ///
    /// # Errors
    ///
    /// [`Error::Key`] for the first wrong key; nothing is deleted then.
    pub fn new<K: AsRef<[u8]>>(keys: &'k [K]) -> Result<Self, Error> {
        Ok(Self { items: keys.iter().map(Delete::new).collect::<Result<_, _>>()? })
    }

    /// Lets the server be silent about what is deleted: see [`QuietBatch`].
    #[must_use]
    pub fn quiet(self) -> QuietBatch<Delete<'k>> {
        QuietBatch::new(self.items)
    }
}

/// Many commands of one type, each to the server of its key: to all servers at once, and without waiting for one answer before
/// the next request.
///
/// ```
/// use memcached2_proto::command::meta::MetaGet;
/// use memcached2_proto::operation::Batch;
///
/// let sizes = ["a", "b"].map(|key| MetaGet::new(key).map(MetaGet::size));
/// let batch = Batch::new(sizes.into_iter().collect::<Result<_, _>>()?);
/// // for (item, key) in client.run(batch)?.into_iter().zip(["a", "b"]) { .. }
/// # Ok::<(), memcached2_proto::Error>(())
/// ```
///
/// Each command has a result of its own, in their order. For values alone, [`GetMany`](super::GetMany) takes less of the network.
#[derive(Debug, Clone)]
pub struct Batch<C> {
    commands: Vec<C>,
}

impl<C: Keyed> Batch<C> {
    /// Runs `commands`.
    #[must_use]
    pub fn new(commands: Vec<C>) -> Self {
        Self { commands }
    }

    /// Lets the server be silent about those that succeed: see [`QuietBatch`].
    ///
    /// ```
    /// use memcached2_proto::command::meta::MetaDelete;
    /// use memcached2_proto::operation::Batch;
    ///
    /// let stale = ["a", "b"].map(|key| MetaDelete::new(key).map(MetaDelete::invalidate));
    /// let batch = Batch::new(stale.into_iter().collect::<Result<_, _>>()?).quiet();
    /// // for (outcome, key) in client.run(batch)?.into_iter().zip(["a", "b"]) { .. }
    /// # Ok::<(), memcached2_proto::Error>(())
    /// ```
    #[must_use]
    pub fn quiet(self) -> QuietBatch<C>
    where
        C: Quiet,
    {
        QuietBatch::new(self.commands)
    }
}

impl<C: Keyed> Operation for Batch<C> {
    type Output = BatchResult<C::Response>;
    type Progress = Each<C>;

    fn start(self, plan: &mut Plan<'_>) -> Each<C> {
        Each::start(self.commands, plan)
    }
}

/// Several commands, each to the server of its key, under way.
#[derive(Debug)]
pub struct Each<C: Command> {
    commands: Vec<C>,
    /// Those that have come, most of them in the order of the commands, with room for those before them.
    results: Vec<Result<C::Response, Error>>,
}

impl<C: Keyed> Each<C> {
    fn start(commands: Vec<C>, plan: &mut Plan<'_>) -> Self {
        plan.add_all(&commands);
        let results = Vec::with_capacity(commands.len());
        Self { commands, results }
    }

    /// Takes a result that comes before that of an earlier command, or instead of another one.
    #[cold]
    fn end_out_of_order(&mut self, index: usize, result: Result<C::Response, Error>) {
        if index >= self.results.len() {
            self.results.resize_with(index + 1, || Err(Error::closed()));
        }
        self.results[index] = result;
    }
}

impl<'k, 'v> Operation for SetMany<'k, 'v> {
    type Output = BatchResult<()>;
    type Progress = Each<Store<'k, 'v>>;

    fn start(self, plan: &mut Plan<'_>) -> Self::Progress {
        Each::start(self.items, plan)
    }
}

impl<'k> Operation for DeleteMany<'k> {
    type Output = BatchResult<bool>;
    type Progress = Each<Delete<'k>>;

    fn start(self, plan: &mut Plan<'_>) -> Self::Progress {
        Each::start(self.items, plan)
    }
}

impl<C: Keyed> Progress for Each<C> {
    type Command = C;
    type Output = BatchResult<C::Response>;

    #[inline]
    fn command(&self, index: usize) -> &C {
        &self.commands[index]
    }

    #[inline]
    fn end(&mut self, index: usize, result: Result<C::Response, Error>) {
        match index == self.results.len() {
            true => self.results.push(result),
            false => self.end_out_of_order(index, result),
        }
    }

    fn replan(&mut self, index: usize, plan: &mut Plan<'_>) -> bool {
        plan.add_elsewhere(index, self.commands[index].routing_key())
    }

    fn is_batch(&self) -> bool {
        true
    }

    fn finish(mut self) -> Result<Self::Output, Error> {
        self.results.resize_with(self.commands.len(), || Err(Error::closed()));
        Ok(BatchResult::from(self.results))
    }
}
