//! Many items or keys from an iterator, some at a time.

use super::BatchResult;
use crate::command::Store;
use crate::data::{Data, ToValue};
use crate::error::Error;
use crate::key::Key;
use crate::value::Value;

/// How many items a chunk has at most: so many that an asynchronous client takes it for a large transfer.
const ITEMS: usize = 512;

/// How many bytes a chunk has at most, but for its last item.
const BYTES: usize = 1 << 20;

/// Takes the items of `set_chunked` from their iterator.
#[doc(hidden)]
#[derive(Debug)]
pub struct Chunks<I, K> {
    items: I,
    chunk: Vec<(K, Data<'static>)>,
}

impl<I, K, V> Chunks<I, K>
where
    I: Iterator<Item = (K, V)>,
    K: AsRef<[u8]>,
    V: ToValue,
{
    /// Takes them from `items`.
    #[must_use]
    pub fn new(items: I) -> Self {
        Self { items, chunk: Vec::new() }
    }

    /// The next items, or `None` at the end. An item that cannot be sent has failed.
    pub fn next_chunk(&mut self, on_failure: &mut impl FnMut(K, Error)) -> Option<&[(K, Data<'static>)]> {
        let mut bytes = 0;
        while self.chunk.len() < ITEMS && bytes < BYTES {
            let Some((key, value)) = self.items.next() else { break };
            match owned(key.as_ref(), &value) {
                Ok(data) => {
                    bytes += key.as_ref().len() + data.as_bytes().len();
                    self.chunk.push((key, data));
                }
                Err(error) => on_failure(key, error.of_method("set_chunked", None)),
            }
        }
        Some(&self.chunk[..]).filter(|chunk| !chunk.is_empty())
    }

    /// How many of them were stored. The others have failed.
    ///
    /// # Errors
    ///
    /// [`Error::Closed`] if the client was closed.
    pub fn end_chunk(&mut self, results: BatchResult<()>, on_failure: &mut impl FnMut(K, Error)) -> Result<u64, Error> {
        let mut stored = 0;
        for ((key, _), result) in results.with_keys(self.chunk.drain(..)) {
            match result {
                Ok(()) => stored += 1,
                Err(error @ Error::Closed { .. }) => return Err(error),
                Err(error) => on_failure(key, error),
            }
        }
        Ok(stored)
    }
}

/// What is stored of a value, which is not needed any more then.
fn owned<V: ToValue>(key: &[u8], value: &V) -> Result<Data<'static>, Error> {
    let store = Store::set(key, value)?;
    let flags = store.data().flags();
    Ok(Data::from(store.data().clone().into_bytes()).with_flags(flags))
}

/// Takes the keys of `get_chunked` from their iterator.
#[doc(hidden)]
#[derive(Debug)]
pub struct KeyChunks<I, K> {
    keys: I,
    chunk: Vec<K>,
    /// Those that cannot be sent, each with how many of the chunk come before it.
    wrong: Vec<(usize, K, Error)>,
}

impl<I, K> KeyChunks<I, K>
where
    I: Iterator<Item = K>,
    K: AsRef<[u8]>,
{
    /// Takes them from `keys`.
    #[must_use]
    pub fn new(keys: I) -> Self {
        Self { keys, chunk: Vec::new(), wrong: Vec::new() }
    }

    /// The next keys that can be sent, or `None` at the end.
    pub fn next_chunk(&mut self) -> Option<&[K]> {
        while self.chunk.len() + self.wrong.len() < ITEMS {
            let Some(key) = self.keys.next() else { break };
            match Key::new(key.as_ref()).map(drop) {
                Ok(()) => self.chunk.push(key),
                Err(error) => self.wrong.push((self.chunk.len(), key, error.of_method("get_chunked", None))),
            }
        }
        let is_over = self.chunk.is_empty() && self.wrong.is_empty();
        (!is_over).then_some(&self.chunk)
    }

    /// Hands on their results, and the errors of those that could not be sent, in the order of the keys.
    ///
    /// # Errors
    ///
    /// [`Error::Closed`] if the client was closed.
    pub fn end_chunk(
        &mut self,
        results: BatchResult<Option<Value>>,
        on_result: &mut impl FnMut(K, Result<Option<Value>, Error>),
    ) -> Result<(), Error> {
        let mut wrong = self.wrong.drain(..).peekable();
        for (at, (key, result)) in results.with_keys(self.chunk.drain(..)).enumerate() {
            while let Some((_, key, error)) = wrong.next_if(|(before, ..)| *before <= at) {
                on_result(key, Err(error));
            }
            match result {
                Err(error @ Error::Closed { .. }) => return Err(error),
                result => on_result(key, result),
            }
        }
        wrong.for_each(|(_, key, error)| on_result(key, Err(error)));
        Ok(())
    }
}
