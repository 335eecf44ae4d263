//! A server with TLS by rustls, which knows how a client has ended its connection.

use std::io::{ErrorKind, Read as _, Write as _};
use std::net::{TcpListener, TcpStream};
use std::sync::{Arc, mpsc};
use std::thread;

use memcached2_proto::tls::rustls::{AlertDescription, Error, ServerConfig, ServerConnection};
use memcached2_testkit::EmbeddedServer;

/// How a client has ended its connection.
#[derive(Debug, PartialEq, Eq)]
pub(crate) enum End {
    /// By `close_notify`.
    CloseNotify,
    /// By an alert that says what is wrong.
    Alert(AlertDescription),
    /// Without a word.
    Cut,
}

/// TLS in front of an embedded server. It serves requests that are answered one by one.
pub(crate) struct TlsServer {
    pub(crate) address: String,
    /// How each connection has ended.
    pub(crate) ends: mpsc::Receiver<End>,
}

impl TlsServer {
    pub(crate) fn start(config: Arc<ServerConfig>) -> Self {
        let listener = TcpListener::bind(("127.0.0.1", 0)).unwrap();
        let address = format!("memcacheds://{}", listener.local_addr().unwrap());
        let (ended, ends) = mpsc::channel();
        thread::spawn(move || {
            let server = EmbeddedServer::start();
            for socket in listener.incoming().flatten() {
                let (config, ended) = (Arc::clone(&config), ended.clone());
                let behind = TcpStream::connect(server.address()).unwrap();
                thread::spawn(move || ended.send(serve(socket, behind, config)));
            }
        });
        Self { address, ends }
    }
}

fn serve(mut socket: TcpStream, mut behind: TcpStream, config: Arc<ServerConfig>) -> End {
    let mut tls = ServerConnection::new(config).unwrap();
    let mut space = vec![0; 64 * 1024];
    loop {
        match tls.reader().read(&mut space) {
            Ok(0) => return End::CloseNotify,
            Ok(n) => {
                behind.write_all(&space[..n]).unwrap();
                // Nothing after a `quit`.
                let n = behind.read(&mut space).unwrap();
                tls.writer().write_all(&space[..n]).unwrap();
            }
            Err(error) if error.kind() == ErrorKind::WouldBlock => {
                if tls.read_tls(&mut socket).is_err() {
                    return End::Cut;
                }
            }
            Err(_) => return End::Cut,
        }
        match tls.process_new_packets() {
            Err(Error::AlertReceived(alert)) => return End::Alert(alert),
            Err(_) => return End::Cut,
            Ok(_) => {}
        }
        while tls.wants_write() {
            if tls.write_tls(&mut socket).is_err() {
                return End::Cut;
            }
        }
    }
}
