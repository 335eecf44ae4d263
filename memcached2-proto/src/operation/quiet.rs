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
            quietly.push(QuietPart::new(vec![(place, command)]));
            plan.refuse(quietly.parts.len() - 1, error);
        }
        quietly
    }
}

/// Several commands, as many as go together in each request, under way.
#[derive(Debug)]
pub struct Quietly<C: Quiet> {
    parts: Vec<Part<C>>,
    /// `None` as long as nothing has come.
    results: Vec<Option<Result<C::Response, Error>>>,
}

#[derive(Debug)]
struct Part<C: Quiet> {
    request: QuietPart<C>,
    /// The first of its commands that can still have a reply.
    next: usize,
}

impl<C: Quiet> Part<C> {
    /// The place in the request of the command that was sent as this one: without those that could not be encoded.
    fn sent(&self, at: usize) -> usize {
        let is_sent = |place: &usize| self.request.fault(*place).is_none();
        (0..self.request.items().len()).filter(is_sent).nth(at).unwrap_or_else(|| self.request.items().len())
    }
}

impl<C: Quiet> Quietly<C> {
    fn push(&mut self, request: QuietPart<C>) {
        self.parts.push(Part { request, next: 0 });
    }

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
                        self.push(request);
                    }
                }
            }
        }
        for (server, gathered) in router.ids().zip(by_server) {
            if !gathered.items.is_empty() {
                plan.push(server, self.parts.len());
                self.push(QuietPart::new(gathered.items));
            }
        }
        left
    }

    fn set(&mut self, index: usize, at: usize, result: Result<C::Response, Error>) {
        let Some((place, command)) = self.parts[index].request.item(at) else { return };
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
    fn take(&mut self, index: usize, QuietReply { at, reply, refusals }: QuietReply) {
        let part = &self.parts[index];
        let at = part.sent(at as usize);
        let between = part.next..at;
        self.refuse(index, between, &refusals);
        if let (Some(reply), Some((_, command))) = (reply, self.parts[index].request.item(at)) {
            let result = command.answer_quiet(reply);
            self.set(index, at, result);
        }
        self.parts[index].next = at + 1;
    }

    /// Takes the error lines to some of these commands.
    fn refuse(&mut self, index: usize, between: Range<usize>, lines: &[Arc<str>]) {
        let Some(first) = lines.first() else { return };
        let part = &self.parts[index];
        let candidates: Vec<_> = between.filter(|at| part.request.fault(*at).is_none()).collect();
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
        for at in 0..self.parts[index].request.items().len() {
            let part = &self.parts[index];
            let Some((place, command)) = part.request.item(at) else { continue };
            if let Some(error) = part.request.fault(at) {
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
        &self.parts[index].request
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
        self.parts[index].next = 0;
    }

    fn replan(&mut self, index: usize, plan: &mut Plan<'_>) -> bool {
        let items = self.parts[index].request.take_items();
        let left = self.spread(items.into_iter(), plan);
        let left: Vec<_> = left.into_iter().map(|(place, command, _)| (place, command)).collect();
        let all_are_planned = left.is_empty();
        self.parts[index] = Part { request: QuietPart::new(left), next: 0 };
        all_are_planned
    }

    fn is_batch(&self) -> bool {
        true
    }

    fn finish(self) -> Result<Self::Output, Error> {
        Ok(self.results.into_iter().map(|result| result.unwrap_or_else(|| Err(Error::closed()))).collect())
    }
}
