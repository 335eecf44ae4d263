//! Other faces of the client: expanded from what is written once for all transports.

use crate::client::Client;

memcached2_proto::entry!([] []);
memcached2_proto::forgiving!([] [] FnOnce);
memcached2_proto::mapping!([] []);
