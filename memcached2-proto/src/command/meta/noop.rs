//! `mn`: nothing.

use crate::command::detach::borrow_nothing;
use crate::command::{Command, Protocol, admin};
use crate::error::Error;
use crate::reply::{Reply, ReplyKind};
use crate::request_buffer::RequestBuffer;
use crate::time::Now;

/// Does nothing, and is answered: `mn`.
///
/// It shows that a server answers, and speaks meta.
///
/// ```
/// use memcached2_proto::command::meta::MetaNoop;
/// use memcached2_proto::operation::AllServers;
///
/// let request = AllServers(MetaNoop);
/// // client.run(request)?.into_result()?;
/// ```
#[derive(Debug, Clone, Copy, Default)]
pub struct MetaNoop;

impl Command for MetaNoop {
    type Response = ();

    fn name(&self) -> &'static str {
        "mn"
    }

    fn encode(&self, protocol: Protocol, _: Now, out: &mut RequestBuffer) -> Result<ReplyKind, Error> {
        if protocol == Protocol::Classic {
            return Err(Error::no_meta());
        }
        out.put(b"mn\r\n");
        out.put_server_fence();
        Ok(ReplyKind::MetaNoop)
    }

    fn answer(&self, reply: Reply) -> Result<(), Error> {
        admin::ok(reply)
    }

    fn repeatable(&self) -> bool {
        true
    }
}

borrow_nothing!(MetaNoop);
