//! The classic commands.

use super::Core;
use super::dispatch::{Answer, BAD_FORMAT, Next, Upload, UploadReply};
use super::store::{Delta, Fit, Incoming, Mode, Moment};
use super::syntax::{Line, i32_of, u32_of, u64_of};

/// The longest key.
pub(super) const KEY: usize = 250;
/// The longest value whose length still fits with its CRLF.
pub(super) const VALUE: i32 = i32::MAX - 2;

const BAD_EXPTIME: &str = "CLIENT_ERROR invalid exptime argument";

pub(super) fn get(core: &mut Core, line: &Line<'_>, with_cas: bool, now: Moment) -> Answer {
    fetch(core, &line.words[1..], line.rest, None, with_cas, now)
}

pub(super) fn gat(core: &mut Core, line: &Line<'_>, with_cas: bool, now: Moment) -> Answer {
    let Some(exptime) = i32_of(line.words[1]) else { return Answer::line(BAD_EXPTIME) };
    let exptime = core.store.expiry(exptime, now);
    fetch(core, &line.words[2..], line.rest, Some(exptime), with_cas, now)
}

fn fetch(
    core: &mut Core,
    first: &[&[u8]],
    mut rest: &[u8],
    exptime: Option<Moment>,
    with_cas: bool,
    now: Moment,
) -> Answer {
    if core.lacks_memory() {
        return Answer { alone: true, ..Answer::line("SERVER_ERROR out of memory writing get response") };
    }
    // Before 1.6.35 each is sent at once.
    let mut answer = Answer { urgent: !core.is_since((1, 6, 35)), ..Answer::default() };
    let mut keys = first.to_vec();
    loop {
        for key in &keys {
            if key.len() > KEY {
                return Answer { alone: true, ..Answer::line(BAD_FORMAT) };
            }
            fetch_one(core, key, exptime, with_cas, now, &mut answer);
        }
        if rest.is_empty() {
            answer.bytes.extend(b"END\r\n");
            return answer;
        }
        let line = Line::split(rest);
        (keys, rest) = (line.words, line.rest);
    }
}

fn fetch_one(core: &mut Core, key: &[u8], exptime: Option<Moment>, with_cas: bool, now: Moment, answer: &mut Answer) {
    let store = &mut core.store;
    let mut class = None;
    if let Some(item) = store.fetch(key, now) {
        if let Some(exptime) = exptime {
            item.exptime = exptime;
        }
        class = Some(item.class);
        answer.pins.push(item.pin.clone());
        answer.bytes.extend([b"VALUE ", key].concat());
        let cas = if with_cas { format!(" {}", item.cas) } else { String::new() };
        answer.bytes.extend(format!(" {} {}{cas}\r\n", item.flags, item.value.len()).into_bytes());
        answer.bytes.extend(&item.value);
        answer.bytes.extend(b"\r\n");
    }
    if let Some(prefix) = core.detail.then(|| store.counts.prefix(key)).flatten() {
        prefix.gets += 1;
        prefix.hits += u64::from(class.is_some());
    }
    store.counts.fetched(class, exptime.is_some());
}

pub(super) fn store(core: &mut Core, line: &Line<'_>, mode: Mode, now: Moment) -> Next {
    let noreply = line.noreply();
    let key = line.words[1];
    let numbers = (u32_of(line.words[2]), i32_of(line.words[3]), i32_of(line.words[4]));
    let cas = if mode == Mode::Cas { u64_of(line.words[5]) } else { Some(0) };
    let ((Some(flags), Some(exptime), Some(length @ 0..=VALUE)), Some(cas)) = (numbers, cas) else {
        return Answer::line_unless(noreply, BAD_FORMAT).into();
    };
    if key.len() > KEY {
        return Answer::line_unless(noreply, BAD_FORMAT).into();
    }
    if let Some(prefix) = core.detail.then(|| core.store.counts.prefix(key)).flatten() {
        prefix.sets += 1;
    }
    let length = length as usize;
    if let Some(refusal) = refusal(core, key, flags, length) {
        if mode == Mode::Set && core.store.find(key, now).is_some() {
            core.store.unlink(key);
        }
        return Next::Swallow(length + 2, Answer::line_unless(noreply, refusal));
    }
    let exptime = core.store.expiry(exptime, now);
    let item = Incoming { key: key.to_vec(), flags, exptime, cas, ..Incoming::default() };
    Next::Block(Upload { mode, item, length, reply: UploadReply::Text { noreply } })
}

/// Says why there is no space for an item, and counts it.
pub(super) fn refusal(core: &mut Core, key: &[u8], flags: u32, length: usize) -> Option<&'static str> {
    let fit = if core.faults.is_full { Fit::NoMemory } else { core.store.fit(key, flags, length) };
    match fit {
        Fit::Fits => None,
        Fit::TooLarge => {
            core.store.counts.store_too_large += 1;
            Some("SERVER_ERROR object too large for cache")
        }
        Fit::NoMemory => {
            core.store.counts.store_no_memory += 1;
            Some("SERVER_ERROR out of memory storing object")
        }
    }
}

pub(super) fn delete(core: &mut Core, line: &Line<'_>, now: Moment) -> Answer {
    let (key, arguments) = (line.words[1], &line.words[2..]);
    let noreply = !arguments.is_empty() && line.noreply();
    if !matches!(arguments, [] | [b"0" | b"noreply"] | [b"0", b"noreply"]) {
        let usage = "CLIENT_ERROR bad command line format.  Usage: delete <key> [noreply]";
        return Answer::line_unless(noreply, usage);
    }
    if key.len() > KEY {
        return Answer::line_unless(noreply, BAD_FORMAT);
    }
    let store = &mut core.store;
    if let Some(prefix) = core.detail.then(|| store.counts.prefix(key)).flatten() {
        prefix.deletes += 1;
    }
    let Some(class) = store.find(key, now).map(|item| item.class) else {
        store.counts.delete_misses += 1;
        return Answer::line_unless(noreply, "NOT_FOUND");
    };
    store.delete(key, "delete");
    store.counts.class(class).delete_hits += 1;
    Answer::line_unless(noreply, "DELETED")
}

pub(super) fn count(core: &mut Core, line: &Line<'_>, up: bool, now: Moment) -> Answer {
    let noreply = line.noreply();
    let key = line.words[1];
    if key.len() > KEY {
        return Answer::line_unless(noreply, BAD_FORMAT);
    }
    let Some(delta) = u64_of(line.words[2]) else {
        return Answer::line_unless(noreply, "CLIENT_ERROR invalid numeric delta argument");
    };
    match core.store.delta(key, up, delta, 0, now) {
        Delta::Done(counted) => Answer::line_unless(noreply, &counted.value.to_string()),
        Delta::NonNumeric => Answer::line_unless(noreply, NON_NUMERIC),
        Delta::NotFound | Delta::Mismatch => {
            core.store.counts.not_counted(up);
            Answer::line_unless(noreply, "NOT_FOUND")
        }
    }
}

pub(super) const NON_NUMERIC: &str = "CLIENT_ERROR cannot increment or decrement non-numeric value";

pub(super) fn touch(core: &mut Core, line: &Line<'_>, now: Moment) -> Answer {
    let noreply = line.noreply();
    let key = line.words[1];
    if key.len() > KEY {
        return Answer::line_unless(noreply, BAD_FORMAT);
    }
    let Some(exptime) = i32_of(line.words[2]) else {
        return Answer::line_unless(noreply, BAD_EXPTIME);
    };
    let exptime = core.store.expiry(exptime, now);
    let class = core.store.fetch(key, now).map(|item| {
        item.exptime = exptime;
        item.class
    });
    core.store.counts.fetched(class, true);
    Answer::line_unless(noreply, if class.is_some() { "TOUCHED" } else { "NOT_FOUND" })
}

pub(super) fn flush_all(core: &mut Core, line: &Line<'_>, now: Moment) -> Answer {
    let noreply = line.noreply();
    core.store.counts.flush_cmds += 1;
    let mut delay = 0;
    if line.words.len() != if noreply { 2 } else { 1 } {
        match i32_of(line.words[1]) {
            Some(given) => delay = given,
            None => return Answer::line_unless(noreply, BAD_EXPTIME),
        }
    }
    let by_cas = !core.is_since((1, 6, 25));
    core.store.flush_all(delay, by_cas, now);
    Answer::line_unless(noreply, "OK")
}
