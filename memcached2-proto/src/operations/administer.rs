//! The list of the methods about whole servers: of a client, which asks all of them, and of one server.

/// Expands the methods about whole servers, by the macro that turns a line into a method.
#[doc(hidden)]
#[macro_export]
macro_rules! __administer {
    ($async:tt $await:tt $expand:ident) => {
        $crate::$expand! { $async $await
            /// Expires every item.
            fn flush_all() -> () = $crate::command::FlushAll::now();

            /// Expires every item at a later moment, also those that are stored before it. With
            /// [`Expiry::Never`](memcached2_proto::Expiry::Never) it is [`Error::Expiry`](memcached2_proto::Error::Expiry).
            fn flush_all_at(when: impl Into<$crate::Expiry>) -> () = $crate::command::FlushAll::at(when);

            /// Connects, and waits for an answer, which shows whether the server can be used. At the start of a program it spares the
            /// first calls the time to connect, to authenticate, and to find out the protocol.
            ///
            /// It uses one connection to a server, which stays open, and ends by the timeout. The error is
            /// [`Error::Connect`](memcached2_proto::Error::Connect),
            /// [`Error::CredentialsRefused`](memcached2_proto::Error::CredentialsRefused) if the server does not take the credentials,
            /// [`Error::Refused`](memcached2_proto::Error::Refused) if it asks for some and there are none, and the like.
            fn warm() -> () = $crate::command::Warm;

            /// Asks for the version.
            fn version() -> $crate::command::VersionText = $crate::command::Version;

            /// Asks for the counters.
            fn stats() -> $crate::stats::Report = $crate::command::Stats::general();

            /// Asks for the settings.
            fn stats_settings() -> $crate::stats::Report = $crate::command::Stats::settings();

            /// Asks for the items of each slab class.
            fn stats_items() -> $crate::stats::GroupedReport = $crate::command::Stats::items();

            /// Asks for the memory of each slab class.
            fn stats_slabs() -> $crate::stats::GroupedReport = $crate::command::Stats::slabs();

            /// Asks how many items there are of each size, which a server counts if it was started with `-o track_sizes`.
            fn stats_sizes() -> $crate::stats::SizeReport = $crate::command::Stats::sizes();

            /// Asks for the connections of a server, by their file descriptors.
            fn stats_conns() -> $crate::stats::GroupedReport = $crate::command::Stats::conns();

            /// Asks for the pages of the storage on disk. It crashes memcached 1.6.6 if the server has no such storage.
            fn stats_extstore() -> $crate::stats::GroupedReport = $crate::command::Stats::extstore();

            /// Starts or stops counting requests by the prefixes of their keys, which
            /// [`stats_detail_dump`](Self::stats_detail_dump) asks for. It costs a server some time for each request.
            fn stats_detail(is_on: bool) -> () = $crate::command::StatsDetail(is_on);

            /// Asks what was requested by the prefixes of keys, once that is counted.
            fn stats_detail_dump() -> Vec<$crate::stats::PrefixCount> = $crate::command::Stats::detail();

            /// Resets the counters.
            fn stats_reset() -> () = $crate::command::StatsReset;

            /// Sets how much memory a server uses for items, in MiB. Servers refuse less than 8.
            fn cache_memlimit(mebibytes: u32) -> () = $crate::command::CacheMemlimit(mebibytes);

            /// Sets how much a server writes to its log.
            fn verbosity(level: u32) -> () = $crate::command::Verbosity(level);

            /// Moves a page of memory from one slab class to another.
            fn slabs_reassign(page: $crate::command::SlabsReassign) -> () = page;

            /// Sets how a server moves memory between slab classes by itself.
            fn slabs_automove(setting: $crate::command::SlabsAutomove) -> () = setting;

            /// Sets in which order items are evicted.
            fn lru(setting: $crate::command::Lru) -> () = setting;

            /// Controls the thread that looks for expired items.
            fn lru_crawler(control: $crate::command::LruCrawler) -> () = control;

            /// Sets what a server with storage on disk writes there.
            fn extstore(setting: $crate::command::Extstore) -> () = setting;

            /// Lets a server with TLS read its certificate and its key again.
            fn refresh_certs() -> () = $crate::command::RefreshCerts;
        }
    };
}

/// Expands the lines into methods that ask every server.
#[doc(hidden)]
#[macro_export]
macro_rules! __on_all_servers {
    ($async:tt $await:tt $(
        $(#[$doc:meta])*
        fn $name:ident ($($argument:ident: $type:ty),*) -> $output:ty = $command:expr;
    )*) => {
        $crate::__methods! { $async $await $(
            $(#[$doc])*
            ///
            /// It asks every server, and the results come in the order of the servers. `client.on(server)?` asks one.
            ///
            /// # Errors
            ///
            /// * [`Error::NoServers`](memcached2_proto::Error::NoServers) if the client has none. All other errors are in the
            ///   results.
            fn $name ($($argument: $type),*) -> $crate::BatchResult<$output> = $crate::operation::AllServers($command);
        )* }
    };
}

/// Expands the lines into methods that ask one server.
#[doc(hidden)]
#[macro_export]
macro_rules! __on_one_server {
    ($async:tt $await:tt $(
        $(#[$doc:meta])*
        fn $name:ident ($($argument:ident: $type:ty),*) -> $output:ty = $command:expr;
    )*) => {
        $($crate::__on_server! {
            $async $await
            $(#[$doc])*
            fn $name ($($argument: $type),*) -> $output = $command;
        })*
    };
}

/// Expands one line into a method that asks one server.
#[doc(hidden)]
#[macro_export]
macro_rules! __on_server {
    ([$($async:tt)*] [$($await:tt)*]
        $(#[$doc:meta])*
        fn $name:ident ($($argument:ident: $type:ty),*) -> $output:ty = $command:expr;
    ) => {
        $(#[$doc])*
        ///
        /// # Errors
        ///
        /// [The errors of every call](memcached2_proto::Error#which-call-gives-which).
        pub $($async)* fn $name (&self $(, $argument: $type)*) -> Result<$output, $crate::Error> {
            self.run($command)$($await)*
        }
    };
}
