//! What is stored on the server, and the check of what comes back.

use std::time::Duration;

use memcached2_sync::{BatchResult, Expiry, Options};

/// How many items of a size there are; of large ones ten.
const fn count(size: usize) -> usize {
    if size > LARGE { 10 } else { 100 }
}

/// The largest values of which every byte is checked: the check of a larger one would be a good part of the work.
const LARGE: usize = 10_000;

/// How long a call may take where a client has an option for it: more than it needs under an instrument or on a busy machine.
pub(crate) const PATIENCE: Duration = Duration::from_secs(30);

/// Returns the options of the clients of memcached2, which are the defaults with longer timeouts.
pub(crate) fn options() -> Options {
    Options::default().timeout(PATIENCE).connect_timeout(PATIENCE)
}

/// Stores the items of a size on each of the servers, so that it does not matter where a client looks for them.
pub(crate) fn fill(servers: &[String], size: usize) {
    let Items { keys, values } = Items::of(size);
    let items: Vec<_> = keys.iter().zip(&values).collect();
    for server in servers {
        let client = memcached2_sync::Client::with_options([server], options()).expect("a server");
        client.set_many(&items, Expiry::Never).and_then(BatchResult::into_result).expect("memcached runs there");
    }
}

/// The items of one size: the first byte of a value is its number, and the rest says whose it is.
#[derive(Debug, Clone)]
pub(crate) struct Items {
    pub(crate) keys: Vec<String>,
    pub(crate) values: Vec<Vec<u8>>,
}

impl Items {
    /// Makes the items of a size.
    pub(crate) fn of(size: usize) -> Self {
        // No colons: OpenDAL would store such a key under another name.
        let keys = (0..count(size)).map(|number| format!("bench-{size}-{number:06}")).collect();
        Self { keys, values: (0..=u8::MAX).take(count(size)).map(|number| value(number, size)).collect() }
    }

    /// Returns the key of the operation that has this number: the operations cycle over the keys.
    pub(crate) fn key(&self, at: usize) -> &str {
        &self.keys[at % self.keys.len()]
    }

    /// Returns the value of the operation that has this number.
    pub(crate) fn value(&self, at: usize) -> &[u8] {
        &self.values[at % self.values.len()]
    }

    /// Returns all keys with their values.
    pub(crate) fn pairs(&self) -> impl Iterator<Item = (&str, &[u8])> {
        self.keys.iter().map(String::as_str).zip(self.values.iter().map(Vec::as_slice))
    }

    /// Panics unless the value of a get is the stored one.
    pub(crate) fn check(&self, at: usize, value: Option<impl AsRef<[u8]>>) {
        let value = value.expect("the key is stored");
        assert!(is_same(value.as_ref(), self.value(at)), "a wrong value of {}", self.key(at));
    }

    /// Panics unless the values are those of all keys.
    ///
    /// The clients hand out lists or maps; this takes the values in any order, at the same cost for all.
    pub(crate) fn check_all(&self, values: impl IntoIterator<Item = impl AsRef<[u8]>>) {
        let (mut count, mut sum) = (0, 0);
        for value in values {
            let value = value.as_ref();
            assert_eq!(value.len(), self.values[0].len(), "a value of a wrong length");
            count += 1;
            sum += usize::from(value[0]);
        }
        let all = self.keys.len();
        assert_eq!((count, sum), (all, all * (all - 1) / 2), "not the values of all keys");
    }
}

/// Whether two texts are the same; of large ones the length and both ends.
pub(crate) fn is_same(one: &[u8], other: &[u8]) -> bool {
    let ends = |text: &[u8]| (text.len(), text.first_chunk::<64>().copied(), text.last_chunk::<64>().copied());
    if one.len() > LARGE { ends(one) == ends(other) } else { one == other }
}

/// Makes the value of a number.
fn value(number: u8, size: usize) -> Vec<u8> {
    let mut value = vec![b'0'; size];
    let digits = number.to_string();
    value[size - digits.len()..].copy_from_slice(digits.as_bytes());
    value[0] = number;
    value
}

/// Returns the version of a server.
pub(crate) fn version(server: &str) -> String {
    let client = memcached2_sync::Client::with_options([server], options()).expect("a server");
    let versions = client.version().and_then(BatchResult::into_result).expect("memcached runs there");
    versions[0].to_string()
}
