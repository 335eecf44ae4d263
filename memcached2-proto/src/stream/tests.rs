use super::*;
use crate::command::Classes;

/// The records of a stream that comes in pieces of at most `piece` bytes and then ends, and how it ends.
fn play<C: StreamCommand>(command: C, bytes: &[u8], piece: usize) -> (Vec<C::Record>, Result<(), Error>) {
    let mut stream = RecordStream::new(command, Limits::default()).unwrap();
    stream.advance_written(usize::MAX);
    let (mut records, mut rest) = (Vec::new(), bytes);
    loop {
        loop {
            match stream.next_record() {
                Ok(Some(record)) => records.push(record),
                Ok(None) if stream.has_ended() => return (records, Ok(())),
                Ok(None) => break,
                Err(error) => {
                    assert!(stream.has_ended() && stream.next_record().unwrap().is_none());
                    return (records, Err(error));
                }
            }
        }
        let space = stream.read_buf();
        let n = rest.len().min(piece).min(space.len());
        space[..n].copy_from_slice(&rest[..n]);
        stream.advance_read(n);
        rest = &rest[n..];
    }
}

/// The same at every cut, which must not make a difference.
fn all<C: StreamCommand<Record: PartialEq + std::fmt::Debug>>(
    command: &C,
    bytes: &str,
) -> (Vec<C::Record>, Result<(), Error>) {
    let whole = play(command.clone(), bytes.as_bytes(), usize::MAX);
    for piece in 1..bytes.len() {
        assert_eq!(play(command.clone(), bytes.as_bytes(), piece), whole, "pieces of {piece}: {bytes}");
    }
    whole
}

#[test]
fn a_metadump_is_read_up_to_its_end_from_each_version() {
    let plain = "key=a exp=-1 la=1 cas=2 fetch=yes cls=1 size=65\nkey=foo%25bar%21 exp=7 la=1 cas=3 fetch=no cls=1 size=63\nEND\r\n";
    let (items, end) = all(&Metadump::all(), plain);
    assert_eq!((items.len(), end), (2, Ok(())));
    let DumpedItem { key, exptime, last_access, cas, fetched, class, size, flags, other } = &items[0];
    assert_eq!((&key[..], *exptime, *last_access, *cas, *fetched), (&b"a"[..], None, 1, 2, true));
    assert_eq!((*class, *size, *flags, other.len()), (Some(1), Some(65), None, 0));
    assert_eq!((&items[1].key[..], items[1].exptime), (&b"foo%bar!"[..], Some(7)));
    // 1.4.31 to 1.5.3 says neither class nor size, and no end.
    let (items, end) = all(&Metadump::all(), "key=a exp=-1 la=1 cas=2 fetch=yes\n");
    assert!(items.is_empty() && end.as_ref().is_err_and(|error| error.to_string().contains("1.5.4")), "{end:?}");
    // 1.6.43 says OK first; 1.6.39 ends lines in a blank, and names pages of its storage.
    let newer = "OK\r\nkey=END exp=-1 la=1 cas=2 fetch=no cls=1 size=65 flags=5 ext_page=1 ext_offset=2 \nEND\r\n";
    let (items, end) = all(&Metadump::hash(), newer);
    assert_eq!((&items[0].key[..], items[0].flags, end), (&b"END"[..], Some(5), Ok(())));
    assert_eq!(items[0].other, [("ext_page".to_owned(), "1".to_owned()), ("ext_offset".to_owned(), "2".to_owned())]);
    // The end of the connection is no end of a dump.
    let cut = "key=a%z1 exp=-1 la=1 cas=2 fetch=no cls=1 size=65\n";
    let (items, end) = all(&Metadump::all(), cut);
    assert_eq!((&items[0].key[..], items[0].class), (&b"a%z1"[..], Some(1)));
    assert!(matches!(end, Err(Error::Disconnected { landed: Landed::NotSent, .. })), "{end:?}");
    assert_eq!(all(&Metadump::all(), "END\r\n"), (Vec::new(), Ok(())));
}

#[test]
fn a_mgdump_ends_in_its_own_word() {
    let (keys, end) = all(&Mgdump::all(), "OK\r\nmg a\r\nmg Zm9v b\r\nmg EN\r\nmg OK\r\nmg b\r\nEN\r\n");
    let key = |key: &'static str, is_binary| DumpedKey { key: key.into(), is_binary };
    assert_eq!(keys, [key("a", false), key("foo", true), key("EN", false), key("OK", false), key("b", false)]);
    assert_eq!(end, Ok(()));
    assert!(matches!(all(&Mgdump::all(), "mg !! b\r\nEN\r\n").1, Err(Error::Protocol { .. })));
}

#[test]
fn an_error_line_ends_a_stream_with_a_refusal() {
    for line in [
        "BUSY currently processing crawler request",
        "BADCLASS invalid class id",
        "NOTSTARTED no items to crawl",
        "ERROR metadump not allowed",
        "ERROR cannot pipeline other commands before metadump",
        "CLIENT_ERROR lru crawler disabled",
        "SERVER_ERROR out of memory",
        "ERROR",
        "WATCHER_TOO_MANY log watcher limit reached",
    ] {
        let refused = |end| matches!(end, Err(Error::Refused { line: said, landed, .. }) if *said == *line && landed != Landed::Unknown);
        assert!(refused(all(&Metadump::all(), &format!("{line}\r\n")).1), "{line}");
        assert!(refused(all(&Watch::new([]), &format!("{line}\r\n")).1), "{line}");
    }
    let locked = "key=a exp=-1 la=1 cas=2 fetch=no cls=1 size=65\nERROR locked try again later\r\n";
    let (items, end) = all(&Metadump::all(), locked);
    assert!(items.len() == 1 && matches!(end, Err(Error::Refused { .. })), "{end:?}");
}

#[test]
fn a_line_that_is_no_record_or_too_long_ends_a_stream() {
    let long = "k".repeat(100_000);
    for bytes in
        ["key=a\n", "VALUE a 0 1\r\n", "\n", "key=a exp=x la=1 cas=2 fetch=no\n", "exp=-1 la=1 cas=2 fetch=no\n", &long]
    {
        for piece in [1000, usize::MAX] {
            let (_, end) = play(Metadump::all(), bytes.as_bytes(), piece);
            assert!(matches!(end, Err(Error::Protocol { landed: Landed::NotSent, .. })), "{end:?}");
        }
    }
    let garbage = vec![0xfe; 64 * 1024];
    let (_, end) = play(Watch::new([]), &[b"OK\r\n", &garbage[..]].concat(), 1000);
    assert!(matches!(end, Err(Error::Protocol { .. })), "{end:?}");
}

#[test]
fn events_have_types_and_what_is_not_known_is_kept() {
    let lines = "OK\r\n\
        ts=1795377509.32407 gid=258 type=item_get key=a%3Ab status=found clsid=1 cfd=18 size=3\n\
        skipped=17\n\
        ts=1795377509.1 gid=259 type=item_store key=b status=too_large cmd=set ttl=9 clsid=0 cfd=-1207868672 size=0 new=1\n\
        ts=1795377510.0 gid=260 type=eviction key=c fetch=yes ttl=-1 la=4 clsid=2 size=5\n\
        ts=1795377510.0 gid=261 type=deleted key=d cmd=md clsid=1 size=1\n\
        ts=1795377510.0 gid=262 type=conn_new rip=10.0.0.1 rport=4711 transport=tcp cfd=30\n\
        ts=1795377510.0 gid=263 type=conn_close rip=unix rport=0 transport=local reason=normal cfd=30\n\
        ts=1795377510.0 gid=264 type=proxy_error msg=all is=lost\n\
        ts=1795377510.0 gid=265 <12 get foo\n\
        ts=1795377510.0 gid=266 type=item_get key=old status=not_found\n";
    let (events, end) = all(&Watch::new([]), lines);
    assert!(matches!(end, Err(Error::Disconnected { .. })), "{end:?}");
    let since = events[0].time.unwrap().duration_since(std::time::UNIX_EPOCH).unwrap();
    assert_eq!((since, events[0].gid), (Duration::new(1_795_377_509, 32_407_000), Some(258)));
    let kinds: Vec<_> = events.iter().map(|event| &event.kind).collect();
    let fetched = |key: &'static str, status: &str, class, connection, size| WatchKind::Fetched {
        key: key.into(),
        status: status.into(),
        class,
        connection,
        size,
    };
    assert_eq!(*kinds[0], fetched("a:b", "found", Some(1), Some(18), Some(3)));
    assert_eq!((kinds[1], events[1].time), (&WatchKind::Skipped(17), None));
    assert!(
        matches!(kinds[2], WatchKind::Stored { connection: Some(-1_207_868_672), ttl: Some(9), .. }),
        "{:?}",
        kinds[2]
    );
    assert_eq!(events[2].other, [("new".to_owned(), "1".to_owned())]);
    assert!(matches!(kinds[3], WatchKind::Evicted { fetched: true, ttl: Some(-1), last_access: Some(4), .. }));
    assert!(matches!(kinds[4], WatchKind::Deleted { command, .. } if command == "md"));
    assert!(matches!(kinds[5], WatchKind::Connected { address, port: Some(4711), .. } if address == "10.0.0.1"));
    assert!(matches!(kinds[6], WatchKind::Disconnected { reason, .. } if reason == "normal"));
    assert_eq!(*kinds[7], WatchKind::Other("proxy_error".into()));
    assert_eq!(events[7].other, [("msg".to_owned(), "all is=lost".to_owned())]);
    assert_eq!(*kinds[8], WatchKind::Text("<12 get foo".into()));
    assert_eq!(*kinds[9], fetched("old", "not_found", None, None, None));
    for wrong in ["gid=1 type=item_get\n", "ts=1 gid=2 type=x\n", "ts=1.x gid=2\n", "ts=1.2 type=x\n", "skipped=many\n"]
    {
        assert!(matches!(all(&Watch::new([]), wrong).1, Err(Error::Protocol { .. })), "{wrong}");
    }
}

#[test]
fn the_end_of_the_connection_is_the_answer_to_a_shutdown_alone() {
    assert_eq!(all(&Shutdown::Now, ""), (Vec::new(), Ok(())));
    let (_, end) = all(&Shutdown::Graceful, "SERVER_ERROR: shutdown not enabled\r\n");
    assert!(matches!(end, Err(Error::Refused { landed: Landed::Refused, .. })), "{end:?}");
    let (_, end) = all(&Shutdown::Now, "half a line");
    assert!(matches!(end, Err(Error::Disconnected { landed: Landed::Unknown, .. })), "{end:?}");
    let mut unsent = RecordStream::new(Shutdown::Now, Limits::default()).unwrap();
    assert_eq!(unsent.landed(), Landed::NotSent);
    unsent.advance_written(1);
    assert_eq!(unsent.landed(), Landed::Unknown);
}

#[test]
fn the_command_is_one_line() {
    for (line, expected) in [
        (Metadump::all().line(), "lru_crawler metadump all"),
        (Metadump::classes(Classes::These(vec![1, 3, 10])).line(), "lru_crawler metadump 1,3,10"),
        (Mgdump::hash().line(), "lru_crawler mgdump hash"),
        (Watch::new([]).line(), "watch"),
        (Watch::new([Watcher::Mutations, Watcher::Evictions, Watcher::Mutations]).line(), "watch evictions mutations"),
        (Shutdown::Graceful.line(), "shutdown graceful"),
    ] {
        assert_eq!(line.unwrap(), expected);
    }
    assert!(matches!(Metadump::classes(Classes::These(Vec::new())).line(), Err(Error::Argument { .. })));
}
