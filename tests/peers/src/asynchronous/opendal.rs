//! `OpenDAL`'s service for memcached: an operator, shared by the callers, with a connection for each of them.

use opendal::{Operator, services};

use super::Peer;
use crate::job::Job;

/// Makes an operator for all callers.
pub(super) fn operators(job: &Job) -> Vec<Operator> {
    let service = services::Memcached::default().endpoint(&format!("tcp://{}", job.server()));
    let operator = Operator::new(service.connection_pool_max_size(job.workload.callers)).expect("an address");
    vec![operator; job.workload.callers]
}

impl Peer for Operator {
    async fn get(&mut self, key: &str) -> Option<impl AsRef<[u8]>> {
        Some(self.read(key).await.expect("a value").to_bytes())
    }

    async fn set(&mut self, key: &str, value: &[u8]) {
        self.write(key, value.to_vec()).await.expect("stored");
    }
}
