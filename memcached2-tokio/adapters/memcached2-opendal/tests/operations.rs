//! What the operations of an operator do: the part of OpenDAL's behavior tests that applies to memcached, and its own cases.
#![allow(clippy::unwrap_used, reason = "a panic is the failure of the test")]

mod common;

use common::{Kind, Started, bytes, operator};
use memcached2_opendal::Memcached2;
use memcached2_tokio::{Client, Expiry, Protocol};
use opendal::{ErrorKind, Operator};

on_each_server! {
    a_file_is_read_as_it_was_written
    a_missing_file_is_not_found
    a_range_of_a_file_is_read
    a_file_is_read_in_chunks
    the_pieces_of_a_writer_become_one_file
    a_writer_that_is_aborted_stores_nothing
    a_file_is_written_only_if_there_is_none
    files_are_deleted
    thousands_of_files_are_deleted_together
    the_root_is_a_directory_and_parts_the_files
    any_path_is_a_key
    paths_of_any_length_are_keys
    the_length_comes_without_the_value
    a_server_that_speaks_no_meta_tells_the_length
    what_memcached_cannot_do_is_unsupported
    a_file_that_is_too_long_is_refused_by_name
    files_are_spread_over_servers
    items_of_the_client_are_files
}

async fn a_file_is_read_as_it_was_written(server: Started) {
    let operator = server.operator();
    for length in [0, 1, 1000, 100_000, 1_000_000] {
        let (path, content) = (format!("file of {length}"), bytes(length));
        let written = operator.write(&path, content.clone()).await.unwrap();
        assert_eq!(written.content_length(), length as u64);
        assert!(operator.read(&path).await.unwrap().to_vec() == content, "{length}");
        let metadata = operator.stat(&path).await.unwrap();
        assert!(metadata.is_file());
        assert_eq!(metadata.content_length(), length as u64);
    }
    operator.write("file of 1", "another one").await.unwrap();
    assert_eq!(operator.read("file of 1").await.unwrap().to_vec(), b"another one");
}

async fn a_missing_file_is_not_found(server: Started) {
    let operator = server.operator();
    assert_eq!(operator.read("missing").await.unwrap_err().kind(), ErrorKind::NotFound);
    assert_eq!(operator.stat("missing").await.unwrap_err().kind(), ErrorKind::NotFound);
    assert!(!operator.exists("missing").await.unwrap());
    let error = operator.read("missing").await.unwrap_err();
    assert!(!error.is_temporary(), "{error}");
    // It is the same for a directory, which is a file like others here.
    assert!(!operator.exists("missing/").await.unwrap());
}

async fn a_range_of_a_file_is_read(server: Started) {
    let (operator, content) = (server.operator(), bytes(5000));
    operator.write("file", content.clone()).await.unwrap();
    for range in [0..5000, 0..1, 17..1234, 4999..5000] {
        let read = operator.read_with("file").range(range.clone()).await.unwrap().to_vec();
        assert_eq!(read, content[range.start as usize..range.end as usize], "{range:?}");
    }
    assert_eq!(operator.read_with("file").range(4000..).await.unwrap().to_vec(), content[4000..]);
    assert_eq!(operator.read_with("file").range(..4000).await.unwrap().to_vec(), content[..4000]);
    let beyond = operator.read_with("file").range(4000..6000).await.unwrap_err();
    assert_eq!(beyond.kind(), ErrorKind::RangeNotSatisfied, "{beyond}");
    let reader = operator.reader("file").await.unwrap();
    assert_eq!(reader.read(10..20).await.unwrap().to_vec(), content[10..20]);
    let ranges = reader.fetch(vec![0..10, 4000..4500, 12..13]).await.unwrap();
    assert_eq!(
        ranges.iter().map(opendal::Buffer::to_vec).collect::<Vec<_>>(),
        [&content[0..10], &content[4000..4500], &content[12..13]]
    );
}

async fn a_file_is_read_in_chunks(server: Started) {
    let (operator, content) = (server.operator(), bytes(10_000));
    operator.write("file", content.clone()).await.unwrap();
    let read = operator.read_with("file").chunk(777).concurrent(3).await.unwrap();
    assert!(read.to_vec() == content);
}

async fn the_pieces_of_a_writer_become_one_file(server: Started) {
    let (operator, content) = (server.operator(), bytes(300_000));
    let mut writer = operator.writer("file").await.unwrap();
    for piece in content.chunks(70_001) {
        writer.write(piece.to_vec()).await.unwrap();
    }
    assert!(!operator.exists("file").await.unwrap());
    assert_eq!(writer.close().await.unwrap().content_length(), 300_000);
    assert!(operator.read("file").await.unwrap().to_vec() == content);

    operator.writer("empty").await.unwrap().close().await.unwrap();
    assert_eq!(operator.stat("empty").await.unwrap().content_length(), 0);
}

async fn a_writer_that_is_aborted_stores_nothing(server: Started) {
    let operator = server.operator();
    let mut writer = operator.writer("file").await.unwrap();
    writer.write("a part").await.unwrap();
    writer.abort().await.unwrap();
    assert!(!operator.exists("file").await.unwrap());
}

async fn a_file_is_written_only_if_there_is_none(server: Started) {
    let operator = server.operator();
    operator.write_with("file", "first").if_not_exists(true).await.unwrap();
    let error = operator.write_with("file", "second").if_not_exists(true).await.unwrap_err();
    assert_eq!(error.kind(), ErrorKind::ConditionNotMatch, "{error}");
    assert!(!error.is_temporary());
    assert_eq!(operator.read("file").await.unwrap().to_vec(), b"first");
}

async fn files_are_deleted(server: Started) {
    let operator = server.operator();
    operator.write("file", "content").await.unwrap();
    operator.delete("file").await.unwrap();
    assert!(!operator.exists("file").await.unwrap());
    // One that is gone is as good as deleted.
    operator.delete("file").await.unwrap();
}

async fn thousands_of_files_are_deleted_together(server: Started) {
    let operator = server.operator();
    let paths: Vec<String> = (0..2500).map(|number| format!("file {number}")).collect();
    for path in paths.iter().step_by(100) {
        operator.write(path, "content").await.unwrap();
    }
    operator.write("another", "content").await.unwrap();
    operator.delete_iter(paths.clone()).await.unwrap();
    for path in paths.iter().step_by(100) {
        assert!(!operator.exists(path).await.unwrap(), "{path}");
    }
    assert!(operator.exists("another").await.unwrap());
}

async fn the_root_is_a_directory_and_parts_the_files(server: Started) {
    let within = |root: &str| Operator::new(Memcached2::default().endpoint(&server.address()).root(root)).unwrap();
    let (all, one, other) = (within(""), within("/one"), within("one/other/"));
    assert_eq!(&*all.info().root(), "/");
    assert_eq!(&*one.info().root(), "/one/");
    for operator in [&all, &one, &other] {
        assert!(operator.stat("/").await.unwrap().is_dir());
        operator.write("file", operator.info().root().to_string()).await.unwrap();
    }
    for operator in [&all, &one, &other] {
        assert_eq!(operator.read("file").await.unwrap().to_vec(), operator.info().root().as_bytes());
    }
    assert_eq!(all.read("one/other/file").await.unwrap().to_vec(), b"/one/other/");
}

async fn any_path_is_a_key(server: Started) {
    let operator = server.operator();
    let paths = [
        "a b",
        "a%20b",
        "a+b",
        "größe",
        "文件",
        "tab\there",
        "line\r\nset x 0 0 1",
        "noreply",
        "ends with ",
        "..",
        "sha256:x",
    ];
    for path in paths {
        operator.write(path, path).await.unwrap();
    }
    for path in paths {
        assert_eq!(operator.read(path).await.unwrap().to_vec(), path.as_bytes(), "{path:?}");
    }
}

async fn paths_of_any_length_are_keys(server: Started) {
    let operator = server.operator();
    // Percent-encoded, the second of each pair has three times as many bytes.
    let paths: Vec<String> = [83, 84, 249, 250, 251, 5000]
        .iter()
        .flat_map(|&length| ["p", " "].map(|part| format!("a{}z", part.repeat(length))))
        .collect();
    for path in &paths {
        operator.write(path, path.clone()).await.unwrap();
    }
    for path in &paths {
        assert!(operator.read(path).await.unwrap().to_vec() == path.as_bytes(), "{path:?}");
        assert_eq!(operator.stat(path).await.unwrap().content_length(), path.len() as u64);
    }
    operator.delete_iter(paths.clone()).await.unwrap();
    for path in &paths {
        assert!(!operator.exists(path).await.unwrap(), "{path:?}");
    }
}

/// The client would refuse the value.
async fn the_length_comes_without_the_value(server: Started) {
    let client = Client::builder().server(server.address()).value_limit(10).build().unwrap();
    let operator = Operator::new(Memcached2::new(client)).unwrap();
    operator.write("file", bytes(1000)).await.unwrap();
    assert_eq!(operator.stat("file").await.unwrap().content_length(), 1000);
    assert_eq!(operator.read("file").await.unwrap_err().kind(), ErrorKind::Unexpected);
}

async fn a_server_that_speaks_no_meta_tells_the_length(server: Started) {
    let client = Client::builder().server(server.address()).protocol(Protocol::Classic).build().unwrap();
    let operator = Operator::new(Memcached2::new(client)).unwrap();
    operator.write("file", bytes(1000)).await.unwrap();
    assert_eq!(operator.stat("file").await.unwrap().content_length(), 1000);
    assert_eq!(operator.stat("missing").await.unwrap_err().kind(), ErrorKind::NotFound);
}

async fn what_memcached_cannot_do_is_unsupported(server: Started) {
    let operator = server.operator();
    operator.write("file", "content").await.unwrap();
    let errors = [
        operator.create_dir("directory/").await.unwrap_err(),
        operator.list("/").await.unwrap_err(),
        operator.copy("file", "other").await.unwrap_err(),
        operator.rename("file", "other").await.unwrap_err(),
        operator.write_with("file", "more").append(true).await.unwrap_err(),
        operator.read_with("file").if_match("etag").await.unwrap_err(),
    ];
    for error in errors {
        assert_eq!(error.kind(), ErrorKind::Unsupported, "{error}");
    }
    assert_eq!(operator.read("file").await.unwrap().to_vec(), b"content");
}

async fn a_file_that_is_too_long_is_refused_by_name(server: Started) {
    let operator = server.operator();
    operator.write("file", "content").await.unwrap();
    let error = operator.write("file", bytes(2_000_000)).await.unwrap_err();
    assert_eq!(error.kind(), ErrorKind::Unexpected);
    assert!(!error.is_temporary(), "{error}");
    assert!(error.to_string().contains("longer than the server takes"), "{error}");
    assert!(!operator.exists("file").await.unwrap());
    // The next one finds a connection in order.
    operator.write("file", "content").await.unwrap();

    let client = Client::builder().server(server.address()).sent_value_limit(100).build().unwrap();
    let limited = Operator::new(Memcached2::new(client)).unwrap();
    let error = limited.write("file", bytes(101)).await.unwrap_err();
    assert!(error.to_string().contains("longer than the client sends"), "{error}");
    assert_eq!(limited.read("file").await.unwrap().to_vec(), b"content");
}

async fn files_are_spread_over_servers(server: Started) {
    let second = Kind::Embedded.start().unwrap();
    let both = operator(&format!("{}, tcp://{}", server.address(), second.address()));
    let each = [server.operator(), second.operator()];
    let mut found = [0, 0];
    for number in 0..100 {
        let path = format!("file {number}");
        both.write(&path, path.clone()).await.unwrap();
        assert_eq!(both.read(&path).await.unwrap().to_vec(), path.as_bytes());
        for (one, count) in each.iter().zip(&mut found) {
            *count += u32::from(one.exists(&path).await.unwrap());
        }
    }
    assert_eq!(found[0] + found[1], 100);
    assert!(found.iter().all(|&count| count > 10), "{found:?}");
}

async fn items_of_the_client_are_files(server: Started) {
    let client = Client::builder().server(server.address()).prefix("shop:").build().unwrap();
    let operator = Operator::new(Memcached2::new(client.clone()).root("files")).unwrap();
    client.set("files/a%20b", "an item", Expiry::Never).await.unwrap();
    assert_eq!(operator.read("a b").await.unwrap().to_vec(), b"an item");
    operator.write("c d", "a file").await.unwrap();
    assert_eq!(client.get("files/c%20d").await.unwrap().unwrap(), "a file");
}
