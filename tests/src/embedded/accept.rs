//! The threads that serve sockets: one that accepts, and one for each connection.

use std::io::{self, ErrorKind, Read, Write};
use std::net::Shutdown;
use std::sync::Arc;
use std::thread::{self, JoinHandle};
use std::time::Duration;

use socket2::Socket;

use super::clock::Clock;
use super::core::Session;
use super::setup::EmbeddedSetup;
use super::shared::Shared;

/// Serves all connections until the server stops, then closes them.
pub(super) fn accept(shared: &Arc<Shared>, setup: &EmbeddedSetup) {
    let mut guests = Vec::new();
    while let Some(listener) = shared.listener() {
        accept_from(&listener, shared, setup, &mut guests);
        // A process that another thread is starting has it, too, until it is replaced by its program.
        let _ = listener.shutdown(Shutdown::Both);
        drop(listener);
        shared.has_closed_listener();
    }
    for stream in shared.lock().streams.values() {
        let _ = stream.shutdown(Shutdown::Both);
    }
    for guest in guests {
        let _ = guest.join();
    }
}

/// Accepts connections until the server stops or refuses them.
fn accept_from(listener: &Socket, shared: &Arc<Shared>, setup: &EmbeddedSetup, guests: &mut Vec<JoinHandle<()>>) {
    loop {
        let accepted = listener.accept();
        let mut state = shared.lock();
        let is_last = match &accepted {
            Ok((_, peer)) => state.is_last_guest(peer),
            Err(_) => state.core.faults().refuses,
        };
        if state.stopping || is_last {
            return;
        }
        let Ok((stream, _)) = accepted else {
            drop(state);
            // Too few descriptors, perhaps: others may give some back.
            thread::sleep(Duration::from_millis(10));
            continue;
        };
        if state.core.faults().max_connections.is_some_and(|limit| state.streams.len() >= limit) {
            let _ = (&stream).write_all(b"ERROR Too many open connections\r\n");
            continue;
        }
        let Ok(handle) = stream.try_clone() else { continue };
        state.accepted += 1;
        let mut session = state.core.connect();
        shared.after_change(&mut state);
        let id = state.accepted;
        state.streams.insert(id, handle);
        drop(state);
        guests.retain(|guest| !guest.is_finished());
        let (shared, setup) = (Arc::clone(shared), setup.clone());
        guests.push(thread::spawn(move || {
            let _ = serve(&stream, &mut session, &shared, &setup);
            let mut state = shared.lock();
            state.streams.remove(&id);
            session.close(&mut state.core);
            shared.after_change(&mut state);
        }));
    }
}

/// Serves a connection, by TLS if the setup says so.
fn serve(stream: &Socket, session: &mut Session, shared: &Shared, setup: &EmbeddedSetup) -> io::Result<()> {
    let _ = stream.set_tcp_nodelay(true);
    #[cfg(feature = "tls")]
    if let Some(config) = &setup.tls {
        // While it stands still, no handshake is answered.
        drop(shared.awake());
        let tls = rustls::ServerConnection::new(Arc::clone(config)).map_err(io::Error::other)?;
        let mut stream = rustls::StreamOwned::new(tls, stream);
        let served = carry(&mut stream, session, shared, &setup.clock);
        stream.conn.send_close_notify();
        let _ = stream.flush();
        return served;
    }
    carry(stream, session, shared, &setup.clock)
}

/// Carries bytes between a connection and its session until one side ends it.
fn carry(mut stream: impl Read + Write, session: &mut Session, shared: &Shared, clock: &Clock) -> io::Result<()> {
    let mut buffer = vec![0; 64 * 1024];
    while !session.is_closed() {
        let count = match stream.read(&mut buffer[..session.room()]) {
            Err(error) if error.kind() == ErrorKind::Interrupted => continue,
            read => read?,
        };
        if count == 0 {
            break;
        }
        let Some(mut state) = shared.awake() else { break };
        session.feed(&mut state.core, &buffer[..count], clock.unix_seconds());
        shared.after_change(&mut state);
        if shared.wait_out(state, session.delay()).is_none() {
            break;
        }
        while let Some(bytes) = session.take_outgoing() {
            stream.write_all(&bytes)?;
        }
        stream.flush()?;
        if session.is_watching() {
            return report(stream, session, shared);
        }
    }
    Ok(())
}

/// Writes events to a connection that watches, until the server stops or the connection is closed.
fn report(mut stream: impl Write, session: &Session, shared: &Shared) -> io::Result<()> {
    while let Some(mut state) = shared.awake() {
        match session.take_events(&mut state.core) {
            Some(bytes) => {
                drop(state);
                stream.write_all(&bytes)?;
                stream.flush()?;
            }
            None => shared.wait(state),
        }
    }
    Ok(())
}
