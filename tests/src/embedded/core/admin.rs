//! The settings of a running server: `slabs`, `lru`, `lru_crawler`, `extstore` and the like, as 1.6.18 answers them; what is
//! newer by the version.

use super::Core;
use super::dispatch::{Answer, BAD_FORMAT};
use super::store::Moment;
use super::syntax::{Line, i32_of, u32_of};

/// There are fewer slab classes than this.
pub(super) const CLASSES: u32 = 64;

impl Core {
    /// A setting that was changed since the start.
    pub(super) fn changed(&self, name: &str) -> Option<&str> {
        self.changed.get(name).map(String::as_str)
    }

    fn change(&mut self, name: &'static str, value: &impl ToString) {
        self.changed.insert(name, value.to_string());
    }

    pub(super) fn has_crawler(&self) -> bool {
        self.changed("lru_crawler") != Some("no")
    }

    pub(super) fn verbosity(&mut self, line: &Line<'_>) -> Answer {
        let Some(level) = u32_of(line.words[1]) else {
            return Answer::line_unless(line.noreply(), BAD_FORMAT);
        };
        self.verbosity = level.min(i32::MAX as u32 - 1);
        Answer::line_unless(line.noreply(), "OK")
    }

    pub(super) fn cache_memlimit(&mut self, line: &Line<'_>) -> Answer {
        let answer = match u32_of(line.words[1]) {
            None => "ERROR",
            Some(..8) => "MEMLIMIT_TOO_SMALL cannot set maxbytes to less than 8m",
            Some(1_000_000_001..) => "MEMLIMIT_ADJUST_FAILED input value is megabytes not bytes",
            Some(megabytes) => {
                self.store.memory_limit = (megabytes as usize) << 20;
                "OK"
            }
        };
        Answer::line_unless(line.noreply(), answer)
    }

    pub(super) fn slabs(&mut self, line: &Line<'_>) -> Answer {
        match &line.words[1..] {
            [b"reassign", source, dest] => match (i32_of(source), i32_of(dest)) {
                (Some(source), Some(dest)) => self.reassign(source, dest),
                _ => Answer::line(BAD_FORMAT),
            },
            [b"automove", arguments @ ..] if !arguments.is_empty() => {
                let answer = self.automove(arguments);
                Answer::line_unless(line.noreply(), answer)
            }
            _ => Answer::line("ERROR"),
        }
    }

    /// No class has a page to spare here.
    fn reassign(&self, source: i32, dest: i32) -> Answer {
        let classes = self.store.classes.count();
        let exists = |class: i32| usize::try_from(class).is_ok_and(|class| class <= classes);
        Answer::line(match (exists(source), exists(dest)) {
            _ if source == dest => "SAME src and dst class are identical",
            (true, true) => "NOSPARE source class has no spare pages",
            _ => "BADCLASS invalid src or dst class id",
        })
    }

    fn automove(&mut self, arguments: &[&[u8]]) -> &'static str {
        match arguments {
            [b"ratio", ratio, ..] => match fraction(ratio) {
                Some(ratio) => self.change("slab_automove_ratio", &format!("{ratio:.2}")),
                None => return "ERROR",
            },
            [b"ratio"] => return "ERROR",
            [b"freeratio", ratio @ ..] if self.is_since((1, 6, 34)) => {
                match ratio.first().and_then(|ratio| fraction(ratio)) {
                    Some(ratio) => self.change("slab_automove_freeratio", &format!("{ratio:.3}")),
                    None => return "ERROR",
                }
            }
            [b"window", window @ ..] if self.is_since((1, 6, 34)) => {
                match window.first().and_then(|window| u32_of(window)) {
                    Some(..3 | 1801..) if self.is_since((1, 6, 45)) => {
                        return "CLIENT_ERROR automove window too low or too high";
                    }
                    Some(window) => self.change("slab_automove_window", &window),
                    None => return BAD_FORMAT,
                }
            }
            [level, ..] => match u32_of(level) {
                Some(level @ ..=2) => self.change("slab_automove", &level),
                Some(_) => return "ERROR",
                None => return BAD_FORMAT,
            },
            [] => return "ERROR",
        }
        "OK"
    }

    pub(super) fn lru(&mut self, line: &Line<'_>) -> Answer {
        let answer = match &line.words[1..] {
            // This version understands none.
            _ if self.version() == (1, 6, 40) => "ERROR",
            [b"tune", hot, warm, hot_factor, warm_factor, ..] => {
                let numbers = (u32_of(hot), u32_of(warm), fraction(hot_factor), fraction(warm_factor));
                match numbers {
                    (Some(hot), Some(warm), Some(..), Some(..)) if u64::from(hot) + u64::from(warm) > 80 => {
                        "ERROR hot and warm pcts must not exceed 80"
                    }
                    (Some(_), Some(_), Some(hot), Some(warm)) if hot <= 0.0 || warm <= 0.0 => {
                        "ERROR hot/warm age factors must be greater than 0"
                    }
                    (Some(hot), Some(warm), Some(hot_factor), Some(warm_factor)) => {
                        self.change("hot_lru_pct", &hot);
                        self.change("warm_lru_pct", &warm);
                        self.change("hot_max_factor", &format!("{hot_factor:.2}"));
                        self.change("warm_max_factor", &format!("{warm_factor:.2}"));
                        "OK"
                    }
                    _ => "ERROR",
                }
            }
            [b"mode", mode @ (b"flat" | b"segmented"), ..] => {
                self.change("lru_segmented", &if *mode == b"flat" { "no" } else { "yes" });
                "OK"
            }
            [b"temp_ttl", ttl, ..] => match i32_of(ttl) {
                Some(..0) => {
                    self.change("temp_lru", &"no");
                    "OK"
                }
                Some(ttl) => {
                    self.change("temp_lru", &"yes");
                    self.change("temporary_ttl", &ttl);
                    "OK"
                }
                None => "ERROR",
            },
            _ => "ERROR",
        };
        Answer::line_unless(line.noreply(), answer)
    }

    pub(super) fn lru_crawler(&mut self, line: &Line<'_>, now: Moment) -> Answer {
        Answer::line(match &line.words[1..] {
            [b"enable"] if self.has_crawler() => "ERROR failed to start lru crawler thread",
            [switch @ (b"enable" | b"disable")] => {
                self.change("lru_crawler", &if *switch == b"enable" { "yes" } else { "no" });
                "OK"
            }
            [b"sleep", time] => match u32_of(time) {
                None => BAD_FORMAT,
                Some(1_000_001..) => "CLIENT_ERROR sleep must be one second or less",
                Some(time) => {
                    self.change("lru_crawler_sleep", &time);
                    "OK"
                }
            },
            [b"tocrawl", count] => match u32_of(count) {
                None => BAD_FORMAT,
                Some(count) => {
                    self.change("lru_crawler_tocrawl", &count);
                    "OK"
                }
            },
            [b"crawl", _] if !self.has_crawler() => "CLIENT_ERROR lru crawler disabled",
            [b"crawl", b"hash"] => "ERROR an unknown error happened",
            [b"crawl", ids] => match classes(ids) {
                None => "BADCLASS invalid class id",
                Some(classes) => {
                    self.store.crawl(&classes, now);
                    "OK"
                }
            },
            _ => "ERROR",
        })
    }

    /// There is no storage on disk, but its settings are accepted.
    pub(super) fn extstore(&self, line: &Line<'_>) -> Answer {
        let is_ok = match &line.words[1..] {
            [b"free_memchunks", class, count, ..] => {
                u32_of(class).is_some_and(|class| class < CLASSES) && u32_of(count).is_some()
            }
            [b"max_frag", part, ..] => fraction(part).is_some(),
            [
                b"item_size" | b"item_age" | b"low_ttl" | b"recache_rate" | b"compact_under" | b"drop_under"
                | b"max_sleep" | b"drop_unread",
                number,
                ..,
            ] => u32_of(number).is_some(),
            _ => false,
        };
        Answer::line_unless(line.noreply(), if is_ok { "OK" } else { "ERROR" })
    }
}

/// The classes that a request names; `Some` of none means all.
pub(super) fn classes(ids: &[u8]) -> Option<Vec<usize>> {
    if ids == b"all" {
        return Some(Vec::new());
    }
    let class = |id: &[u8]| u32_of(id).filter(|class| (1..CLASSES).contains(class)).map(|class| class as usize);
    ids.split(|byte| *byte == b',').filter(|id| !id.is_empty()).map(class).collect()
}

fn fraction(text: &[u8]) -> Option<f64> {
    std::str::from_utf8(text).ok()?.parse().ok()
}
