//! Texts that people and servers write: addresses, statistics, transcripts.

use std::iter;

use memcached2_proto::Server;
use memcached2_proto::stats::{CacheDumpItem, GroupedReport, PrefixCount, Report, SizeReport};

/// Reads `data` as the address of a server. What is shown of it is the same server, and shows no password.
pub fn uri(data: &[u8]) {
    let text = String::from_utf8_lossy(data);
    match text.parse::<Server>() {
        Ok(server) => {
            let shown = server.to_string();
            let again = shown.parse::<Server>();
            assert!(again.is_ok(), "{shown:?}, which {text:?} is shown as, is {again:?}");
            let Ok(again) = again else { return };
            assert_eq!(again.to_string(), shown);
            assert_eq!((again.address(), again.name()), (server.address(), server.name()));
            assert_eq!((again.weight(), again.is_tls()), (server.weight(), server.is_tls()));
        }
        Err(error) => assert!(!error.to_string().is_empty()),
    }
    const PASSWORD: &str = "pa55word-of-nobody";
    if text.contains(PASSWORD) {
        return;
    }
    for scheme in ["memcached", "memcacheds", "memcached+unix"] {
        let secret = format!("{scheme}://user:{PASSWORD}@{text}");
        let shown = match secret.parse::<Server>() {
            Ok(server) => format!("{server} {server:?} {}", server.name()),
            Err(error) => format!("{error} {error:?}"),
        };
        assert!(!shown.contains(PASSWORD), "{secret:?} is shown as {shown}");
    }
}

/// Reads `data` as statistics of every kind: each line is counted, and read without an error.
pub fn report(data: &[u8]) {
    let text = String::from_utf8_lossy(data);
    let lines = text.split_terminator('\n').count();
    let report = Report::read(&text);
    assert_eq!((report.len(), report.iter().count()), (lines, lines));
    for (name, _) in report.iter() {
        let known = (report.get(name), report.text(name));
        assert!(known.0.is_some() && known.1.is_some(), "{name:?} is listed and not found");
        let _ = (report.number(name), report.float(name), report.boolean(name));
    }
    let grouped = GroupedReport::read(&text);
    let all = grouped.groups.values().chain(iter::once(&grouped.totals));
    assert_eq!(all.map(Report::len).sum::<usize>(), lines);
    let sizes = SizeReport::read(&text);
    assert_eq!(sizes.sizes.len() + sizes.status.len(), lines);
    let _ = sizes.is_disabled();
    assert!(PrefixCount::read(&text).len() <= lines);
    let items = CacheDumpItem::read(data);
    assert!(items.iter().all(|item| item.key.len() <= data.len()) && items.len() <= lines + 1);
}

/// Reads `data` as transcripts: either they are some, or the error names one of their lines.
pub fn transcript(data: &[u8]) {
    let text = String::from_utf8_lossy(data);
    // A repetition may ask for more memory than there is.
    if text.contains(r"\{") {
        return;
    }
    match memcached2_testkit::read(&text) {
        Ok(transcripts) => assert!(transcripts.iter().all(|transcript| !transcript.turns.is_empty())),
        Err(error) => assert!(error.line() <= text.lines().count(), "{error}"),
    }
}
