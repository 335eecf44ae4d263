//! All items: `lru_crawler metadump`, `lru_crawler mgdump`.

use super::Core;
use super::admin::classes;
use super::dispatch::{Answer, Next, Takeover};
use super::slabs::size;
use super::store::Moment;
use super::syntax::to_base64;
use super::watch::encoded;

pub(super) fn dump(core: &mut Core, is_metadump: bool, ids: &[u8], now: Moment) -> Next {
    if !core.has_crawler() {
        return Answer::line("CLIENT_ERROR lru crawler disabled").into();
    }
    let classes = if ids == b"hash" { Some(Vec::new()) } else { classes(ids) };
    let Some(classes) = classes else { return Answer::line("BADCLASS invalid class id").into() };
    let version = core.version();
    let mut text = Vec::new();
    if version >= (1, 6, 43) {
        text.extend(b"OK\r\n");
    }
    let store = &core.store;
    let listed = store.iter().filter(|(_, item)| classes.is_empty() || classes.contains(&item.class));
    for (key, item) in listed.filter(|(_, item)| !store.is_over(item, now)) {
        if !is_metadump {
            text.extend(b"mg ");
            match item.binary {
                true => {
                    to_base64(key, &mut text);
                    text.extend(b" b\r\n");
                }
                false => text.extend([key, b"\r\n"].concat()),
            }
            continue;
        }
        let exptime = if item.exptime == 0 { "-1".to_owned() } else { store.unix_seconds(item.exptime).to_string() };
        let (la, fetched) = (store.unix_seconds(item.time), if item.fetched { "yes" } else { "no" });
        let (key, size) = (encoded(key), size(key, item.flags, item.value.len()));
        let flags = if version >= (1, 6, 24) { format!(" flags={}", item.flags) } else { String::new() };
        let end = if version >= (1, 6, 39) { " \n" } else { "\n" };
        let line = format!(
            "key={key} exp={exptime} la={la} cas={} fetch={fetched} cls={} size={size}{flags}{end}",
            item.cas, item.class
        );
        text.extend(line.into_bytes());
    }
    text.extend(if is_metadump { &b"END\r\n"[..] } else { b"EN\r\n" });
    Next::Takeover(Takeover::Dump(is_metadump, text))
}
