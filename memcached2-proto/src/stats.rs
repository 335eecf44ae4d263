//! Statistics of servers (`stats`): names and values, typed where the name is known.
//!
//! For users: what `stats` and similar methods return.

mod known;
mod listed;

use std::collections::BTreeMap;

use self::known::Kind;
pub use self::listed::{CacheDumpItem, PrefixCount};

/// The statistics of a server, in its order.
///
/// Nothing that a server says is an error here: a name that is not known, or a value that is not of the type known for
/// its name, is kept as text.
///
/// ```
/// use memcached2_proto::stats::{Report, Statistic};
///
/// let report = Report::read("curr_items 3\nrusage_user 0.25\ncas_enabled yes\nbrand_new some text\n");
/// assert_eq!(report.number("curr_items"), Some(3));
/// assert_eq!(report.float("rusage_user"), Some(0.25));
/// assert_eq!(report.boolean("cas_enabled"), Some(true));
/// assert_eq!(report.get("brand_new"), Some(Statistic::Text("some text")));
/// ```
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Report(Vec<(String, String)>);

/// The value of a statistic.
#[derive(Debug, Clone, Copy, PartialEq)]
#[non_exhaustive]
pub enum Statistic<'r> {
    /// A count, or a size in bytes, or a time in seconds unless its name says another unit.
    Number(u64),
    /// A ratio, or a time in seconds.
    Float(f64),
    /// A switch: `yes` or `no`, `on` or `off`, `1` or `0`.
    Boolean(bool),
    /// Text, or anything whose type is not known.
    Text(&'r str),
    /// `NULL` or `(null)`: there is none.
    Absent,
}

impl Report {
    /// Reads lines of a name, a blank, and a value that may hold further blanks or be empty.
    #[must_use]
    pub fn read(lines: &str) -> Self {
        Self(pairs(lines).map(|(name, value)| (name.to_owned(), value.to_owned())).collect())
    }

    /// The statistic of this name.
    #[must_use]
    pub fn get(&self, name: &str) -> Option<Statistic<'_>> {
        self.text(name).map(|text| typed(name, text))
    }

    /// The statistic of this name, as the server sent it.
    #[must_use]
    pub fn text(&self, name: &str) -> Option<&str> {
        self.0.iter().find(|(known, _)| known == name).map(|(_, text)| text.as_str())
    }

    /// The statistic of this name, if it spells a number, whether its name is known or not.
    #[must_use]
    pub fn number(&self, name: &str) -> Option<u64> {
        self.text(name)?.parse().ok()
    }

    /// The statistic of this name, if it spells a number with or without a fraction.
    #[must_use]
    pub fn float(&self, name: &str) -> Option<f64> {
        self.text(name)?.parse().ok()
    }

    /// The statistic of this name, if it is a switch: `yes`, `on` and `1` are true, `no`, `off` and `0` false.
    #[must_use]
    pub fn boolean(&self, name: &str) -> Option<bool> {
        let text = self.text(name)?;
        switch(text).or_else(|| bit(text))
    }

    /// How many statistics there are.
    #[must_use]
    pub fn len(&self) -> usize {
        self.0.len()
    }

    /// Whether it is empty.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    /// All names and values.
    #[must_use]
    pub fn iter(&self) -> impl ExactSizeIterator<Item = (&str, Statistic<'_>)> {
        self.0.iter().map(|(name, text)| (name.as_str(), typed(name, text)))
    }
}

/// Statistics in groups: by slab class (`stats items`, `stats slabs`), or by the file descriptor of a connection
/// (`stats conns`).
#[derive(Debug, Clone, Default, PartialEq, Eq)]
#[non_exhaustive]
pub struct GroupedReport {
    /// The statistics of each group, by its number.
    pub groups: BTreeMap<u32, Report>,
    /// Those of no group: the totals of `stats slabs`.
    pub totals: Report,
}

impl GroupedReport {
    /// Reads lines whose names are `items:<group>:<name>`, `<group>:<name>`, or of no group.
    #[must_use]
    pub fn read(lines: &str) -> Self {
        let mut report = Self::default();
        for (name, value) in pairs(lines) {
            let (group, name) = match name.strip_prefix("items:").unwrap_or(name).split_once(':') {
                Some((group, name)) if group.parse::<u32>().is_ok() => (group.parse().ok(), name),
                _ => (None, name),
            };
            let group = match group {
                Some(group) => report.groups.entry(group).or_default(),
                None => &mut report.totals,
            };
            group.0.push((name.to_owned(), value.to_owned()));
        }
        report
    }
}

/// How many items there are of each size: `stats sizes`.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
#[non_exhaustive]
pub struct SizeReport {
    /// Sizes in bytes, rounded up to the next 32, each with how many items there are of it.
    pub sizes: Vec<(u64, u64)>,
    /// The other statistics, such as `sizes_status` and `sizes_error`.
    pub status: Report,
}

impl SizeReport {
    /// Reads lines whose names are sizes, or anything else.
    #[must_use]
    pub fn read(lines: &str) -> Self {
        let mut report = Self::default();
        for (name, value) in pairs(lines) {
            match (name.parse(), value.parse()) {
                (Ok(size), Ok(count)) => report.sizes.push((size, count)),
                _ => report.status.0.push((name.to_owned(), value.to_owned())),
            }
        }
        report
    }

    /// Whether the server says that it does not count sizes.
    #[must_use]
    pub fn is_disabled(&self) -> bool {
        self.status.text("sizes_status") == Some("disabled")
    }
}

fn pairs(lines: &str) -> impl Iterator<Item = (&str, &str)> {
    lines.split_terminator('\n').map(|line| {
        let line = line.strip_suffix('\r').unwrap_or(line);
        line.split_once(' ').unwrap_or((line, ""))
    })
}

fn typed<'r>(name: &str, text: &'r str) -> Statistic<'r> {
    let number = || text.parse().ok().map(Statistic::Number);
    let found = match known::kind(name) {
        None => return Statistic::Text(text),
        Some(_) if matches!(text, "NULL" | "(null)") => Some(Statistic::Absent),
        Some(Kind::Text) => None,
        Some(Kind::Number) => number(),
        Some(Kind::Float) => text.parse().ok().map(Statistic::Float),
        // `evictions` is a switch among the settings, and a count elsewhere.
        Some(Kind::Switch) => switch(text).map(Statistic::Boolean).or_else(number),
        Some(Kind::Bit) => bit(text).map(Statistic::Boolean).or_else(number),
    };
    found.unwrap_or(Statistic::Text(text))
}

fn switch(text: &str) -> Option<bool> {
    match text {
        "yes" | "on" => Some(true),
        "no" | "off" => Some(false),
        _ => None,
    }
}

fn bit(text: &str) -> Option<bool> {
    match text {
        "1" => Some(true),
        "0" => Some(false),
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_statistic_has_the_type_of_its_name() {
        for (line, expected) in [
            ("pid 1", Statistic::Number(1)),
            ("version 1.6.45", Statistic::Text("1.6.45")),
            ("rusage_user 0.5", Statistic::Float(0.5)),
            ("growth_factor 1.25", Statistic::Float(1.25)),
            ("accepting_conns 1", Statistic::Boolean(true)),
            ("detail_enabled no", Statistic::Boolean(false)),
            ("evictions off", Statistic::Boolean(false)),
            ("evictions 0", Statistic::Number(0)),
            ("slab_automove 2", Statistic::Number(2)),
            ("domain_socket NULL", Statistic::Absent),
            ("memory_file (null)", Statistic::Absent),
            ("num_napi_ids (null)", Statistic::Absent),
            ("stat_key_prefix  ", Statistic::Text(" ")),
            ("slab_reassign_last_busy_status some text here", Statistic::Text("some text here")),
            ("pid -1", Statistic::Text("-1")),
            ("pid 18446744073709551616", Statistic::Text("18446744073709551616")),
            ("never_heard_of 5", Statistic::Text("5")),
            ("x", Statistic::Text("")),
        ] {
            let report = Report::read(&format!("{line}\r\n"));
            let name = line.split(' ').next().unwrap();
            assert_eq!(report.iter().collect::<Vec<_>>(), [(name, expected)], "{line}");
            assert_eq!(report.get(name), Some(expected), "{line}");
        }
        assert!(Report::read("").is_empty());
        assert_eq!(Report::read("a 1\r\n").get("b"), None);
    }

    #[test]
    fn statistics_are_split_into_groups() {
        let items = GroupedReport::read("items:1:number 7\r\nitems:1:age 3\r\nitems:12:number 8\r\n");
        assert_eq!(items.groups.keys().collect::<Vec<_>>(), [&1, &12]);
        assert_eq!(items.groups[&1].number("age"), Some(3));
        let slabs = GroupedReport::read("1:chunk_size 96\r\nactive_slabs 1\r\n");
        assert_eq!(slabs.groups[&1].get("chunk_size"), Some(Statistic::Number(96)));
        assert_eq!(slabs.totals.get("active_slabs"), Some(Statistic::Number(1)));
        let conns = GroupedReport::read("16:addr tcp:127.0.0.1:21777\r\nodd:name x\r\n");
        assert_eq!(conns.groups[&16].text("addr"), Some("tcp:127.0.0.1:21777"));
        assert_eq!(conns.totals.text("odd:name"), Some("x"));
    }

    #[test]
    fn sizes_are_numbers_and_all_else_is_status() {
        let counted = SizeReport::read("64 1\r\n96 20\r\n");
        assert_eq!((counted.sizes, counted.status.len()), (vec![(64, 1), (96, 20)], 0));
        let disabled = SizeReport::read("sizes_status disabled\r\n");
        assert!(disabled.is_disabled() && disabled.sizes.is_empty());
    }
}
