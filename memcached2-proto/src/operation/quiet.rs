//! Several commands of which those that succeed are not answered.

use std::ops::Range;
use std::sync::Arc;

use super::BatchResult;
use crate::call::{Operation, Plan, Progress};
use crate::command::{Quiet, QuietPart};
use crate::error::{Error, Landed};
use crate::reply::{QuietReply, Reply, error_line};

/// Many commands of one type, each to the server of its key, of which those that succeed are not answered: made by
/// [`Batch::quiet`](super::Batch::quiet), [`SetMany::quiet`](super::SetMany::quiet) and
/// [`DeleteMany::quiet`](super::DeleteMany::quiet).
///
/// It sends the meta commands with flag `q`, up to 128 of them at once, and after them an `mn`: what was not answered before that
/// has succeeded, or missed if it is an `mg`. The result is the same as of a [`Batch`](super::Batch), for fewer bytes from the server.
/// What else is different:
///
/// * An error line does not say which request it answers. If as many lines come as there are requests that it can be, each has its
///   own. Else all of these, at most 128, are [`Error::Refused`] with [`Landed::Unknown`]: the
///   others have succeeded. So one value that is too large for the server leaves it open what became of its neighbours.
/// * If the connection is lost, all that was not answered so far may have landed.
/// * A server that leaves out a reply is not noticed, unless it leaves out the answer to the `mn`, too.
/// * A request that asks for what a hidden reply would have said, such as the new version of an `ms`, is [`Error::Argument`].
/// * A server that speaks no meta is sent nothing: [`Error::NoMeta`].
#[derive(Debug, Clone)]
pub struct QuietBatch<C> {
    commands: Vec<C>,
}

impl<C: Quiet> QuietBatch<C> {
    /// Runs `commands`.
    #[must_use]
    pub fn new(commands: Vec<C>) -> Self {
        Self { commands }
    }
}

impl<C: Quiet> Operation for QuietBatch<C> {
    type Output = BatchResult<C::Response>;
    type Progress = Quietly<C>;

    fn start(self, plan: &mut Plan<'_>) -> Quietly<C> {
        let results = self.commands.iter().map(|_| None).collect();
        let mut quietly = Quietly { parts: Vec::new(), results };
        for (place, command, error) in quietly.spread(self.commands.into_iter().enumerate(), plan) {
            quietly.parts.push(QuietPart::new(vec![(place, command)]));
            plan.refuse(quietly.parts.len() - 1, error);
        }
        quietly
    }
}

/// Several commands, as many as go together in each request, under way.
#[derive(Debug)]
pub struct Quietly<C: Quiet> {
    parts: Vec<QuietPart<C>>,
    /// `None` as long as nothing has come.
    results: Vec<Option<Result<C::Response, Error>>>,
}

/// The place in a request of the command that was sent as this one: without those that could not be encoded.
fn sent<C: Quiet>(part: &QuietPart<C>, at: u32) -> usize {
    let is_sent = |place: &usize| part.fault(*place).is_none();
    (0..part.items().len()).filter(is_sent).nth(at as usize).unwrap_or_else(|| part.items().len())
}

impl<C: Quiet> Quietly<C> {
    /// Plans requests for commands, each with its place, and returns those for which there is no server.
    fn spread(&mut self, commands: impl Iterator<Item = (usize, C)>, plan: &mut Plan<'_>) -> Vec<(usize, C, Error)> {
        let router = plan.router();
        let mut left = Vec::new();
        let mut by_server: Vec<_> = router.ids().map(|_| Gathered { items: Vec::new(), bytes: 0, values: 0 }).collect();
        for (place, command) in commands {
            match plan.assign(command.routing_key().unchecked()) {
                Err(error) => left.push((place, command, error)),
                Ok(server) => {
                    let gathered = &mut by_server[server.index()];
                    if let Some(request) = gathered.add(place, command, router.prefix_length()) {
                        plan.push(server, self.parts.len());
                        self.parts.push(request);
                    }
                }
            }
        }
        for (server, gathered) in router.ids().zip(by_server) {
            if !gathered.items.is_empty() {
                plan.push(server, self.parts.len());
                self.parts.push(QuietPart::new(gathered.items));
            }
        }
        left
    }

    fn set(&mut self, index: usize, at: usize, result: Result<C::Response, Error>) {
        let Some((place, command)) = self.parts[index].item(at) else { return };
        let key = command.only_key();
        let result =
            result.map_err(|error| error.of_request(command.name(), key.as_ref().map(|key| key.as_bytes()), None));
        let result = result.map_err(|error| match command.repeatable() && error.landed() == Landed::Unknown {
            true => error.with_landed(Landed::NotSent),
            false => error,
        });
        self.results[place] = Some(result);
    }

    /// Takes what came: the reply to one of the commands, and the error lines before it.
    fn take(&mut self, index: usize, QuietReply { at, reply, refusals, from }: QuietReply) {
        let at = sent(&self.parts[index], at);
        if !refusals.is_empty() {
            self.refuse(index, sent(&self.parts[index], from)..at, &refusals);
        }
        if let (Some(reply), Some((_, command))) = (reply, self.parts[index].item(at)) {
            let result = command.answer_quiet(reply);
            self.set(index, at, result);
        }
    }

    /// Takes the error lines to some of these commands.
    fn refuse(&mut self, index: usize, between: Range<usize>, lines: &[Arc<str>]) {
        let Some(first) = lines.first() else { return };
        let part = &self.parts[index];
        let candidates: Vec<_> = between.filter(|at| part.fault(*at).is_none()).collect();
        let is_certain = candidates.len() == lines.len();
        for (nth, at) in candidates.into_iter().enumerate() {
            let error = match (is_certain, lines.get(nth)) {
                (true, Some(line)) => error_line::refusal(line),
                _ => Error::refused(first, Landed::Unknown),
            };
            self.set(index, at, Err(error));
        }
    }

    /// Ends those of a request of which nothing has come.
    fn end_rest(&mut self, index: usize, end: impl Fn(&C) -> Result<C::Response, Error>) {
        for at in 0..self.parts[index].items().len() {
            let part = &self.parts[index];
            let Some((place, command)) = part.item(at) else { continue };
            if let Some(error) = part.fault(at) {
                self.set(index, at, Err(error));
            } else if self.results[place].is_none() {
                let result = end(command);
                self.set(index, at, result);
            }
        }
    }
}

/// The commands that go to one server in the next request.
struct Gathered<C> {
    items: Vec<(usize, C)>,
    bytes: usize,
    values: usize,
}

impl<C: Quiet> Gathered<C> {
    /// Adds a command; returns the request that is full by it.
    fn add(&mut self, place: usize, command: C, prefix: usize) -> Option<QuietPart<C>> {
        /// About what a command has besides key and value.
        const FLAGS: usize = 64;
        self.bytes += prefix + command.key().as_bytes().len() + FLAGS;
        self.values = self.values.saturating_add(command.transfer_size());
        self.items.push((place, command));
        let is_full = self.items.len() == QuietPart::<C>::MOST
            || self.bytes > QuietPart::<C>::BYTES
            || self.values > QuietPart::<C>::VALUES;
        if !is_full {
            return None;
        }
        (self.bytes, self.values) = (0, 0);
        Some(QuietPart::new(std::mem::take(&mut self.items)))
    }
}

impl<C: Quiet> Progress for Quietly<C> {
    type Command = QuietPart<C>;
    type Output = BatchResult<C::Response>;

    fn command(&self, index: usize) -> &QuietPart<C> {
        &self.parts[index]
    }

    fn take_reply(&mut self, index: usize, reply: Reply) {
        if let Reply::Quiet(reply) = reply {
            self.take(index, *reply);
        }
    }

    /// What was not answered has succeeded if the end has come; else nobody knows.
    fn end(&mut self, index: usize, result: Result<Reply, Error>) {
        match result {
            Ok(Reply::Quiet(end)) => {
                self.take(index, *end);
                self.end_rest(index, |command| command.answer_quiet(command.hidden()));
            }
            Ok(other) => {
                let error = Error::protocol(format!("{other:?} is no end of a quiet batch"));
                self.end_rest(index, |_| Err(error.clone()));
            }
            Err(error) => self.end_rest(index, |_| Err(error.clone())),
        }
    }

    fn replan(&mut self, index: usize, plan: &mut Plan<'_>) -> bool {
        let items = self.parts[index].take_items();
        let left = self.spread(items.into_iter(), plan);
        let left: Vec<_> = left.into_iter().map(|(place, command, _)| (place, command)).collect();
        let all_are_planned = left.is_empty();
        self.parts[index] = QuietPart::new(left);
        all_are_planned
    }

    fn is_batch(&self) -> bool {
        true
    }

    fn finish(self) -> Result<Self::Output, Error> {
        Ok(self.results.into_iter().map(|result| result.unwrap_or_else(|| Err(Error::closed()))).collect())
    }
}

#[cfg(test)]
mod tests {
    use std::time::SystemTime;

    use super::*;
    use crate::call::{Call, ServerBatch};
    use crate::command::Get;
    use crate::command::Protocol;
    use crate::command::meta::MetaGet;
    use crate::connection::Connection;
    use crate::limits::Limits;
    use crate::routing::Router;
    use crate::time::{Instant, Now};

    type Gets<'k, 'r> = Call<'r, QuietBatch<MetaGet<'k>>>;

    fn now() -> Now {
        Now::fixed(Instant::ZERO, SystemTime::UNIX_EPOCH)
    }

    /// A connection whose server has answered a request.
    fn connection() -> Connection {
        let mut connection = Connection::new(Limits::default());
        connection.set_protocol(Protocol::Meta);
        connection.submit(&Get::new("x").unwrap(), now(), 0).unwrap();
        while connection.take_outgoing().is_some() {}
        connection.feed(b"EN O0000\r\n", |_, _, _| {}).unwrap();
        connection
    }

    /// Sends what is open, and takes what the server says to it.
    fn exchange(
        call: &mut Gets<'_, '_>,
        connection: &mut Connection,
        come: &[u8],
    ) -> (ServerBatch, Result<bool, Error>) {
        let mut batch = call.batch(0).unwrap();
        call.submit(&mut batch, connection, now());
        while connection.take_outgoing().is_some() {}
        connection.read_buf()[..come.len()].copy_from_slice(come);
        connection.advance_read(come.len()).unwrap();
        let is_done = call.take_replies(&mut batch, connection);
        (batch, is_done)
    }

    #[test]
    fn an_error_line_on_another_connection_answers_a_request_before_those_that_were_answered_on_the_first_one() {
        let router = Router::parse(["server"]).unwrap();
        let commands = ["a", "b", "c"].map(|key| MetaGet::new(key).unwrap().value());
        let mut call = Call::new(QuietBatch::new(commands.into()), &router, now());
        let mut first = connection();
        let answer = b"VA 1 O000102\r\nx\r\nSERVER_ERROR out of memory reading request\r\n";
        let (mut batch, end) = exchange(&mut call, &mut first, answer);
        call.fail_on(&mut batch, &mut first, &end.unwrap_err(), false);
        assert!(call.end_round(|| Instant::ZERO), "it only reads, so it is sent again");
        let answer = b"SERVER_ERROR out of memory\r\nVA 1 O000101\r\ny\r\nMN\r\nNF O0001\r\n";
        assert_eq!(exchange(&mut call, &mut connection(), answer).1, Ok(true));
        assert!(!call.end_round(|| Instant::ZERO));
        let results: Vec<_> = call.finish().unwrap().into_iter().collect();
        assert!(matches!(results[0], Err(Error::Refused { .. })), "{results:?}");
        let value = |at: usize| results[at].as_ref().unwrap().as_ref().unwrap().value.clone().unwrap();
        assert_eq!((&*value(1).data, &*value(2).data), (&b"y"[..], &b"x"[..]));
    }
}
