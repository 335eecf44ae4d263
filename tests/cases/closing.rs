//! A server that closes each connection at once: a client may come back to it before it has asked anything.

use std::net::{SocketAddr, TcpListener, TcpStream};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread::{self, JoinHandle};

use super::setting::{PATIENT, client};
use crate::subject::Client;

/// More connections than any test makes.
const MOST: usize = 1000;

#[derive(Debug)]
pub(super) struct Closing {
    address: SocketAddr,
    ended: Arc<AtomicBool>,
    thread: Option<JoinHandle<()>>,
}

impl Closing {
    /// Starts it; and a client of it.
    pub(super) fn start() -> (Self, Client) {
        let listener = TcpListener::bind("127.0.0.1:0").expect("a free port");
        let address = listener.local_addr().expect("an address");
        let ended = Arc::new(AtomicBool::new(false));
        let thread = thread::spawn({
            let ended = Arc::clone(&ended);
            move || listener.incoming().take(MOST).take_while(|_| !ended.load(Ordering::Relaxed)).for_each(drop)
        });
        (Self { address, ended, thread: Some(thread) }, client(&[address.to_string()]))
    }
}

impl Drop for Closing {
    fn drop(&mut self) {
        self.ended.store(true, Ordering::Relaxed);
        // It waits for a connection.
        drop(TcpStream::connect_timeout(&self.address, PATIENT));
        if let Some(thread) = self.thread.take() {
            let _ = thread.join();
        }
    }
}
