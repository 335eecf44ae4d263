//! A request over any number of servers.
//!
//! For users: requests for many keys or to all servers, and their results.

mod all_servers;
mod batch_result;
mod chunks;
mod each;
mod each_replica;
mod get_many;
mod on_server;
mod one;
mod quiet;
mod routed;

pub use self::all_servers::AllServers;
pub use self::batch_result::BatchResult;
#[doc(hidden)]
pub use self::chunks::{Chunks, KeyChunks};
pub use self::each::{Batch, DeleteMany, SetMany};
pub use self::each_replica::EachReplica;
pub use self::get_many::GetMany;
pub use self::on_server::OnServer;
pub use self::quiet::QuietBatch;
pub use self::routed::RoutedBy;
