//! The meta commands.

use std::mem::take;

use super::Core;
use super::dispatch::{Answer, BAD_FORMAT, Next, Upload, UploadReply};
use super::flags::{Flags, OPAQUE, OPAQUE_TOO_LONG, check, key, number, opaque, ttl};
use super::slabs::size;
use super::store::{Counted, Delta, Incoming, Item, Mode, Moment, Outcome};
use super::syntax::{Line, from_base64, i32_of, to_base64};
use super::text::{KEY, NON_NUMERIC, VALUE, refusal};

pub(super) fn get(core: &mut Core, line: &Line<'_>, now: Moment) -> Answer {
    let parsed = check(line, "CLIENT_ERROR options flags are too long").and_then(|()| Flags::of(core, line, 2, now));
    let mut flags = match parsed {
        Ok(flags) => flags,
        Err(error) => return Answer::line(error),
    };
    let words = &line.words[2..];
    let compares = core.is_since((1, 6, 40));
    let store = &mut core.store;
    if !flags.marked_late && !flags.no_update {
        store.fetch(&flags.key, now);
    }
    // Without memory for the item it is a miss.
    let makes = flags.vivify.is_some() && !core.faults.is_full;
    let created = makes && store.find(&flags.key, now).is_none();
    if created {
        store.link(Incoming { key: flags.key.clone(), new_cas: flags.new_cas, ..Incoming::default() }, now);
    }
    let mut answer = Answer::default();
    let touched = flags.exptime.is_some();
    let Some(item) = store.find(&flags.key, now) else {
        answer.bytes.extend(b"EN");
        if let Err(error) = flags.echo(words, &mut answer.bytes) {
            store.counts.fetched(None, false);
            return Answer::line(error);
        }
        answer.bytes.extend(b"\r\n");
        store.counts.fetched(None, false);
        return if flags.quiet { Answer::default() } else { answer };
    };
    if compares && flags.cas == Some(item.cas) {
        flags.value = false;
    }
    if let Err(error) = describe(item, &flags, words, created, now, &mut answer.bytes) {
        return Answer::line(error);
    }
    answer.pins.push(item.pin.clone());
    let class = item.class;
    if flags.marked_late && !flags.no_update {
        store.bump(&flags.key, now);
    }
    store.counts.fetched(Some(class), touched);
    answer
}

fn describe(
    item: &mut Item,
    flags: &Flags,
    words: &[&[u8]],
    created: bool,
    now: Moment,
    bytes: &mut Vec<u8>,
) -> Result<(), &'static str> {
    let mut won = false;
    match flags.value {
        true => bytes.extend(format!("VA {}", item.value.len()).into_bytes()),
        false => bytes.extend(b"HD"),
    }
    for word in words {
        match word[0] {
            b'T' => item.exptime = flags.exptime.unwrap_or_default(),
            b'N' if created => {
                item.exptime = flags.vivify.unwrap_or_default();
                won = true;
            }
            b'R' => won |= !item.token_sent && !created && item.exptime != 0 && item.exptime < flags.recache,
            b's' => number('s', item.value.len(), bytes),
            b't' => ttl(item.exptime, now, bytes),
            b'c' => number('c', item.cas, bytes),
            b'f' => number('f', item.flags, bytes),
            b'l' => number('l', now.wrapping_sub(item.time), bytes),
            b'h' => number('h', u8::from(item.fetched), bytes),
            b'O' => opaque(word, bytes)?,
            b'k' => key(&flags.key, item.binary, bytes),
            _ => {}
        }
    }
    if item.token_sent {
        bytes.extend(b" Z");
    }
    if item.stale {
        bytes.extend(b" X");
        won |= !item.token_sent;
    }
    if won {
        bytes.extend(b" W");
        item.token_sent = true;
    }
    bytes.extend(b"\r\n");
    if flags.value {
        bytes.extend(&item.value);
        bytes.extend(b"\r\n");
    }
    Ok(())
}

/// A piece of the answer to an `ms`.
#[derive(Debug)]
pub(super) enum Part {
    Opaque(Vec<u8>),
    Key,
    Cas,
    Size,
}

pub(super) fn set(core: &mut Core, line: &Line<'_>, now: Moment) -> Next {
    let length = check(line, "CLIENT_ERROR options flags too long")
        .and_then(|()| line.words.get(2).and_then(|word| i32_of(word)).ok_or(BAD_FORMAT));
    let length = match length {
        Ok(length @ 0..=VALUE) => length as usize,
        Ok(_) => return Answer::line(BAD_FORMAT).into(),
        Err(error) => return Answer::line(error).into(),
    };
    match upload(core, line, length, now) {
        Ok(upload) => Next::Block(upload),
        Err(error) => Next::Swallow(length + 2, Answer::line(error)),
    }
}

fn upload(core: &mut Core, line: &Line<'_>, length: usize, now: Moment) -> Result<Upload, &'static str> {
    let mut flags = Flags::of(core, line, 3, now)?;
    let mut parts = Vec::new();
    let mut error = Ok(());
    for word in &line.words[3..] {
        match word[0] {
            b'O' if word.len() > OPAQUE => error = Err(OPAQUE_TOO_LONG),
            b'O' => parts.push(Part::Opaque(word.to_vec())),
            b'k' => parts.push(Part::Key),
            b'c' => parts.push(Part::Cas),
            b's' if core.is_since((1, 6, 20)) => parts.push(Part::Size),
            _ => {}
        }
    }
    let mode = match flags.mode {
        None | Some(b'S') if flags.cas.is_some() => Mode::Cas,
        Some(b'R') if flags.cas.is_some() => Mode::Cas,
        None | Some(b'S') => Mode::Set,
        Some(b'E') => Mode::Add,
        Some(b'A') => Mode::Append,
        Some(b'P') => Mode::Prepend,
        Some(b'R') => Mode::Replace,
        Some(_) => return Err("CLIENT_ERROR invalid mode for ms M token"),
    };
    error?;
    if let Some(refusal) = refusal(core, &flags.key, flags.client_flags, length) {
        if core.store.find(&flags.key, now).is_some() {
            core.store.unlink(&flags.key);
        }
        return Err(refusal);
    }
    let item = Incoming {
        key: take(&mut flags.key),
        flags: flags.client_flags,
        exptime: flags.exptime.unwrap_or_default(),
        cas: flags.cas.unwrap_or_default(),
        binary: flags.key_binary,
        may_be_stale: flags.stale && mode == Mode::Cas,
        new_cas: flags.new_cas,
        vivify: flags.vivify.filter(|_| core.is_since((1, 6, 20))),
        ..Incoming::default()
    };
    Ok(Upload { mode, item, length, reply: UploadReply::Meta { quiet: flags.quiet, parts } })
}

/// Answers an `ms` whose value has come. `size` is that of the stored value, or of the one that was not stored.
pub(super) fn stored(
    outcome: &Outcome,
    quiet: bool,
    parts: &[Part],
    (name, binary): (&[u8], bool),
    size: usize,
) -> Answer {
    let (code, cas) = match outcome {
        Outcome::Stored(_) if quiet => return Answer::default(),
        Outcome::Stored(cas) => (b"HD", *cas),
        Outcome::NotStored => (b"NS", 0),
        Outcome::Exists => (b"EX", 0),
        Outcome::NotFound => (b"NF", 0),
    };
    let mut bytes = code.to_vec();
    for part in parts {
        match part {
            Part::Opaque(word) => bytes.extend([b" ", &word[..]].concat()),
            Part::Key => key(name, binary, &mut bytes),
            Part::Cas => number('c', cas, &mut bytes),
            Part::Size => number('s', size, &mut bytes),
        }
    }
    bytes.extend(b"\r\n");
    Answer::bytes(bytes)
}

/// Reads the flags of a command that has one error line for all mistakes.
fn strict_flags(core: &Core, line: &Line<'_>, now: Moment) -> Result<Flags, &'static str> {
    check(line, "CLIENT_ERROR options flags too long")?;
    Flags::of(core, line, 2, now).map_err(|_| "CLIENT_ERROR invalid or duplicate flag")
}

pub(super) fn delete(core: &mut Core, line: &Line<'_>, now: Moment) -> Answer {
    try_delete(core, line, now).unwrap_or_else(Answer::line)
}

fn try_delete(core: &mut Core, line: &Line<'_>, now: Moment) -> Result<Answer, &'static str> {
    let mut flags = match core.is_since((1, 6, 40)) {
        false => strict_flags(core, line, now)?,
        true => check(line, "CLIENT_ERROR options flags are too long").and_then(|()| Flags::of(core, line, 2, now))?,
    };
    let mut echo = Vec::new();
    flags.echo(&line.words[2..], &mut echo)?;
    let store = &mut core.store;
    let code = match store.find(&flags.key, now) {
        None => {
            store.counts.delete_misses += 1;
            "NF"
        }
        Some(item) if flags.cas.is_some_and(|cas| cas != item.cas) => {
            store.counts.delete_misses += 1;
            "EX"
        }
        Some(item) if flags.stale || flags.remove_value => {
            let new_cas = if flags.new_cas == 0 { item.cas } else { flags.new_cas };
            if flags.remove_value {
                let (key, exptime) = (take(&mut flags.key), flags.exptime.unwrap_or_default());
                store.link(Incoming { key: key.clone(), exptime, new_cas, ..Incoming::default() }, now);
                flags.key = key;
            }
            if flags.stale {
                let cas = if flags.new_cas == 0 { store.next_cas() } else { flags.new_cas };
                if let Some(item) = store.item(&flags.key) {
                    item.exptime = flags.exptime.unwrap_or(item.exptime);
                    (item.stale, item.token_sent, item.cas) = (true, false, cas);
                }
            } else if let Some(class) = store.item(&flags.key).map(|item| item.class) {
                // An item without its value counts as deleted.
                store.counts.class(class).delete_hits += 1;
            }
            "HD"
        }
        Some(item) => {
            let class = item.class;
            store.counts.class(class).delete_hits += 1;
            store.delete(&flags.key, "md");
            "HD"
        }
    };
    if flags.quiet && code == "HD" {
        return Ok(Answer::default());
    }
    Ok(Answer::bytes([code.as_bytes(), &echo, b"\r\n"].concat()))
}

pub(super) fn arithmetic(core: &mut Core, line: &Line<'_>, now: Moment) -> Answer {
    try_arithmetic(core, line, now).unwrap_or_else(Answer::line)
}

fn try_arithmetic(core: &mut Core, line: &Line<'_>, now: Moment) -> Result<Answer, &'static str> {
    let flags = strict_flags(core, line, now)?;
    let words = &line.words[2..];
    let up = match flags.mode {
        None | Some(b'I' | b'+') => true,
        Some(b'D' | b'-') => false,
        Some(_) => return Err("CLIENT_ERROR invalid mode for ma M token"),
    };
    let is_quiet = flags.quiet && core.is_since((1, 6, 40));
    let store = &mut core.store;
    let mut answer = Answer::default();
    let (mut counted, created) = match store.delta(&flags.key, up, flags.delta, flags.cas.unwrap_or_default(), now) {
        Delta::Done(counted) => (counted, false),
        Delta::NonNumeric => return Err(NON_NUMERIC),
        Delta::NotFound if flags.vivify.is_some() && core.faults.is_full => {
            return Err("SERVER_ERROR Out of memory allocating new item");
        }
        Delta::NotFound if flags.vivify.is_some() => {
            let value = flags.initial.to_string().into_bytes();
            let (key, new_cas) = (flags.key.clone(), flags.new_cas);
            let cas = store.link(Incoming { key, value, new_cas, ..Incoming::default() }, now);
            (Counted { value: flags.initial, cas, exptime: 0, in_place: true }, true)
        }
        missed => {
            if missed == Delta::NotFound {
                store.counts.not_counted(up);
            }
            answer.bytes.extend(if missed == Delta::NotFound { b"NF" } else { b"EX" });
            flags.echo(words, &mut answer.bytes)?;
            answer.bytes.extend(b"\r\n");
            return Ok(answer);
        }
    };
    if flags.new_cas != 0 {
        counted.cas = flags.new_cas;
        // A new item keeps the cas that it was made with, as in memcached.
        if let Some(item) = store.item(&flags.key).filter(|_| counted.in_place) {
            item.cas = flags.new_cas;
        }
    }
    let value = counted.value.to_string();
    if flags.value {
        answer.bytes.extend(format!("VA {}", value.len()).into_bytes());
    } else {
        answer.bytes.extend(b"HD");
    }
    let mut exptime = counted.exptime;
    for word in words {
        match word[0] {
            b'c' => number('c', counted.cas, &mut answer.bytes),
            b't' => ttl(exptime, now, &mut answer.bytes),
            b'T' => exptime = flags.exptime.unwrap_or_default(),
            b'N' if created => exptime = flags.vivify.unwrap_or_default(),
            b'O' => opaque(word, &mut answer.bytes)?,
            b'k' => key(&flags.key, flags.key_binary, &mut answer.bytes),
            _ => {}
        }
        // A new item keeps the old time to live, as in memcached.
        if let Some(item) = store.item(&flags.key).filter(|_| counted.in_place) {
            item.exptime = exptime;
        }
    }
    if is_quiet || (flags.quiet && !created) {
        return Ok(Answer::default());
    }
    answer.bytes.extend(b"\r\n");
    if flags.value {
        answer.bytes.extend(format!("{value}\r\n").into_bytes());
    }
    Ok(answer)
}

pub(super) fn debug(core: &mut Core, line: &Line<'_>, now: Moment) -> Answer {
    let Some(name) = line.words.get(1).filter(|name| name.len() <= KEY) else { return Answer::line(BAD_FORMAT) };
    let encoded = line.words.get(2).is_some_and(|word| *word == b"b");
    // From then on the flag is seen only if something follows it.
    let encoded = encoded && (line.words.len() > 3 || !core.is_since((1, 6, 40)));
    let decoded = if encoded { from_base64(name) } else { Some(name.to_vec()) };
    let Some(name) = decoded else { return Answer::line(BAD_FORMAT) };
    core.store.counts.meta_cmds += 1;
    let newer = core.is_since((1, 6, 24));
    let Some(item) = core.store.find(&name, now) else { return Answer::line("EN") };
    let mut bytes = b"ME ".to_vec();
    if item.binary {
        to_base64(&name, &mut bytes);
    } else {
        bytes.extend(&name);
    }
    let exptime = match item.exptime {
        0 => -1,
        exptime if newer => i64::from(exptime) - i64::from(now),
        exptime => i64::from(now) - i64::from(exptime),
    };
    let (la, cas, fetched) = (now.wrapping_sub(item.time), item.cas, if item.fetched { "yes" } else { "no" });
    let (class, size) = (item.class, size(&name, item.flags, item.value.len()));
    let facts = format!(" exp={exptime} la={la} cas={cas} fetch={fetched} cls={class} size={size}\r\n");
    bytes.extend(facts.into_bytes());
    Answer::bytes(bytes)
}
