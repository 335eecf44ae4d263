//! The list of the methods that ask every server.

/// Expands the methods that ask every server.
#[doc(hidden)]
#[macro_export]
macro_rules! __administer {
    ([$($async:tt)*] [$($await:tt)*]) => {
        $crate::__methods! { [$($async)*] [$($await)*]
            /// Expires every item on every server; the results come in the order of the servers.
            ///
            /// Later: `client.run(AllServers(FlushAll::at(expiry)))`.
            ///
            /// # Errors
            ///
            /// * [`Error::NoServers`](memcached2_proto::Error::NoServers) if the client has none. All other errors are in the
            ///   results.
            fn flush_all() -> $crate::BatchResult<()> = $crate::operation::AllServers($crate::command::FlushAll::now());

            /// Connects to every server and waits until each has answered; the results come in the order of the servers, so they
            /// say which servers cannot be used. At the start of a program it spares the first calls the time to connect,
            /// to authenticate, and to find out the protocol.
            ///
            /// It uses all servers at the same time, and one connection to each, which stays open. It ends by the timeout.
            ///
            /// # Errors
            ///
            /// * Those of `flush_all`. The results have [`Error::Connect`](memcached2_proto::Error::Connect),
            ///   [`Error::Refused`](memcached2_proto::Error::Refused) if a server does not take the credentials, and the
            ///   like.
            fn warm() -> $crate::BatchResult<()> = $crate::operation::AllServers($crate::command::Warm);

            /// Asks every server for its version; the results come in the order of the servers.
            ///
            /// # Errors
            ///
            /// * Those of `flush_all`.
            fn version() -> $crate::BatchResult<$crate::command::VersionText>
                = $crate::operation::AllServers($crate::command::Version);

            /// Asks every server for its counters; the results come in the order of the servers.
            ///
            /// # Errors
            ///
            /// * Those of `flush_all`.
            fn stats() -> $crate::BatchResult<$crate::report::Report>
                = $crate::operation::AllServers($crate::command::Stats::general());

            /// Asks every server for its settings; the results come in the order of the servers.
            ///
            /// # Errors
            ///
            /// * Those of `flush_all`.
            fn stats_settings() -> $crate::BatchResult<$crate::report::Report>
                = $crate::operation::AllServers($crate::command::Stats::settings());

            /// Asks every server for the items of each slab class; the results come in the order of the servers.
            ///
            /// # Errors
            ///
            /// * Those of `flush_all`.
            fn stats_items() -> $crate::BatchResult<$crate::report::GroupedReport>
                = $crate::operation::AllServers($crate::command::Stats::items());

            /// Asks every server for the memory of each slab class; the results come in the order of the servers.
            ///
            /// # Errors
            ///
            /// * Those of `flush_all`.
            fn stats_slabs() -> $crate::BatchResult<$crate::report::GroupedReport>
                = $crate::operation::AllServers($crate::command::Stats::slabs());

            /// Asks every server how many items it has of each size, which it counts if it was started with
            /// `-o track_sizes`; the results come in the order of the servers.
            ///
            /// # Errors
            ///
            /// * Those of `flush_all`.
            fn stats_sizes() -> $crate::BatchResult<$crate::report::SizeReport>
                = $crate::operation::AllServers($crate::command::Stats::sizes());

            /// Resets the counters of every server; the results come in the order of the servers.
            ///
            /// # Errors
            ///
            /// * Those of `flush_all`.
            fn stats_reset() -> $crate::BatchResult<()> = $crate::operation::AllServers($crate::command::StatsReset);

            /// Sets how much memory every server uses for items, in MiB; the results come in the order of the servers.
            ///
            /// # Errors
            ///
            /// * Those of `flush_all`; [`Error::Refused`](memcached2_proto::Error::Refused) if it is less than 8 MiB, for one.
            fn cache_memlimit(mebibytes: u32) -> $crate::BatchResult<()>
                = $crate::operation::AllServers($crate::command::CacheMemlimit(mebibytes));

            /// Sets how much every server writes to its log; the results come in the order of the servers.
            ///
            /// # Errors
            ///
            /// * Those of `flush_all`.
            fn verbosity(level: u32) -> $crate::BatchResult<()>
                = $crate::operation::AllServers($crate::command::Verbosity(level));
        }
    };
}
