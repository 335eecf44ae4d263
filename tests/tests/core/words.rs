//! Answers in the words of transcripts.

use memcached2_proto::command::{ClusterConfig, Node, VersionText};
use memcached2_proto::error::CasProblem;
use memcached2_proto::stats::{CacheDumpItem, GroupedReport, PrefixCount, Report, SizeReport, Statistic};
use memcached2_proto::{Error, Landed, Value};

pub(crate) fn counted(number: Option<u64>) -> String {
    number.map_or_else(|| "not found".to_owned(), |number| number.to_string())
}

/// What is longer than this is shown by its length.
const SHOWN: usize = 64;

pub(crate) fn found(value: Option<Value>) -> String {
    let Some(value) = value else { return "miss".to_owned() };
    let (data, flags) = (value.data(), value.flags);
    let data = match data.len() {
        ..=SHOWN => format!("\"{}\"", data.escape_ascii()),
        length => format!("{length} bytes"),
    };
    match value.cas {
        None => format!("hit {flags} {data}"),
        Some(cas) => format!("hit {flags} {data} cas {cas}"),
    }
}

pub(crate) fn report(report: &Report) -> String {
    let word = |(name, value): (&str, Statistic<'_>)| match value {
        Statistic::Number(number) => format!(" {name}={number}"),
        Statistic::Float(number) => format!(" {name}={number:?}"),
        Statistic::Boolean(is) => format!(" {name}={is}"),
        Statistic::Text(text) if text.len() > SHOWN => format!(" {name}={} bytes", text.len()),
        Statistic::Text(text) => format!(" {name}={text:?}"),
        Statistic::Absent => format!(" {name}=none"),
        other => format!(" {name}={other:?}"),
    };
    format!("stats{}", report.iter().map(word).collect::<String>())
}

pub(crate) fn grouped(told: &GroupedReport) -> String {
    let groups: String = told.groups.iter().map(|(group, stats)| format!("{group}: {}; ", report(stats))).collect();
    format!("{groups}totals: {}", report(&told.totals))
}

pub(crate) fn prefixes(told: &[PrefixCount]) -> String {
    let word = |count: &PrefixCount| {
        let PrefixCount { prefix, get, hit, set, del, .. } = count;
        format!(" {prefix}={get}/{hit}/{set}/{del}")
    };
    format!("prefixes{}", told.iter().map(word).collect::<String>())
}

pub(crate) fn dumped(told: &[CacheDumpItem]) -> String {
    let word = |item: &CacheDumpItem| format!(" {}={}@{}", item.key.escape_ascii(), item.bytes, item.exptime);
    format!("items{}", told.iter().map(word).collect::<String>())
}

pub(crate) fn cluster(told: Option<ClusterConfig>) -> String {
    let Some(ClusterConfig { version, nodes, .. }) = told else { return "no cluster".to_owned() };
    let ip = |node: &Node| node.ip.map_or_else(|| "none".to_owned(), |ip| ip.to_string());
    let word = |node: &Node| format!(" {} {} {}", node.host, ip(node), node.port);
    format!("cluster {version}:{}", nodes.iter().map(word).collect::<String>())
}

pub(crate) fn sizes(told: &SizeReport) -> String {
    let sizes: String = told.sizes.iter().map(|(size, count)| format!("{size}: {count}; ")).collect();
    format!("{sizes}status: {}", report(&told.status))
}

pub(crate) fn version(text: &VersionText) -> String {
    match text.numbers() {
        Some((major, minor, patch)) => format!("version \"{text}\" {major} {minor} {patch}"),
        None => format!("version \"{text}\""),
    }
}

/// The kind of an error, and the line of a refusal.
pub(crate) fn kind(error: &Error) -> String {
    match error {
        Error::Refused { line, .. } => return format!("refused {}", line.escape_debug()),
        Error::NonNumeric { .. } => "non-numeric",
        Error::NotStored { .. } => "not stored",
        Error::Exists { .. } => "exists",
        Error::Cas { problem: CasProblem::Disabled, .. } => "version none",
        Error::NotFound { .. } => "gone",
        Error::Connect { .. } => "connect",
        Error::Disconnected { .. } => "disconnected",
        Error::Protocol { .. } => "protocol",
        Error::Argument { .. } => "argument",
        Error::Expiry { .. } => "expiry",
        _ => return format!("{error:?}"),
    }
    .to_owned()
}

pub(crate) fn word(landed: Landed) -> &'static str {
    match landed {
        Landed::NotSent => "not sent",
        Landed::Refused => "refused",
        Landed::Unknown => "unknown",
    }
}
