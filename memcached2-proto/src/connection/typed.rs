//! A connection whose requests have handles that become their responses.

use std::collections::VecDeque;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use smallvec::SmallVec;

use super::Connection;
use crate::command::{Answer, Detach};
use crate::error::{Error, Landed};
use crate::reply::Reply;
use crate::time::Now;

/// A [`Connection`] whose requests have handles: [`TypedConnection::send`] returns a [`Pending`], which becomes the typed
/// response of the command.
///
/// It numbers the requests and takes their replies, so tags and [`Reply`]s do not show. Bytes go in and out as with a
/// `Connection`: with [`TypedConnection::feed`] and [`Connection::take_outgoing`], or with [`Connection::write_slices`],
/// [`Connection::advance_written`], [`Connection::read_buf`], [`Connection::advance_read`] and then [`TypedConnection::take_replies`].
///
/// A handle borrows nothing: it may outlive key, value and connection, and be taken to another thread.
///
/// ```
/// use std::time::{Instant, SystemTime};
/// use memcached2_proto::connection::{Pending, TypedConnection};
/// use memcached2_proto::{Connection, Error, Get, Limits, Now, Value};
///
/// fn fetch_user(
///     connection: &mut TypedConnection,
///     id: u32,
///     now: Now,
/// ) -> Result<Pending<Option<Value>>, Error> {
///     let key = format!("user:{id}");
///     connection.send(&Get::new(&key)?, now)
/// }
///
/// let mut connection = TypedConnection::new(Connection::new(Limits::default()));
/// let now = Now::new(Instant::now(), SystemTime::now);
/// let mut user = fetch_user(&mut connection, 42, now)?;
///
/// let request = connection.connection_mut().take_outgoing();
/// assert_eq!(request.as_deref(), Some(&b"get user:42\r\n"[..]));
/// assert!(user.take().is_none());
/// connection.feed(b"VALUE user:42 0 4\r\nAnna\r\nEND\r\n")?;
/// let response: Option<Result<Option<Value>, Error>> = user.take();
/// assert!(response.unwrap()?.is_some_and(|value| value == "Anna"));
/// # Ok::<(), Error>(())
/// ```
#[derive(Debug)]
pub struct TypedConnection {
    connection: Connection,
    /// The requests under way, oldest first, with tags that follow each other; those that have ended between others leave
    /// a gap.
    requests: VecDeque<Option<Request>>,
    /// The tag of the first of them.
    first: u32,
}

#[derive(Debug)]
struct Request {
    ticket: u64,
    slot: Arc<Slot>,
}

/// What a request and its handle share.
#[derive(Debug)]
struct Slot {
    command: &'static str,
    /// The key, if it has one, for errors to name.
    key: SmallVec<[u8; 36]>,
    repeatable: bool,
    /// The last reply, or why it will not come.
    end: Mutex<Option<Result<Reply, Error>>>,
}

impl Slot {
    fn lock(&self) -> MutexGuard<'_, Option<Result<Reply, Error>>> {
        self.end.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// The handle of a request that was [sent](TypedConnection::send), which becomes the response of its command.
///
/// One that is dropped changes nothing: its reply is read, and thrown away. [`TypedConnection::cancel`] takes the request
/// back if it was not written yet.
#[derive(Debug)]
#[must_use = "it holds the response"]
pub struct Pending<R> {
    tag: u32,
    slot: Arc<Slot>,
    answer: Option<Answer<R>>,
}

impl<R> Pending<R> {
    /// Whether the response is there, and can be taken; also after it was taken.
    #[must_use]
    pub fn is_ready(&self) -> bool {
        self.answer.is_none() || self.slot.lock().is_some()
    }

    /// Takes the response; `None` until it is there, and after it was taken.
    ///
    /// The response is an error also if the connection has failed, or was dropped. The error names command and key, and says
    /// whether the request [may have taken effect](Error::landed).
    pub fn take(&mut self) -> Option<Result<R, Error>> {
        let reply = self.slot.lock().take()?;
        let answer = self.answer.take()?;
        let result = reply.and_then(|reply| answer.read(reply));
        Some(result.map_err(|error| self.name(error)))
    }

    /// The error with what the caller is to know: which request has failed, and that one which only reads has had no effect.
    #[cold]
    fn name(&self, error: Error) -> Error {
        let error = error.of_request(self.slot.command, Some(&self.slot.key[..]).filter(|key| !key.is_empty()), None);
        match self.slot.repeatable && error.landed() == Landed::Unknown {
            true => error.with_landed(Landed::NotSent),
            false => error,
        }
    }
}

impl TypedConnection {
    /// Gives the requests of a connection handles. It must have none under way but that of a [probe](Connection::probe).
    #[must_use]
    pub fn new(connection: Connection) -> Self {
        Self { connection, requests: VecDeque::new(), first: 0 }
    }

    /// The connection: whether it is idle, say.
    #[must_use]
    pub fn connection(&self) -> &Connection {
        &self.connection
    }

    /// The connection, to write, read and [quit](Connection::quit). What else takes tags or tickets is not for the user of
    /// handles: [`Connection::submit`], [`Connection::next_reply`], [`Connection::cancel`] and the like.
    pub fn connection_mut(&mut self) -> &mut Connection {
        &mut self.connection
    }

    /// Submits a request and returns its handle. Nothing of the command is borrowed afterwards. It has one key or none: for
    /// several keys see [`Call`](crate::call::Call).
    ///
    /// # Errors
    ///
    /// When the request cannot be encoded, or the connection has failed; nothing is queued then.
    pub fn send<C: Detach + ?Sized>(&mut self, command: &C, now: Now) -> Result<Pending<C::Response>, Error> {
        // As many as 4 billion do not fit the memory.
        let tag = self.first.wrapping_add(self.requests.len() as u32);
        let ticket = self.connection.submit(command, now, tag)?;
        let slot = Arc::new(Slot {
            command: command.name(),
            key: command.only_key().map_or_else(SmallVec::new, |key| SmallVec::from_slice(key.as_bytes())),
            repeatable: command.repeatable(),
            end: Mutex::new(None),
        });
        self.requests.push_back(Some(Request { ticket, slot: Arc::clone(&slot) }));
        Ok(Pending { tag, slot, answer: Some(command.detach()) })
    }

    /// Takes bytes that were read, any number of them, and completes the handles whose replies they complete. No bytes are
    /// the end of the stream. See [`Connection::feed`].
    ///
    /// # Errors
    ///
    /// Those of [`Connection::feed`]. All handles that were not completed get the same error, each with what it means for its
    /// request; close the socket.
    pub fn feed(&mut self, bytes: &[u8]) -> Result<(), Error> {
        let Self { connection, requests, first } = self;
        let result = connection.feed(bytes, |tag, reply, is_last| complete(requests, first, tag, reply, is_last));
        self.check(result)
    }

    /// Completes the handles whose replies have come: after [`Connection::advance_read`].
    ///
    /// # Errors
    ///
    /// Those of [`Connection::next_reply`]; then all handles get the error as from [`TypedConnection::feed`].
    pub fn take_replies(&mut self) -> Result<(), Error> {
        let Self { connection, requests, first } = self;
        let result = connection.drain(&mut |tag, reply, is_last| complete(requests, first, tag, reply, is_last));
        self.check(result)
    }

    fn check(&mut self, result: Result<(), Error>) -> Result<(), Error> {
        result.inspect_err(|error| self.fail_pending(error))
    }

    /// Fails the connection for this reason: a failed socket, or a timeout of the server ([`Error::lost`],
    /// [`Error::timeout`]). All handles get the error; each says whether its request may have taken effect.
    pub fn fail_pending(&mut self, error: &Error) {
        for abandoned in self.connection.fail_pending() {
            let at = abandoned.tag.wrapping_sub(self.first) as usize;
            if let Some(request) = self.requests.get_mut(at).and_then(Option::take) {
                *request.slot.lock() = Some(Err(of_one(error, abandoned.landed)));
            }
        }
        // Of the others nobody knows anything: somebody has failed the connection by hand.
        for request in self.requests.drain(..).flatten() {
            *request.slot.lock() = Some(Err(of_one(error, Landed::Unknown)));
        }
    }

    /// Stops caring for a request. `true`: no byte of it was written, and none will be. `false`: it is carried out, or was;
    /// its reply is read and thrown away.
    ///
    /// A handle of another connection changes nothing.
    pub fn cancel<R>(&mut self, pending: Pending<R>) -> bool {
        let Pending { tag, slot, .. } = pending;
        let Some(place) = self.requests.get_mut(tag.wrapping_sub(self.first) as usize) else { return false };
        let ticket = match place {
            Some(request) if Arc::ptr_eq(&request.slot, &slot) => request.ticket,
            _ => return false,
        };
        let is_unwritten = self.connection.cancel(ticket);
        if is_unwritten {
            *place = None;
            close(&mut self.requests, &mut self.first);
        }
        is_unwritten
    }
}

/// The handles do not wait for ever.
impl Drop for TypedConnection {
    fn drop(&mut self) {
        if !self.requests.is_empty() {
            self.fail_pending(&Error::disconnected("the connection was dropped"));
        }
    }
}

/// Takes a reply to one of the requests, and ends that with the last one.
fn complete(requests: &mut VecDeque<Option<Request>>, first: &mut u32, tag: u32, reply: Reply, is_last: bool) {
    let Some(place) = requests.get_mut(tag.wrapping_sub(*first) as usize) else { return };
    let Some(request) = place else { return };
    if !is_last {
        return;
    }
    *request.slot.lock() = Some(Ok(reply));
    *place = None;
    close(requests, first);
}

/// Takes away those in front that have ended.
fn close(requests: &mut VecDeque<Option<Request>>, first: &mut u32) {
    while let Some(None) = requests.front() {
        requests.pop_front();
        *first = first.wrapping_add(1);
    }
}

/// The failure of a connection for one of its requests. An error that cannot say that the request may have taken effect is not
/// taken at its word.
#[cold]
fn of_one(error: &Error, landed: Landed) -> Error {
    match error.clone().with_landed(landed) {
        error if error.landed() == landed => error,
        error if landed == Landed::Unknown => Error::disconnected(&error.to_string()),
        error => error,
    }
}

#[cfg(test)]
mod tests;
