//! What the replies to a request come to.

use std::sync::Arc;

use super::RequestOutcome;
use crate::reply::Reply;

/// What the replies to a request come to, counted as they come.
#[derive(Debug, Default)]
pub(crate) struct Tally {
    hits: usize,
    /// How many bytes of values, or of statistics, there were.
    pub(crate) received: u64,
    end: TallyEnd,
}

/// What the last reply was that is no value.
#[derive(Debug, Default)]
enum TallyEnd {
    #[default]
    None,
    Done,
    NotDone,
    Miss,
    Refused(Arc<str>),
}

impl Tally {
    #[cold]
    pub(crate) fn add(&mut self, reply: &Reply) {
        self.end = match reply {
            Reply::Value(_, value) => {
                self.hits += 1;
                self.received += value.data.len() as u64;
                return;
            }
            // The server had it and sent it.
            Reply::NoMemory(_, length) => {
                self.hits += 1;
                self.received += *length as u64;
                return;
            }
            Reply::Miss | Reply::End => TallyEnd::Miss,
            Reply::NotStored | Reply::Exists | Reply::NotFound => TallyEnd::NotDone,
            Reply::Refused(line) => TallyEnd::Refused(Arc::clone(line)),
            Reply::Quiet(quiet) => {
                if let Some(Reply::Meta(meta)) = &quiet.reply {
                    self.received += meta.item.value.as_ref().map_or(0, |value| value.data.len() as u64);
                }
                match (quiet.refusals.first(), &self.end) {
                    (Some(line), _) => TallyEnd::Refused(Arc::clone(line)),
                    (None, TallyEnd::Refused(_)) => return,
                    (None, _) => TallyEnd::Done,
                }
            }
            Reply::Stats(text) => {
                self.received += text.len() as u64;
                TallyEnd::Done
            }
            _ => TallyEnd::Done,
        };
    }

    /// How many values have come.
    pub(crate) fn hits(&self) -> usize {
        self.hits
    }

    /// The outcome of a request for this many keys.
    pub(crate) fn outcome(&self, keys: usize) -> RequestOutcome<'_> {
        match &self.end {
            TallyEnd::Refused(line) => RequestOutcome::Refused(line),
            TallyEnd::NotDone => RequestOutcome::NotDone,
            TallyEnd::Done => RequestOutcome::Done,
            TallyEnd::Miss | TallyEnd::None => {
                RequestOutcome::Read { hits: self.hits, misses: keys.saturating_sub(self.hits) }
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::reply::QuietReply;
    use crate::value::Value;

    #[test]
    fn replies_come_to_an_outcome() {
        let value = || Reply::Value(0, Value::new("seven b".into(), 0));
        let read = |hits, misses| RequestOutcome::Read { hits, misses };
        let quiet = |lines: &[&str]| {
            let refusals = lines.iter().map(|line| Arc::from(*line)).collect();
            Reply::Quiet(Box::new(QuietReply { refusals, ..QuietReply::default() }))
        };
        for (replies, keys, expected, word, received) in [
            (vec![value()], 1, read(1, 0), "hit", 7),
            (vec![Reply::Miss], 1, read(0, 1), "miss", 0),
            (vec![value(), value(), Reply::End], 5, read(2, 3), "hit", 14),
            (vec![Reply::End], 5, read(0, 5), "miss", 0),
            (vec![value(), Reply::NoMemory(1, 5), Reply::End], 3, read(2, 1), "hit", 12),
            (vec![Reply::Stored], 1, RequestOutcome::Done, "done", 0),
            (vec![Reply::Number(7)], 1, RequestOutcome::Done, "done", 0),
            (vec![Reply::Exists], 1, RequestOutcome::NotDone, "not_done", 0),
            (vec![Reply::Refused("ERROR".into())], 1, RequestOutcome::Refused("ERROR"), "refused", 0),
            (vec![value(), Reply::Refused("ERROR".into())], 2, RequestOutcome::Refused("ERROR"), "refused", 7),
            (vec![quiet(&["ERROR"]), quiet(&[])], 3, RequestOutcome::Refused("ERROR"), "refused", 0),
            (vec![quiet(&[]), quiet(&[])], 3, RequestOutcome::Done, "done", 0),
            (vec![Reply::Stats((*b"pid 1\r\n").into())], 1, RequestOutcome::Done, "done", 7),
        ] {
            let mut tally = Tally::default();
            replies.iter().for_each(|reply| tally.add(reply));
            let outcome = tally.outcome(keys);
            assert_eq!((outcome, outcome.as_str(), tally.received), (expected, word, received));
        }
    }
}
