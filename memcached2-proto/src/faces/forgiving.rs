//! A client for which failures are misses.

use crate::call::{Outcomes, Parts};
use crate::error::Error;
use crate::operation::Operation;

/// An operation whose failures are misses, where it has any.
#[derive(Debug, Clone)]
pub struct Forgive<O>(pub O);

impl<O: Operation> Operation for Forgive<O> {
    type Part = O::Part;
    type Output = O::Output;
    /// And what stands for the output when the cache has failed.
    type Rest = (O::Rest, Option<O::Output>);

    fn plan(self, parts: &mut Parts<'_, O::Part>) -> Self::Rest {
        let miss = self.0.miss();
        (self.0.plan(parts), miss)
    }

    fn replan((rest, _): &Self::Rest, part: O::Part, parts: &mut Parts<'_, O::Part>) -> Option<O::Part> {
        O::replan(rest, part, parts)
    }

    fn merge((rest, miss): Self::Rest, outcomes: Outcomes<'_, O::Part>) -> Result<O::Output, Error> {
        O::forgive(O::merge(rest, outcomes), miss)
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
