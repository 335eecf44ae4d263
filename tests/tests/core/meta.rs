//! Meta commands with any flags, made from the words of a transcript, and their answers in words.

use memcached2_proto::command::Command;
use memcached2_proto::command::meta::{
    MetaArithmetic, MetaDebug, MetaDelete, MetaGet, MetaItem, MetaOutcome, MetaSet, MetaSetMode, MetaStatus, Ttl,
};
use memcached2_proto::{Connection, Error, Reply, Value};

use super::arguments::{expiry_of, number, small};
use super::request::{Keyless, now};
use super::words::{found, report};

/// A meta command: its words without the opaque, and its data block.
#[derive(Debug, Clone)]
pub(crate) struct AnyMeta {
    pub(crate) words: Vec<Vec<u8>>,
    pub(crate) data: Vec<u8>,
}

impl AnyMeta {
    /// The key, and the flags after it.
    fn parts(&self, flags: usize) -> (&[u8], &[Vec<u8>]) {
        let flags = &self.words[flags..];
        let is_encoded = flags.first().is_some_and(|flag| flag == b"b");
        let key: &[u8] = match &self.words[1][..] {
            b"AQI=" if is_encoded => b"\x01\x02",
            b"dHdvIHdvcmRz" if is_encoded => b"two words",
            b"DQo=" if is_encoded => b"\r\n",
            key => key,
        };
        (key, &flags[usize::from(is_encoded)..])
    }

    fn get(&self) -> Result<MetaGet<'_>, Error> {
        let (key, flags) = self.parts(2);
        Ok(flags.iter().fold(MetaGet::new(key)?, |get, flag| match (flag[0], &flag[1..]) {
            (b'v', _) => get.value(),
            (b'f', _) => get.flags(),
            (b'c', _) => get.cas(),
            (b's', _) => get.size(),
            (b't', _) => get.ttl(),
            (b'h', _) => get.hit_before(),
            (b'l', _) => get.last_access(),
            (b'u', _) => get.no_bump(),
            (b'k', _) => get.return_key(),
            (b'T', expiry) => get.touch(expiry_of(expiry)),
            (b'N', expiry) => get.vivify(expiry_of(expiry)),
            (b'R', seconds) => get.recache(std::time::Duration::from_secs(number(seconds))),
            (b'C', cas) => get.compare_cas(number(cas)),
            (b'E', cas) => get.set_cas(number(cas)),
            (b'P', hint) => get.hint_p(hint),
            (b'L', hint) => get.hint_l(hint),
            other => panic!("no flag of mg: {other:?}"),
        }))
    }

    fn set(&self) -> Result<MetaSet<'_, '_>, Error> {
        let (key, flags) = self.parts(3);
        Ok(flags.iter().fold(MetaSet::new(key, &self.data[..])?, |set, flag| match (flag[0], &flag[1..]) {
            (b'M', b"E") => set.mode(MetaSetMode::Add),
            (b'M', b"A") => set.mode(MetaSetMode::Append),
            (b'M', b"P") => set.mode(MetaSetMode::Prepend),
            (b'M', b"R") => set.mode(MetaSetMode::Replace),
            (b'F', flags) => set.flags(small(flags)),
            (b'c', _) => set.cas(),
            (b's', _) => set.size(),
            (b'k', _) => set.return_key(),
            (b'I', _) => set.invalidate(),
            (b'T', expiry) => set.expiry(expiry_of(expiry)),
            (b'N', expiry) => set.vivify(expiry_of(expiry)),
            (b'C', cas) => set.compare_cas(number(cas)),
            (b'E', cas) => set.set_cas(number(cas)),
            other => panic!("no flag of ms: {other:?}"),
        }))
    }

    fn delete(&self) -> Result<MetaDelete<'_>, Error> {
        let (key, flags) = self.parts(2);
        Ok(flags.iter().fold(MetaDelete::new(key)?, |delete, flag| match (flag[0], &flag[1..]) {
            (b'I', _) => delete.invalidate(),
            (b'x', _) => delete.remove_value(),
            (b'k', _) => delete.return_key(),
            (b'T', expiry) => delete.expiry(expiry_of(expiry)),
            (b'C', cas) => delete.compare_cas(number(cas)),
            (b'E', cas) => delete.set_cas(number(cas)),
            other => panic!("no flag of md: {other:?}"),
        }))
    }

    fn arithmetic(&self) -> Result<MetaArithmetic<'_>, Error> {
        let (key, flags) = self.parts(2);
        let [mode, delta, flags @ ..] = flags else { panic!("an ma has a mode and a delta") };
        let by = number(&delta[1..]);
        let begun = if mode == b"MI" { MetaArithmetic::incr(key, by)? } else { MetaArithmetic::decr(key, by)? };
        Ok(flags.iter().fold(begun, |ma, flag| match (flag[0], &flag[1..]) {
            (b'v', _) => ma.value(),
            (b'c', _) => ma.cas(),
            (b't', _) => ma.ttl(),
            (b'k', _) => ma.return_key(),
            (b'J', initial) => ma.initial(number(initial)),
            (b'T', expiry) => ma.touch(expiry_of(expiry)),
            (b'N', expiry) => ma.vivify(expiry_of(expiry)),
            (b'C', cas) => ma.compare_cas(number(cas)),
            (b'E', cas) => ma.set_cas(number(cas)),
            other => panic!("no flag of ma: {other:?}"),
        }))
    }

    fn debug(&self) -> Result<MetaDebug<'_>, Error> {
        MetaDebug::new(self.parts(2).0)
    }
}

impl Keyless for AnyMeta {
    fn submit(&self, connection: &mut Connection, tag: u32) -> Result<u64, Error> {
        match &self.words[0][..] {
            b"mg" => connection.submit(&self.get()?, now(), tag),
            b"ms" => connection.submit(&self.set()?, now(), tag),
            b"md" => connection.submit(&self.delete()?, now(), tag),
            b"ma" => connection.submit(&self.arithmetic()?, now(), tag),
            _ => connection.submit(&self.debug()?, now(), tag),
        }
    }

    fn answer(&self, reply: Reply) -> Result<String, Error> {
        match &self.words[0][..] {
            b"mg" => {
                self.get()?.answer(reply).map(|item| item.map_or_else(|| "miss".to_owned(), |found| item_words(&found)))
            }
            b"ms" => self.set()?.answer(reply).map(|outcome| outcome_words(&outcome)),
            b"md" => self.delete()?.answer(reply).map(|outcome| outcome_words(&outcome)),
            b"ma" => self.arithmetic()?.answer(reply).map(|outcome| outcome_words(&outcome)),
            _ => self.debug()?.answer(reply).map(|told| told.map_or_else(|| "miss".to_owned(), |told| report(&told))),
        }
    }
}

fn item_words(item: &MetaItem) -> String {
    let value = item
        .value
        .as_ref()
        .map(|value| format!(" {}", found(Some(Value::new(value.clone().into_bytes(), 0))).replace("hit 0 ", "")));
    let mut words = format!("item{}", value.unwrap_or_default());
    let mut add = |name: &str, told: Option<String>| words.extend(told.map(|told| format!(" {name}={told}")));
    add("flags", item.flags.map(|flags| flags.to_string()));
    add("cas", item.cas.map(|cas| cas.to_string()));
    add("size", item.size.map(|size| size.to_string()));
    add("ttl", item.ttl.map(ttl_words));
    add("hit_before", item.hit_before.map(|hit| hit.to_string()));
    add("last_access", item.last_access.map(|last| last.as_secs().to_string()));
    add("key", item.key.as_ref().map(|key| key.escape_ascii().to_string()));
    for (is, word) in [(item.win, " win"), (item.stale, " stale"), (item.already_won, " already_won")] {
        words.push_str(if is { word } else { "" });
    }
    words + &unknown_words(&item.unknown)
}

fn outcome_words(outcome: &MetaOutcome) -> String {
    let mut words = match outcome.status {
        MetaStatus::Done => "done",
        MetaStatus::NotStored => "not stored",
        MetaStatus::Exists => "exists",
        MetaStatus::NotFound => "not found",
        other => panic!("{other:?}"),
    }
    .to_owned();
    let mut add = |name: &str, told: Option<String>| words.extend(told.map(|told| format!(" {name}={told}")));
    add("number", outcome.number.map(|number| number.to_string()));
    add("cas", outcome.cas.map(|cas| cas.to_string()));
    add("size", outcome.size.map(|size| size.to_string()));
    add("ttl", outcome.ttl.map(ttl_words));
    add("key", outcome.key.as_ref().map(|key| key.escape_ascii().to_string()));
    words + &unknown_words(&outcome.unknown)
}

fn unknown_words(unknown: &[(u8, memcached2_proto::Bytes)]) -> String {
    unknown.iter().map(|(letter, told)| format!(" {}:{}", char::from(*letter), told.escape_ascii())).collect()
}

fn ttl_words(ttl: Ttl) -> String {
    match ttl {
        Ttl::Never => "never".to_owned(),
        Ttl::Seconds(seconds) => seconds.to_string(),
        Ttl::Expired => "expired".to_owned(),
    }
}
