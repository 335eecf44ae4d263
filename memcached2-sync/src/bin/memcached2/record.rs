//! An item between two servers, or in a file: a line of JSON.

use std::time::{Duration, SystemTime, UNIX_EPOCH};

use base64::Engine as _;
use base64::prelude::BASE64_STANDARD;
use memcached2_sync::{Bytes, Expiry};
use serde_json::{Value as Json, json};

use crate::output::bytes_field;

/// An item with its value.
#[derive(Debug, PartialEq, Eq)]
pub(crate) struct Record {
    pub(crate) key: Vec<u8>,
    pub(crate) value: Bytes,
    pub(crate) flags: u64,
    /// How many seconds it stays; `None` is until it is evicted.
    pub(crate) ttl: Option<u64>,
}

impl Record {
    pub(crate) fn expiry(&self) -> Expiry {
        self.ttl.map_or(Expiry::Never, |ttl| Expiry::After(Duration::from_secs(ttl)))
    }

    /// As `dump --values` writes it. The moment of expiry is in it, so that a file can be old when it is loaded.
    pub(crate) fn fields(&self) -> [(String, Json); 6] {
        [
            bytes_field("key", &self.key),
            bytes_field("value", &self.value),
            ("size".into(), self.value.len().into()),
            ("flags".into(), self.flags.into()),
            ("ttl".into(), json!(self.ttl)),
            ("expires".into(), json!(self.ttl.map(|ttl| unix_now().saturating_add(ttl)))),
        ]
    }

    /// Reads such a line; `None` if the item has expired by now. If `anew`, it stays as long as it had to when it was dumped.
    pub(crate) fn read(line: &[u8], anew: bool) -> Result<Option<Self>, String> {
        let fields: Json = serde_json::from_slice(line).map_err(|error| error.to_string())?;
        let number = |name: &str| match fields.get(name) {
            None | Some(Json::Null) => Ok(None),
            Some(value) => value.as_u64().map(Some).ok_or_else(|| format!("`{name}` is no whole number")),
        };
        let key = read_bytes(&fields, "key")?;
        let value = read_bytes(&fields, "value").map_err(|problem| format!("{problem}; dump with --values"))?.into();
        let flags = number("flags")?.unwrap_or(0);
        let ttl = match (number("ttl")?, number("expires")?) {
            (ttl, expires) if anew || expires.is_none() => ttl,
            (_, expires) => expires.map(|expires| expires.saturating_sub(unix_now())),
        };
        Ok((ttl != Some(0)).then_some(Self { key, value, flags, ttl }))
    }
}

fn read_bytes(fields: &Json, name: &str) -> Result<Vec<u8>, String> {
    if let Some(text) = fields.get(name).and_then(Json::as_str) {
        return Ok(text.as_bytes().to_vec());
    }
    let encoded = fields.get(format!("{name}_base64")).and_then(Json::as_str);
    let encoded = encoded.ok_or_else(|| format!("it has neither `{name}` nor `{name}_base64`"))?;
    BASE64_STANDARD.decode(encoded).map_err(|error| format!("`{name}_base64`: {error}"))
}

pub(crate) fn unix_now() -> u64 {
    SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default().as_secs()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn line(record: &Record) -> Json {
        record.fields().into_iter().collect::<serde_json::Map<_, _>>().into()
    }

    #[test]
    fn a_line_is_read_to_the_same_item() {
        for (key, value, ttl) in
            [(&b"a"[..], &b"text"[..], None), (b"\xff", b"\x00\xff", Some(100)), (b"k\xc3\xa4se", b"", Some(1 << 30))]
        {
            let record = Record { key: key.into(), value: Bytes::copy_from_slice(value), flags: 1 << 40, ttl };
            let line = line(&record).to_string();
            assert_eq!(Record::read(line.as_bytes(), true), Ok(Some(record)), "{line}");
        }
    }

    #[test]
    fn an_old_file_does_not_make_items_stay_longer() {
        let mut line = line(&Record { key: b"a".into(), value: Bytes::new(), flags: 0, ttl: Some(100) });
        let ttl = |line: &Json, anew| Record::read(line.to_string().as_bytes(), anew).unwrap().map(|record| record.ttl);
        line["expires"] = (unix_now() + 40).into();
        assert!(matches!(ttl(&line, false), Some(Some(1..=40))));
        assert_eq!(ttl(&line, true), Some(Some(100)));
        line["expires"] = (unix_now() - 1).into();
        assert_eq!(ttl(&line, false), None);
        line["expires"] = Json::Null;
        assert_eq!(ttl(&line, false), Some(Some(100)));
    }

    #[test]
    fn a_wrong_line_is_refused_with_what_is_wrong() {
        for (line, problem) in [
            ("{", "EOF"),
            ("{}", "neither `key` nor `key_base64`"),
            (r#"{"key": "a"}"#, "dump with --values"),
            (r#"{"key_base64": "!", "value": ""}"#, "`key_base64`"),
            (r#"{"key": "a", "value": "", "ttl": -1}"#, "`ttl` is no whole number"),
        ] {
            let error = Record::read(line.as_bytes(), false).unwrap_err();
            assert!(error.contains(problem), "{line}: {error}");
        }
    }
}
