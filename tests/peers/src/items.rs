//! What is stored on the server, and the check of what comes back.

use std::time::Duration;

use memcached2_sync::{BatchResult, Expiry, Options};

/// How many items of each size there are.
const ITEMS: usize = 100;

/// The sizes of the values.
const SIZES: [usize; 2] = [10, 100];

/// How long a call of memcached2 may take: more than it needs under an instrument.
const PATIENCE: Duration = Duration::from_secs(30);

/// Returns the options of the clients of memcached2, which are the defaults with longer timeouts.
pub(crate) fn options() -> Options {
    Options::default().timeout(PATIENCE).connect_timeout(PATIENCE)
}

/// Stores the items of all sizes.
pub(crate) fn fill(server: &str) {
    let client = memcached2_sync::Client::with_options([server], options()).expect("a server");
    for size in SIZES {
        let Items { keys, values } = Items::of(size);
        let items: Vec<_> = keys.iter().zip(&values).collect();
        client.set_many(&items, Expiry::Never).and_then(BatchResult::into_result).expect("memcached runs there");
    }
}

/// The items of one size: the first byte of a value is its number, and the rest says whose it is.
#[derive(Debug, Clone)]
pub(crate) struct Items {
    pub(crate) keys: Vec<String>,
    values: Vec<Vec<u8>>,
}

impl Items {
    /// Makes the items of a size.
    pub(crate) fn of(size: usize) -> Self {
        let keys = (0..ITEMS).map(|number| format!("bench:{size}:{number:06}")).collect();
        Self { keys, values: (0..=u8::MAX).take(ITEMS).map(|number| value(number, size)).collect() }
    }

    /// Returns the key of the get that has this number: the gets cycle over the keys.
    pub(crate) fn key(&self, at: usize) -> &str {
        &self.keys[at % ITEMS]
    }

    /// Panics unless the value of a get is the stored one.
    pub(crate) fn check(&self, at: usize, value: Option<impl AsRef<[u8]>>) {
        let value = value.expect("the key is stored");
        assert!(value.as_ref() == self.values[at % ITEMS], "a wrong value of {}", self.key(at));
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
        assert_eq!((count, sum), (ITEMS, ITEMS * (ITEMS - 1) / 2), "not the values of all keys");
    }
}

/// Makes the value of a number.
fn value(number: u8, size: usize) -> Vec<u8> {
    let mut value = format!("{number:0size$}").into_bytes();
    value[0] = number;
    value
}
