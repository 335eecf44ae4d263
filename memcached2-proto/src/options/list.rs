//! The list of the options: each with its documentation and what it sets.

/// Each option is written once, in this list, and is a method of [`Options`] and of [`Builder`](crate::Builder): `$expand`
/// is the macro that makes methods of the list.
macro_rules! options {
    ($expand:ident) => {
        $expand! {
            /// Sets how long a whole call may take, connecting and a retry included; 1 second unless set. A call that takes
            /// longer fails with [`Error::Timeout`](crate::Error::Timeout). The error is
            /// [`Error::Connect`](crate::Error::Connect) if all of [`connect_timeout`](Options::connect_timeout) went by
            /// while connecting, and [`Error::Disconnected`](crate::Error::Disconnected) if the connection was closed because of another caller's
            /// timeout.
            fn timeout(self, timeout: Duration) {
                self.timeout = timeout;
            }

            /// Sets how long connecting to one server may take; 500 milliseconds unless set. It ends at the deadline of the
            /// call at the latest, which does not make the server count as down before it was silent for this time.
            fn connect_timeout(self, timeout: Duration) {
                self.connect_timeout = timeout;
            }

            /// Sets what is written before every key, so that several programs can share servers; nothing unless set.
            ///
            /// It is part of the 250 bytes of a key, and may contain no blank or control byte: else the client cannot be made,
            /// and the error is [`Error::Key`](crate::Error::Key). Callers never see it. `flush_all` and `stats` are about all
            /// keys, with and without the prefix.
            fn prefix(self, prefix: impl AsRef<[u8]>) {
                self.prefix = Some(Arc::from(prefix.as_ref())).filter(|prefix: &Arc<[u8]>| !prefix.is_empty());
            }

            /// Sets whether the prefix decides, with the key, which server has a key; `true` unless set.
            ///
            /// With `true`, a client without a prefix finds the key on the same server by its whole name. With `false`, the
            /// same key is on the same server whatever the prefix is: that is the default of libmemcached
            /// (`MEMCACHED_BEHAVIOR_HASH_WITH_PREFIX_KEY`).
            fn route_by_prefix(self, routed: bool) {
                self.route_by_prefix = routed;
            }

            /// Sets the rule that decides which server has a key; that of python-memcached2 unless set.
            fn selection(self, selection: Selection) {
                self.selection = selection;
            }

            /// Sets when a server that is down is tried again: unless set after 1 second, then every 1.5 seconds, each
            /// shortened by a random part of at most a half. Until then no call waits for it, and its keys go to other servers
            /// if the selection names some.
            fn reconnect(self, reconnect: ReconnectPolicy) {
                self.reconnect = reconnect;
            }

            /// Sets how many times in a row a server must fail before it counts as down; 1 unless set. Requests that fail
            /// together, because they waited for the same connection, are one failure. Any answer resets the count.
            ///
            /// Once is enough, because only what leaves no doubt is a failure (see
            /// [`ReconnectPolicy`](crate::ReconnectPolicy)): a slow answer, a refusal or a lost connection is none. With a
            /// higher number, the first calls wait longer for a server that is down: a request that was not sent is retried on
            /// the same server until the server counts as down, up to ten times. Where keys have no other server to go to, as
            /// with [`failover(false)`](Options::failover), it fails at once.
            fn failures(self, failures: u32) {
                self.failures = failures.max(1);
            }

            /// Sets failover: whether the keys of a server that is down go to other servers, which the selection names; `true`
            /// unless set. With `false`, they fail at once with [`Error::Down`](crate::Error::Down) until the server is back.
            ///
            /// With failover, a server that comes back still has its old items. It does not know what was stored or deleted on
            /// other servers meanwhile. So a `get` can return the old value of a key that was deleted during the outage, until
            /// the item expires. The copies on the other servers also stay, and are found again in the next outage. If your
            /// program must not read an old value, set `false`, let values expire soon, or flush a server before it comes back.
            fn failover(self, failover: bool) {
                self.failover = failover;
            }

            /// Sets a gutter: servers to which the keys of a server that is down go, in place of the other servers; none unless set.
            /// What is stored there expires after `max_ttl` at the latest: whole seconds, rounded down, and one at least. A value
            /// without an expiry stays for that long, too.
            ///
            /// So the copies that stay on the gutter's servers cannot be found as old values in a later outage, and servers that are
            /// up get no keys of others. A server that comes back still has its own old items, as with
            /// [failover](Options::failover), which has no effect with a gutter; the guide
            /// [failover](crate::guide::failover#which-promise-each-choice-gives) compares them.
            ///
            /// The same [selection](Options::selection) chooses among the gutter's servers, and the next of them while one is
            /// down. They are the last in the list of servers: `stats`, `flush_all`, `delete_all` and all else that asks every server
            /// asks them, too. With [`ReconnectPolicy::Immediately`] no server counts as down, and the gutter is never used.
            ///
            /// The client cannot be made, with [`Error::Uri`](crate::Error::Uri), if one of them is no address of a server, or one of
            /// the client's other servers.
            fn gutter(self, servers: impl IntoIterator<Item = impl Into<String>>, max_ttl: Duration) {
                self.gutter = Some(Gutter::new(servers, max_ttl));
            }

            /// Adds a replica: servers that have all keys, as the client's first servers have; none unless added. Each call adds one more.
            /// The [selection](Options::selection) chooses the server of a key among those of each replica.
            ///
            /// A read is asked of the [nearest](Options::nearest) replica. If its server of the key is down, or fails, the next one
            /// is asked. `set`, `delete`, `touch`, `gat`, `set_many` and `delete_many` go to all replicas at the same time, and
            /// [`Options::write_to`] says how many must carry them out. Commands whose result depends on the copy (`add`, `cas`, `incr`, `fetch` and others)
            /// fail with [`Error::Argument`](crate::Error::Argument). The guide [replicas](crate::guide::replicas) has more.
            ///
            /// The client cannot be made, with [`Error::Argument`](crate::Error::Argument), if a replica has no server, or with
            /// [`Error::Uri`](crate::Error::Uri), if one of them is no address of a server, or one of the client's other servers.
            fn replica(self, servers: impl IntoIterator<Item = impl Into<String>>) {
                self.replicas.others.push(servers.into_iter().map(Into::into).collect());
            }

            /// Sets how many [replicas](Options::replica) must carry out a write, so that it succeeds: all of them unless set. If fewer
            /// have, the error is [`Error::Replicas`](crate::Error::Replicas), with the result of each. A write waits for the answers
            /// of all replicas that are up, in any case.
            fn write_to(self, write_to: WriteTo) {
                self.replicas.write_to = write_to;
            }

            /// Sets which [replica](Options::replica) is read first, counted from 0: the first one unless set. After it the others are
            /// read in their order. So clients in several zones have the same list of replicas, and each reads its own first.
            ///
            /// The client cannot be made, with [`Error::Argument`](crate::Error::Argument), if there are fewer replicas.
            fn nearest(self, replica: usize) {
                self.replicas.nearest = replica;
            }

            /// Sets whether the next [replica](Options::replica) is asked for a key that one does not have; `false` unless set. It is for
            /// replicas that were empty when they were added, or lose items on their own. A key that no replica has costs a round trip
            /// to each of them.
            fn read_next_on_miss(self, asked: bool) {
                self.replicas.read_next_on_miss = asked;
            }

            /// Sets servers that are to take over from the client's servers, in stages, of which this is the first one; none unless set.
            /// `Client::set_stage` goes on to the next one while the client is used; the guide [replicas](crate::guide::replicas#migration) says when.
            ///
            /// The [selection](Options::selection) is that of the client. In the stages that use both groups of servers they are
            /// [replicas](Options::replica) of each other: commands whose result depends on the copy (`add`, `cas`, `incr`, `fetch` and
            /// others) fail with [`Error::Argument`](crate::Error::Argument), and [`Options::write_to`] says how many must carry
            /// out a write.
            ///
            /// The client cannot be made, with [`Error::Argument`](crate::Error::Argument), if it has replicas as well, or with
            /// [`Error::Uri`](crate::Error::Uri), if one of the new servers is no address of a server, or one of the client's.
            fn migrate_to(self, servers: impl IntoIterator<Item = impl Into<String>>, stage: MigrationStage) {
                self.replicas.others.push(servers.into_iter().map(Into::into).collect());
                self.replicas.stage = Some(stage);
            }

            /// Adds an observer, which is called for every request and its outcome, for logs, traces and metrics; there is none
            /// unless added. Several are called one after the other, in the order in which they were added. The features
            /// `opentelemetry`, `tracing` and `metrics` each have one.
            fn observer(self, observer: Arc<dyn Observer>) {
                self.observer = Some(match self.observer.take() {
                    None => observer,
                    Some(before) => Arc::new(Both::new(before, observer)),
                });
            }

            /// Sets a journal of writes that have failed, or went to another server because theirs was down; none unless set. Their keys
            /// are deleted on their server before it is asked for them again, and a call that finds it back deletes them. The
            /// guide [failover](crate::guide::failover) says what that promises. It knows servers by their [names](crate::Server::name): two with
            /// the same one are [`Error::Uri`](crate::Error::Uri).
            ///
            /// A client with a journal looks at it in each call, which costs about as much as an observer.
            fn journal(self, journal: Arc<Journal>) {
                self.journal = Some(journal);
            }

            /// Sets how many connections to each server the tasks of an asynchronous client share; 1 unless set, and at least. The blocking
            /// client does not share connections: see `pool_connections`.
            fn shared_connections(self, connections: usize) {
                self.shared_connections = connections.max(1);
            }

            /// Sets how many more connections to each server an asynchronous client opens for large transfers, so that small
            /// requests do not wait for them; 1 unless set. They are opened when they are needed. With 0, all requests share the
            /// [same connections](Options::shared_connections). The guide
            /// [sharing](crate::guide::sharing#large-transfers) says what a large transfer is.
            fn bulk_connections(self, connections: usize) {
                self.bulk_connections = connections;
            }

            /// Sets how many requests may be in flight on a shared connection; 65,536 unless set. A request is in flight from
            /// when it is encoded until it is answered, and takes about 200 bytes of memory.
            fn in_flight_limit(self, requests: usize) {
                self.limits.in_flight = requests.max(1);
            }

            /// Sets how many bytes of requests may wait to be written on a shared connection, without those of the last
            /// request; 16 MiB unless set. So a server that reads slowly, or not at all, cannot make memory grow.
            fn unsent_limit(self, bytes: u64) {
                self.limits.unsent = bytes;
            }

            /// Sets what a call does when one of these two limits is reached. With `true`, the default, it waits in turn, until
            /// its deadline. With `false`, it fails at once with [`Error::Overloaded`](crate::Error::Overloaded).
            fn wait_at_limit(self, wait: bool) {
                self.wait_at_limit = wait;
            }

            /// Sets the protocol of every connection, so that no server is asked for it. Unless set, each connection begins
            /// with a probe, whether the server speaks meta, which takes a round trip: see
            /// [`KnownProtocol`](crate::connection::KnownProtocol).
            ///
            /// Set [`Protocol::Meta`] only for servers that surely speak it: another server reads values as commands.
            fn protocol(self, protocol: Protocol) {
                self.protocol = Some(protocol);
            }

            /// Sets the user and password for servers with ASCII authentication (memcached's option `-Y`); none unless set. A
            /// server whose URI has credentials gets those instead: `memcached://user:password@host`. They are sent before
            /// anything else on each connection, once the server has asked for them: see the guide
            /// [credentials](crate::guide::credentials).
            fn credentials(self, credentials: Credentials) {
                self.credentials = Some(credentials.into());
            }

            /// Sets a provider of credentials, for those that change; none unless set. It is called once for each new connection, when
            /// the server has asked for credentials. If it fails, the calls that wait for the connection fail with
            /// [`Error::NoCredentials`](crate::Error::NoCredentials).
            ///
            /// It must not block: an asynchronous client calls it in the task of the connection. Keep the present credentials in
            /// memory, and change them there.
            fn credentials_provider(self, provider: impl Fn() -> Result<Credentials, ProviderError> + Send + Sync + 'static) {
                self.credentials = Some(CredentialsSource::provider(provider));
            }

            /// Sets how many connections to one server the blocking client has at most; callers wait for one until their
            /// deadline. 64 unless set; 0 counts as 1.
            fn pool_connections(self, connections: usize) {
                self.pool.connections = connections;
            }

            /// Sets how long a connection may be idle before it is closed; 60 seconds unless set. The blocking client checks
            /// when it needs a connection. An asynchronous client closes the connection without a call, after at most twice
            /// this time, and not before the deadline of the last call.
            fn pool_idle(self, idle: Duration) {
                self.pool.idle = idle;
            }

            /// Sets TCP keepalive: after this time without a packet, the operating system asks whether the other end is still
            /// there. So a firewall keeps the connection, and a dead connection is found. 60 seconds unless set; `None` turns it
            /// off. Whole seconds count, rounded up: from 1 to 32,767, which is the most that Linux takes.
            fn keepalive(self, idle: impl Into<Option<Duration>>) {
                self.keepalive = idle.into();
            }

            /// Sets the maximum age of a connection; `None`, no maximum, unless set. A new connection then takes its place,
            /// which looks up the server's name again and asks for the protocol again: so a client follows a server whose
            /// address has changed. Each connection has a limit of 90 to 100 % of this age, so that they are not all replaced
            /// at once. Requests in flight are answered on the old connection. An asynchronous client may keep it longer, by up
            /// to the timeout of a call.
            fn max_age(self, age: impl Into<Option<Duration>>) {
                self.max_age = age.into();
            }

            /// Sets how long a connection of the blocking client may be idle before it is checked when it is used again; 1
            /// second unless set. The check finds connections that the server has closed, because it restarted or closes idle
            /// connections.
            fn pool_trusted(self, trusted: Duration) {
                self.pool.trusted = trusted;
            }

            /// Sets the longest line in bytes that is accepted from a server; 8 KiB unless set, and at most 12 KiB.
            fn line_limit(self, bytes: usize) {
                self.limits.line = bytes;
            }

            /// Sets the longest value in bytes that is accepted from a server; 128 MiB unless set. A value gets memory as its
            /// bytes come, not as its length is announced. If there is no memory for it, only that call fails, with
            /// [`Error::NoMemory`](crate::Error::NoMemory).
            fn value_limit(self, bytes: usize) {
                self.limits.value = bytes;
            }

            /// Sets the longest value in bytes that is sent; [`Data::MAX`](crate::Data::MAX) unless set. A longer one fails
            /// with [`Error::TooLarge`](crate::Error::TooLarge) before a byte is sent. Without this limit, the server would
            /// read all of it and then refuse it: its own limit is 1 MiB, unless it was started with another `-I`. A server
            /// that refuses a `set` removes the old value. With this limit the old value stays, and is still served: delete it
            /// if it must not be.
            fn sent_value_limit(self, bytes: usize) {
                self.limits.sent_value = bytes;
            }

            /// Sets how many bytes of statistics are accepted in one reply; 16 MiB unless set.
            fn stats_limit(self, bytes: usize) {
                self.limits.stats = bytes;
            }

            /// Sets how long the reply to a cancelled or timed-out request may go on after the deadline, before the connection
            /// is closed; 1 second unless set.
            fn drain_limit(self, time: Duration) {
                self.limits.drain = time;
            }

            /// Sets how many bytes of such a reply may still be missing at the deadline; 8 MiB unless set. If there are more,
            /// and no other request is in flight, the connection is closed at once.
            fn drain_bytes_limit(self, bytes: usize) {
                self.limits.drain_bytes = bytes;
            }

            /// Adds the certificate of an authority whose servers are trusted, besides those that the system trusts; none unless added. For
            /// servers that are written `memcacheds://host:port`; see [the guide](crate::guide::tls).
            #[cfg(feature = "tls")]
            fn add_root_certificate(self, certificate: crate::tls::Certificate) {
                self.tls = self.tls.with(|tls| tls.roots.push(certificate));
            }

            /// Sets whether the authorities are trusted that the system trusts; they are unless set to `false`. They are read from
            /// the place where the system keeps them, or that `SSL_CERT_FILE` and `SSL_CERT_DIR` name, when the client is made.
            #[cfg(feature = "tls")]
            fn tls_built_in_root_certs(self, trusted: bool) {
                self.tls = self.tls.with(|tls| tls.without_built_in_roots = !trusted);
            }

            /// Sets the certificate that the client shows to servers that want one; none unless set.
            #[cfg(feature = "tls")]
            fn identity(self, identity: crate::tls::Identity) {
                self.tls = self.tls.with(|tls| tls.identity = Some(identity));
            }

            /// Sets the name that the certificates of all servers must have; for each its host unless set, or the `tls_name` of
            /// its URI.
            #[cfg(feature = "tls")]
            fn tls_server_name(self, name: impl AsRef<str>) {
                self.tls = self.tls.with(|tls| tls.server_name = Some(name.as_ref().into()));
            }

            /// Sets whether the name that a server's certificate must have is sent to it in the handshake (SNI). `true` unless set. An
            /// IP address is never sent.
            #[cfg(feature = "tls")]
            fn tls_sni(self, sent: bool) {
                self.tls = self.tls.with(|tls| tls.without_sni = !sent);
            }

            /// Sets the whole configuration of TLS, in place of what the other options of TLS but the name say; none unless set. Its sessions
            /// are resumed by all connections that share it.
            #[cfg(feature = "tls")]
            fn use_preconfigured_tls(self, config: impl Into<std::sync::Arc<crate::tls::rustls::ClientConfig>>) {
                self.tls = self.tls.with(|tls| tls.config = Some(config.into()));
            }
        }
    };
}

pub(crate) use options;
