//! What has a row in the guides: the names and tests of python-memcached2, and the commands of memcached.

/// The public names of the one module of python-memcached2: of each class, and then its methods.
pub(super) const NAMES: &[(&str, &str)] = &[
    ("", "debug MemcachedException UnknownProtocol InvalidURI ServerDisconnect NoAvailableServers StoreException"),
    ("", "NotStored CASFailure MultiStorageException CASRefreshFailure NotFound NonNumeric RetrieveException NoValue"),
    ("ExceptionsAreMissesMapping", "memcache"),
    (
        "ValueSuperStr",
        "key flags cas_unique cas_unavailable memcache set append prepend incr decr delete delete_all touch",
    ),
    ("", "ValueDictionary HasherZero HasherCMemcache"),
    ("HasherBase", "hash"),
    ("ServerPool", "is_available get put empty"),
    ("SelectorBase", "select"),
    ("", "SelectorFirst SelectorRehashDownServers SelectorFractalSharding SelectorConsistentHashing"),
    ("ReconnectorBase", "connectable had_error had_success"),
    ("", "ReconnectorSimple ReconnectorTime"),
    (
        "Memcache",
        "get get_multi set set_multi cache add replace append prepend delete delete_all touch flush_all stats",
    ),
    ("Memcache", "stats_items stats_slabs stats_settings stats_sizes incr decr close"),
    ("ExceptionsAreMissesMemcache", "get set set_multi delete"),
    ("ServerConnection", "is_up reset consume_from_buffer parse_uri connect send_command line_available read_until"),
    ("ServerConnection", "read_from_socket read_length setblocking fileno managed_pool"),
];

/// Its tests, file by file.
pub(super) const TESTS: &[(&str, &str)] = &[
    ("test_basic", "ImportModule ConnectToLocalhostServer"),
    (
        "test_exceptionsaremissesmapper",
        "Basics SetServerDisconnect SetServerReceive SetServerNotStored SetServerExists",
    ),
    ("test_exceptionsaremissesmapper", "SetServerNotFound GetServerDisconnect GetServerReceive GetServerNoValue"),
    ("test_exceptionsaremissesmapper", "DeleteServerDisconnect DeleteServerReceive DeleteServerNotFound"),
    ("test_exceptionsaremissesmapper", "LenServerDisconnect LenServerReceive LenServerNotFound"),
    ("test_exceptionsaremissesmemcache", "Basics SetMulti SetMultiErrors SetServerDisconnect SetServerReceive"),
    ("test_exceptionsaremissesmemcache", "SetServerNotStored SetServerExists SetServerNotFound GetServerDisconnect"),
    ("test_exceptionsaremissesmemcache", "GetServerReceive GetServerNoValue DeleteServerDisconnect"),
    ("test_exceptionsaremissesmemcache", "DeleteServerReceive DeleteServerNotFound"),
    (
        "test_memcache",
        "SetAndGet ValueSuperStr ValueSuperStrCAS ValueDictionary SetAndGetWithErrors TestFlagsAndExptime",
    ),
    (
        "test_memcache",
        "StorageCommands Cas Delete DeleteAll FlushAll Touch IncrDecr Stats SeveralServers Cached GetMulti",
    ),
    ("test_memcache", "SetMulti SetMultiErrors KeysByServer repr SelectorFractalSharding SelectorRehashDownServers"),
    ("test_memcache", "SelectorConsistentHashing"),
    ("test_serverconnection", "URI BasicCommand ServerFlushDisconnect Selectors Hashers"),
];

/// The commands of memcached 1.6.45, by the headings of the guide.
pub(super) const COMMANDS: &[(&str, &[&str])] = &[
    (
        "Storage, retrieval and counters",
        &[
            "set", "add", "replace", "append", "prepend", "cas", "get", "gets", "gat", "gats", "delete", "incr",
            "decr", "touch", "noreply",
        ],
    ),
    ("Meta commands", &["mg", "ms", "md", "ma", "mn", "me"]),
    (
        "Whole servers",
        &[
            "flush_all",
            "flush_all <delay>",
            "version",
            "verbosity",
            "cache_memlimit",
            "slabs reassign",
            "slabs automove",
            "slabs automove ratio",
            "slabs automove freeratio",
            "slabs automove window",
            "lru tune",
            "lru mode",
            "lru temp_ttl",
            "lru_crawler enable",
            "lru_crawler disable",
            "lru_crawler sleep",
            "lru_crawler tocrawl",
            "lru_crawler crawl",
            "lru_crawler metadump",
            "lru_crawler metadump hash",
            "lru_crawler mgdump",
            "watch",
            "shutdown",
            "shutdown graceful",
            "extstore",
            "refresh_certs",
            "config get cluster",
            "quit",
            "misbehave",
            "debugtime",
            "debugitem",
        ],
    ),
    (
        "Statistics",
        &[
            "stats",
            "stats settings",
            "stats items",
            "stats slabs",
            "stats sizes",
            "stats sizes_enable",
            "stats sizes_disable",
            "stats conns",
            "stats extstore",
            "stats proxy",
            "stats proxyfuncs",
            "stats proxybe",
            "stats reset",
            "stats detail on",
            "stats detail off",
            "stats detail dump",
            "stats cachedump",
        ],
    ),
];
