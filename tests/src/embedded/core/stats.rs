//! What `stats` says.

use std::collections::BTreeMap;
use std::fmt::Display;

use super::Core;
use super::admin::CLASSES;
use super::counts::{ClassCounts, Counts, PrefixCounts};
use super::dispatch::Answer;
use super::settings::SETTINGS;
use super::slabs::size;
use super::store::{Moment, Store};
use super::syntax::{Line, u32_of};

const PAGE: usize = 1024 * 1024;

#[derive(Debug, Default)]
struct Lines(Vec<u8>);

impl Lines {
    fn add(&mut self, name: impl Display, value: impl Display) {
        self.0.extend(format!("STAT {name} {value}\r\n").into_bytes());
    }

    fn all(&mut self, pairs: &[(&str, u64)]) {
        for (name, value) in pairs {
            self.add(name, value);
        }
    }

    fn of_class(&mut self, family: &str, class: usize, pairs: &[(&str, u64)]) {
        for (name, value) in pairs {
            self.add(format_args!("{family}{class}:{name}"), value);
        }
    }

    fn end(mut self) -> Answer {
        self.0.extend(b"END\r\n");
        Answer::bytes(self.0)
    }
}

/// Answers a `stats` command.
pub(super) fn stats(core: &mut Core, line: &Line<'_>, now: Moment) -> Answer {
    let words = &line.words[1..];
    let store = &mut core.store;
    match words {
        [] => general(core, now),
        [b"reset", ..] => {
            store.counts = Counts::default();
            Answer::line("RESET")
        }
        [b"settings", ..] => settings(core),
        [b"items", ..] => items(store, now),
        [b"slabs", ..] => slabs(store),
        [b"conns" | b"extstore", ..] => Lines::default().end(),
        [b"sizes", ..] => sizes(core),
        [b"sizes_enable", ..] => {
            if core.sizes_since.is_none() {
                core.sizes_since = Some(store.next_cas());
            }
            Answer::line("STAT sizes_status enabled")
        }
        [b"sizes_disable", ..] => {
            core.sizes_since = None;
            Answer::line("STAT sizes_status disabled")
        }
        [b"detail", b"dump", ..] => dump(&store.counts),
        [b"detail", switch @ (b"on" | b"off"), ..] => {
            core.detail = *switch == b"on";
            Answer::line("OK")
        }
        [b"detail", ..] => Answer::line("CLIENT_ERROR usage: stats detail on|off|dump"),
        [b"cachedump", class, limit, ..] => match (u32_of(class), u32_of(limit)) {
            (Some(class), Some(_)) if class >= CLASSES => Answer::line("CLIENT_ERROR Illegal slab id"),
            (Some(class), Some(limit)) => cachedump(store, class as usize, limit as usize),
            _ => Answer::line("CLIENT_ERROR bad command line format"),
        },
        [b"cachedump", ..] => Answer::line("CLIENT_ERROR bad command line"),
        _ => Answer::line("ERROR"),
    }
}

fn general(core: &Core, now: Moment) -> Answer {
    let (store, counts) = (&core.store, &core.store.counts);
    let mut lines = Lines::default();
    lines.add("pid", core.config.pid);
    lines.add("uptime", now.saturating_sub(60));
    lines.add("time", store.unix_seconds(now));
    lines.add("version", &core.config.version);
    lines.add("libevent", "2.1.12-stable");
    lines.add("pointer_size", usize::BITS);
    lines.add("rusage_user", "0.000000");
    lines.add("rusage_system", "0.000000");
    let hits = counts.sum(|class| class.get_hits);
    let open = core.open_connections;
    lines.all(&[
        ("max_connections", 1024),
        ("curr_connections", open),
        ("total_connections", counts.total_connections),
        ("rejected_connections", 0),
        ("connection_structures", open + 1),
        ("response_obj_oom", 0),
        ("response_obj_count", 1),
        ("response_obj_bytes", 16_384),
        ("read_buf_count", 2),
        ("read_buf_bytes", 32_768),
        ("read_buf_bytes_free", 0),
        ("read_buf_oom", 0),
        ("reserved_fds", 10),
        ("cmd_get", counts.get_cmds),
        ("cmd_set", counts.sum(|class| class.set_cmds)),
        ("cmd_flush", counts.flush_cmds),
        ("cmd_touch", counts.touch_cmds),
        ("cmd_meta", counts.meta_cmds),
        ("get_hits", hits),
        ("get_misses", counts.get_misses),
        ("get_expired", counts.get_expired),
        ("get_flushed", counts.get_flushed),
        ("delete_misses", counts.delete_misses),
        ("delete_hits", counts.sum(|class| class.delete_hits)),
        ("incr_misses", counts.incr_misses),
        ("incr_hits", counts.sum(|class| class.incr_hits)),
        ("decr_misses", counts.decr_misses),
        ("decr_hits", counts.sum(|class| class.decr_hits)),
        ("cas_misses", counts.cas_misses),
        ("cas_hits", counts.sum(|class| class.cas_hits)),
        ("cas_badval", counts.sum(|class| class.cas_badval)),
        ("touch_hits", counts.sum(|class| class.touch_hits)),
        ("touch_misses", counts.touch_misses),
        ("store_too_large", counts.store_too_large),
        ("store_no_memory", counts.store_no_memory),
        ("auth_cmds", counts.auth_cmds),
        ("auth_errors", counts.auth_errors),
        ("bytes_read", counts.bytes_read),
        ("bytes_written", counts.bytes_written),
        ("limit_maxbytes", core.store.memory_limit as u64),
        ("accepting_conns", 1),
        ("listen_disabled_num", 0),
        ("time_in_listen_disabled_us", 0),
        ("threads", 4),
        ("conn_yields", counts.conn_yields),
        ("hash_power_level", 16),
        ("hash_bytes", 524_288),
    ]);
    for name in NEVER_AT_WORK {
        lines.add(name, 0);
    }
    lines.all(&[
        ("bytes", store.bytes as u64),
        ("curr_items", store.len() as u64),
        ("total_items", counts.total_items),
        ("slab_global_page_pool", 0),
        ("expired_unfetched", counts.expired_unfetched),
        ("evicted_unfetched", counts.evicted_unfetched),
        ("evicted_active", 0),
        ("evictions", counts.evictions),
        ("reclaimed", counts.reclaimed),
    ]);
    for name in NO_BACKGROUND_THREADS {
        lines.add(name, 0);
    }
    lines.end()
}

const NEVER_AT_WORK: [&str; 20] = [
    "hash_is_expanding",
    "slab_reassign_rescues",
    "slab_reassign_chunk_rescues",
    "slab_reassign_evictions_nomem",
    "slab_reassign_inline_reclaim",
    "slab_reassign_busy_items",
    "slab_reassign_busy_deletes",
    "slab_reassign_running",
    "slabs_moved",
    "lru_crawler_running",
    "lru_crawler_starts",
    "lru_maintainer_juggles",
    "malloc_fails",
    "log_worker_dropped",
    "log_worker_written",
    "log_watcher_skipped",
    "log_watcher_sent",
    "log_watchers",
    "unexpected_napi_ids",
    "round_robin_fallback",
];

const NO_BACKGROUND_THREADS: [&str; 8] = [
    "crawler_reclaimed",
    "crawler_items_checked",
    "lrutail_reflocked",
    "moves_to_cold",
    "moves_to_warm",
    "moves_within_lru",
    "direct_reclaims",
    "lru_bumps_dropped",
];

fn settings(core: &Core) -> Answer {
    let mut lines = Lines::default();
    for (name, value) in SETTINGS {
        match *name {
            "maxbytes" => lines.add(name, core.store.memory_limit),
            "item_size_max" => lines.add(name, core.config.item_size_max),
            "tcpport" => lines.add(name, core.config.port),
            "inter" if core.config.socket.is_none() => lines.add(name, &core.config.host),
            "domain_socket" => lines.add(name, core.config.socket.as_deref().unwrap_or("NULL")),
            "verbosity" => lines.add(name, core.verbosity),
            "oldest" => lines.add(name, core.store.oldest_live()),
            "shutdown_command" => lines.add(name, if core.config.allows_shutdown { "yes" } else { "no" }),
            "detail_enabled" => lines.add(name, if core.detail { "yes" } else { "no" }),
            "auth_enabled_ascii" => lines.add(name, if core.asks_for_credentials() { "yes" } else { "no" }),
            "track_sizes" => lines.add(name, if core.sizes_since.is_some() { "yes" } else { "no" }),
            _ => lines.add(name, core.changed(name).unwrap_or(value)),
        }
    }
    lines.end()
}

/// The items by class: how many, their bytes and the age of the one not used for longest.
fn by_class(store: &Store, now: Moment) -> BTreeMap<usize, (u64, u64, u64)> {
    let mut classes = BTreeMap::new();
    for (key, item) in store.iter() {
        let (number, bytes, age) = classes.entry(item.class).or_insert((0, 0, 0));
        *number += 1;
        *bytes += size(key, item.flags, item.value.len()) as u64;
        *age = u64::from(now.saturating_sub(item.time));
    }
    classes
}

fn items(store: &Store, now: Moment) -> Answer {
    let mut lines = Lines::default();
    let none = ClassCounts::default();
    for (class, (number, bytes, age)) in by_class(store, now) {
        let counts = store.counts.classes.get(&class).unwrap_or(&none);
        let of_lru = [("number", number), ("number_hot", 0), ("number_warm", 0), ("number_cold", number)];
        lines.of_class("items:", class, &of_lru);
        let ages = [("age_hot", 0), ("age_warm", 0), ("age", age), ("mem_requested", bytes)];
        lines.of_class("items:", class, &ages);
        let evictions = [("evicted", counts.evicted), ("evicted_nonzero", counts.evicted_nonzero)];
        lines.of_class("items:", class, &evictions);
        lines.of_class("items:", class, &["evicted_time", "outofmemory", "tailrepairs"].map(|name| (name, 0)));
        lines.of_class("items:", class, &[("reclaimed", counts.reclaimed)]);
        let quiet = ["expired_unfetched", "evicted_unfetched", "evicted_active"];
        lines.of_class("items:", class, &quiet.map(|name| (name, 0)));
        lines.of_class("items:", class, &NO_BACKGROUND_THREADS[..7].iter().map(|name| (*name, 0)).collect::<Vec<_>>());
        let hits = [("hits_to_hot", 0), ("hits_to_warm", 0), ("hits_to_cold", counts.get_hits), ("hits_to_temp", 0)];
        lines.of_class("items:", class, &hits);
    }
    lines.end()
}

fn slabs(store: &Store) -> Answer {
    let mut lines = Lines::default();
    let in_use = by_class(store, Moment::MAX);
    let mut pages = 0;
    for (class, counts) in &store.counts.classes {
        let used = in_use.get(class).map_or(0, |(number, ..)| *number as usize);
        let chunk = store.classes.chunk_size(*class);
        let per_page = PAGE / chunk;
        let of_class = used.div_ceil(per_page).max(1);
        pages += of_class;
        let chunks = [
            ("chunk_size", chunk),
            ("chunks_per_page", per_page),
            ("total_pages", of_class),
            ("total_chunks", of_class * per_page),
            ("used_chunks", used),
            ("free_chunks", of_class * per_page - used),
            ("free_chunks_end", 0),
        ];
        lines.of_class("", *class, &chunks.map(|(name, value)| (name, value as u64)));
        let commands = [
            ("get_hits", counts.get_hits),
            ("cmd_set", counts.set_cmds),
            ("delete_hits", counts.delete_hits),
            ("incr_hits", counts.incr_hits),
            ("decr_hits", counts.decr_hits),
            ("cas_hits", counts.cas_hits),
            ("cas_badval", counts.cas_badval),
            ("touch_hits", counts.touch_hits),
        ];
        lines.of_class("", *class, &commands);
    }
    lines.add("active_slabs", store.counts.classes.len());
    lines.add("total_malloced", pages * PAGE);
    lines.end()
}

/// How many items there are of each size, in steps of 32 bytes.
fn sizes(core: &Core) -> Answer {
    let mut lines = Lines::default();
    let Some(since) = core.sizes_since else {
        lines.add("sizes_status", "disabled");
        return lines.end();
    };
    let mut histogram = BTreeMap::new();
    for (key, item) in core.store.iter().filter(|(_, item)| item.cas >= since) {
        *histogram.entry(size(key, item.flags, item.value.len()).next_multiple_of(32)).or_insert(0) += 1;
    }
    for (size, count) in histogram {
        lines.add(size, count);
    }
    lines.end()
}

fn dump(counts: &Counts) -> Answer {
    let mut text = Vec::new();
    for (prefix, PrefixCounts { gets, hits, sets, deletes }) in &counts.prefixes {
        text.extend([b"PREFIX ", &prefix[..]].concat());
        text.extend(format!(" get {gets} hit {hits} set {sets} del {deletes}\r\n").into_bytes());
    }
    text.extend(b"END\r\n");
    Answer::bytes(text)
}

fn cachedump(store: &Store, class: usize, limit: usize) -> Answer {
    let mut text = Vec::new();
    let listed = store.iter().filter(|(_, item)| item.class == class && !item.binary);
    for (key, item) in listed.take(if limit == 0 { usize::MAX } else { limit }) {
        let expiry = if item.exptime == 0 { 0 } else { store.unix_seconds(item.exptime) };
        text.extend([b"ITEM ", key].concat());
        text.extend(format!(" [{} b; {expiry} s]\r\n", item.value.len()).into_bytes());
    }
    text.extend(b"END\r\n");
    Answer::bytes(text)
}
