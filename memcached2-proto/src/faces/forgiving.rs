//! A client for which failures are misses.

use crate::call::Plan;
use crate::command::Command;
use crate::error::Error;
use crate::operation::{Operation, Progress};
use crate::reply::Reply;

/// An operation whose failures are misses, where it has any.
#[derive(Debug, Clone)]
pub struct Forgive<O>(pub O);

/// Such an operation under way, and what stands for its output when the cache has failed.
#[derive(Debug)]
pub struct Forgiven<O: Operation> {
    progress: O::Progress,
    miss: Option<O::Output>,
}

impl<O: Operation> Operation for Forgive<O> {
    type Output = O::Output;
    type Progress = Forgiven<O>;

    fn start(self, plan: &mut Plan<'_>) -> Forgiven<O> {
        let miss = self.0.miss();
        Forgiven { progress: self.0.start(plan), miss }
    }
}

impl<O: Operation> Progress for Forgiven<O> {
    type Command = <O::Progress as Progress>::Command;
    type Output = O::Output;

    fn command(&self, index: usize) -> &Self::Command {
        self.progress.command(index)
    }

    fn take_reply(&mut self, index: usize, reply: Reply) {
        self.progress.take_reply(index, reply);
    }

    fn end(&mut self, index: usize, result: Result<<Self::Command as Command>::Response, Error>) {
        self.progress.end(index, result);
    }

    fn replan(&mut self, index: usize, plan: &mut Plan<'_>) -> bool {
        self.progress.replan(index, plan)
    }

    fn finish(self) -> Result<O::Output, Error> {
        O::forgive(self.progress.finish(), self.miss)
    }
}

/// Expands the type `Forgiving` for the `Client` of a transport; the parameters are those of `compositions!`.
#[doc(hidden)]
#[macro_export]
macro_rules! forgiving {
    ([$($async:tt)*] [$($await:tt)*] $Fn:ident) => {
        /// A client for which failures of the cache are misses: for code that computes what it does not find, and has
        /// nothing to say about servers.
        ///
        /// It has all methods of [`Client`]. Of these the failures are kept back
        /// ([`Error::is_a_miss`]($crate::Error::is_a_miss)), and what is wrong with the call itself is still told, such as
        /// a key that is none:
        ///
        /// | method | after a failure |
        /// |---|---|
        /// | `get`, `gets`, `gat`, `gats`, `get_as` | `Ok(None)` |
        /// | `get_many` and its siblings | `Ok(None)` for each key that nobody answered for |
        /// | `set` | `Ok(())` |
        /// | `set_many`, `store_many` | as always: the results tell item by item |
        /// | `delete`, `delete_many` | `Ok(false)` |
        /// | `cache` | what the closure returns |
        ///
        /// All others fail as those of the client do: whoever asks to `add` or to count has to hear what came of it.
        #[derive(Debug, Clone)]
        pub struct Forgiving {
            client: Client,
        }

        impl Forgiving {
            /// The same client, for which failures are misses.
            #[must_use]
            pub fn new(client: Client) -> Self {
                Self { client }
            }

            /// The client that tells its failures.
            #[must_use]
            pub fn client(&self) -> &Client {
                &self.client
            }

            /// Runs any operation; every other method is a name for one call of this.
            ///
            /// # Errors
            ///
            /// Those of the operation that are no miss.
            pub $($async)* fn run<O: $crate::Operation>(&self, operation: O) -> Result<O::Output, $crate::Error> {
                self.client.run($crate::Forgive(operation))$($await)*
            }

            $crate::operations!([$($async)*] [$($await)*]);
            $crate::compositions!([$($async)*] [$($await)*] $Fn);
        }
    };
}
