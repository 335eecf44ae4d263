//! Other faces of the client: expanded from what is written once for all transports.

use crate::client::Client;

memcached2_proto::entry!([async] [.await]);
memcached2_proto::forgiving!([async] [.await] AsyncFnOnce);
memcached2_proto::mapping!([async] [.await]);
