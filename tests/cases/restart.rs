//! A server that was restarted while its connections were idle.

use std::thread;
use std::time::Duration;

use memcached2_proto::{Expiry, Landed};

use super::servers::Kind;
use super::setting::client;

super::cases! {
    served {
        a_read_survives_a_restart,
        a_write_after_a_restart_is_stored_or_unknown,
        a_write_finds_out_before_it_is_sent_when_the_connection_was_idle,
    }
    scripted {}
}

fn a_read_survives_a_restart(on: Kind) {
    for mut server in [on.start(), on.start_on_unix_socket()] {
        let client = client(&[server.address()]);
        for _ in 0..3 {
            client.set("a", "x", Expiry::Never).unwrap();
            assert_eq!(client.get("a").unwrap().expect("a hit"), "x");
            server.restart();
            assert_eq!(client.get("a"), Ok(None));
            server.restart();
            assert_eq!(client.get_many(&["a", "b"]).unwrap().into_result(), Ok(vec![None, None]));
            server.restart();
            assert_eq!(client.version().unwrap().into_result().unwrap().len(), 1);
        }
    }
}

fn a_write_after_a_restart_is_stored_or_unknown(on: Kind) {
    let mut server = on.start();
    let client = client(&[server.address()]);
    for _ in 0..5 {
        client.set("other", "x", Expiry::Never).unwrap();
        server.restart();
        match client.set("a", "x", Expiry::Never) {
            Ok(()) => assert_eq!(client.get("a").unwrap().expect("a hit"), "x"),
            Err(error) => assert_eq!((error.landed(), error.is_timeout()), (Landed::Unknown, false), "{error}"),
        }
        // The dead connection is gone by now.
        client.set("a", "x", Expiry::Never).unwrap();
        assert_eq!(client.get("a").unwrap().expect("a hit"), "x");
        server.restart();
        match client.incr("a", 1) {
            Ok(sum) => assert_eq!(sum, None),
            Err(error) => assert_eq!((error.landed(), error.is_timeout()), (Landed::Unknown, false), "{error}"),
        }
    }
}

fn a_write_finds_out_before_it_is_sent_when_the_connection_was_idle(on: Kind) {
    let mut server = on.start();
    let client = client(&[server.address()]);
    client.set("a", "x", Expiry::Never).unwrap();
    server.restart();
    // The rule is about time that passes: a connection is looked at before use when it was idle for over a second.
    thread::sleep(Duration::from_millis(1100));
    assert_eq!(client.set("a", "x", Expiry::Never), Ok(()));
    assert_eq!(client.get("a").unwrap().expect("a hit"), "x");
}
