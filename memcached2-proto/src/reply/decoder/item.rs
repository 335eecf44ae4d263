//! The data of an item: where it goes, and where it ends.

use bytes::{Bytes, BytesMut};

use super::{BEHIND, DATA_END, Decoder, State};
use crate::error::Error;
use crate::reply::grammar::{Item, unexpected};
use crate::reply::{Reply, Shape};
use crate::value::Value;

/// So much room a value gets that has only been announced. With each four times as much that has come it gets more, so
/// that a server which lies of its length takes no memory.
const FIRST: usize = 1024 * 1024;

impl Decoder {
    /// Decides where the data of `item` goes.
    #[inline]
    pub(super) fn begin(&mut self, item: Item, keep: bool) -> Result<(), Error> {
        let there = self.end - self.start;
        let whole = item.length.saturating_add(DATA_END.len());
        if item.length > self.limits.value {
            let limit = self.limits.value;
            return Err(Error::protocol(format!("a value of {} bytes exceeds the limit of {limit}", item.length)));
        }
        self.state = if whole <= there || item.length < Self::LARGE {
            State::Small(item)
        } else if !keep {
            State::Skip(item, item.length)
        } else {
            let mut data = vec![0; (item.length + BEHIND).min(FIRST)];
            data[..there].copy_from_slice(&self.buffer[self.start..self.end]);
            (self.start, self.end) = (0, 0);
            State::Large(item, data, there)
        };
        Ok(())
    }

    /// The data of the item, once it is there with its line end.
    #[inline]
    pub(super) fn item(&mut self, shape: Shape) -> Result<Option<(Item, Bytes)>, Error> {
        match &mut self.state {
            State::Small(item) => {
                let item = *item;
                let there = &self.buffer[self.start..self.end];
                let Some((data, behind)) = there.split_at_checked(item.length) else { return Ok(None) };
                if !ends(behind)? {
                    return Ok(None);
                }
                let data = copy(&mut self.block, data, shape);
                self.start += item.length + DATA_END.len();
                self.state = State::Line;
                Ok(Some((item, data)))
            }
            State::Large(item, data, have) => {
                let (item, have) = (*item, *have);
                if have == data.len() {
                    grow(data, item.length + BEHIND)?;
                }
                let next = item.length + DATA_END.len();
                if have < item.length || !ends(&data[item.length..have])? {
                    return Ok(None);
                }
                // The buffer is empty: all of it went into `data` when the value began.
                self.start = 0;
                self.end = have - next;
                self.buffer[..self.end].copy_from_slice(&data[next..have]);
                let mut data = std::mem::take(data);
                data.truncate(item.length);
                self.state = State::Line;
                Ok(Some((item, data.into())))
            }
            State::Skip(item, left) => {
                let item = *item;
                let there = (*left).min(self.end - self.start);
                self.start += there;
                *left -= there;
                if *left > 0 || !ends(&self.buffer[self.start..self.end])? {
                    return Ok(None);
                }
                self.start += DATA_END.len();
                self.state = State::Line;
                Ok(Some((item, Bytes::new())))
            }
            State::Line | State::End(_) | State::Fence(_) | State::Refused => Ok(None),
        }
    }
}

/// Makes more room for a value, of which as much has come as there was room for.
#[cold]
fn grow(data: &mut Vec<u8>, whole: usize) -> Result<(), Error> {
    let more = whole.min(data.len().saturating_mul(4)) - data.len();
    let no_memory = |_| Error::protocol(format!("there is no memory for a value of {} bytes", whole - BEHIND));
    data.try_reserve_exact(more).map_err(no_memory)?;
    data.resize(data.len() + more, 0);
    Ok(())
}

/// Whether what is behind the data ends it; not yet, if that is cut off.
#[inline]
fn ends(behind: &[u8]) -> Result<bool, Error> {
    match behind {
        [b'\r', b'\n', ..] => Ok(true),
        [] | [b'\r'] => Ok(false),
        _ => Err(unexpected(&behind[..behind.len().min(DATA_END.len())], "the end of a value")),
    }
}

#[inline]
pub(super) fn hit(item: Item, data: Bytes) -> Reply {
    Reply::Value(item.index, Value { data, flags: item.flags, cas: item.cas })
}

/// Copies data out of the buffer: small values of one reply into a common block.
#[inline(always)]
pub(super) fn copy(block: &mut BytesMut, data: &[u8], shape: Shape) -> Bytes {
    match shape {
        Shape::Values | Shape::FencedValues if data.len() <= Decoder::SHARED_MAX => copy_to_block(block, data),
        _ => Bytes::copy_from_slice(data),
    }
}

fn copy_to_block(block: &mut BytesMut, data: &[u8]) -> Bytes {
    if block.capacity() < data.len() {
        *block = BytesMut::with_capacity(Decoder::BLOCK);
    }
    block.extend_from_slice(data);
    block.split().freeze()
}
