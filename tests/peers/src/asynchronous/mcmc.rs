//! mcmc-rs, on Tokio: a client is a connection, or one to each server.

use mcmc_rs::{ClientCrc32, Connection, StorageResult};

use super::Peer;
use crate::items::Items;
use crate::job::Job;

/// Makes a connection for each caller.
pub(super) async fn connections(job: &Job) -> Vec<Connection> {
    let mut connections = Vec::new();
    for _ in 0..job.workload.callers {
        connections.push(connect(job.server()).await);
    }
    connections
}

/// Makes a client with a connection to each server for each caller.
pub(super) async fn sharded(job: &Job) -> Vec<ClientCrc32> {
    let mut clients = Vec::new();
    for _ in 0..job.workload.callers {
        let mut connections = Vec::new();
        for server in &job.servers {
            connections.push(connect(server).await);
        }
        clients.push(ClientCrc32::new(connections));
    }
    clients
}

async fn connect(server: &str) -> Connection {
    Connection::tcp_connect(server).await.expect("memcached runs there")
}

impl Peer for Connection {
    async fn get(&mut self, key: &str) -> Option<impl AsRef<[u8]>> {
        Self::get(self, key).await.expect("an answer").map(|item| item.data_block)
    }

    async fn get_many(&mut self, items: &Items) {
        items.check_all(self.get_multi(&items.keys).await.expect("values").into_iter().map(|item| item.data_block));
    }

    async fn set(&mut self, key: &str, value: &[u8]) {
        let stored = Self::set(self, key, 0, 0, false, value).await.expect("an answer");
        assert!(matches!(stored, StorageResult::Stored), "stored");
    }
}

impl Peer for ClientCrc32 {
    async fn get(&mut self, key: &str) -> Option<impl AsRef<[u8]>> {
        Self::get(self, key).await.expect("an answer").map(|item| item.data_block)
    }
}
