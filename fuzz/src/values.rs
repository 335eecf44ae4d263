//! Values in other forms: serialized, compressed, as other clients store them.

use std::collections::BTreeMap;
use std::fmt::Debug;

use memcached2_proto::values::{
    Compression, Dalli, Json, PhpMemcached, Plain, Postcard, PyLibmc, PyMemcache, PythonMemcached, SpyMemcached, Zlib,
    Zstd,
};
use memcached2_proto::{Bytes, Data, FromValue, ToValue, Value};

use super::VALUE;

/// What a program could store: all that the formats have ways of their own for.
type Record = (u64, String, Vec<(i32, Option<f64>)>, BTreeMap<String, bool>);

/// Reads `data`, whose first four bytes are the flags, in every form. What can be read is within its limit, and what is stored again
/// is read as the same.
pub fn values(data: &[u8]) {
    let Some((flags, data)) = data.split_first_chunk() else { return };
    let value = Value::new(Bytes::copy_from_slice(data), u32::from_le_bytes(*flags).into());
    compressed(Compression::Zlib, &value);
    compressed(Compression::Zstd, &value);
    comes_back::<Zlib<Zstd<Bytes>>>(&value);
    of_another_client::<PythonMemcached<Plain<'static>>>(&value);
    of_another_client::<PyMemcache<Plain<'static>>>(&value);
    of_another_client::<Dalli<Plain<'static>>>(&value);
    of_another_client::<PhpMemcached<Plain<'static>>>(&value);
    of_another_client::<SpyMemcached<Plain<'static>>>(&value);
    // It stores a truth value as an integer.
    of_another_client::<PyLibmc<bool>>(&value);
    of_another_client::<PyLibmc<i128>>(&value);
    of_another_client::<PyLibmc<String>>(&value);
    comes_back::<Zlib<PyMemcache<Plain<'static>>>>(&value);
    comes_back::<Json<Record>>(&value);
    comes_back::<Postcard<Record>>(&value);
    comes_back::<u64>(&value);
    comes_back::<i128>(&value);
    comes_back::<f64>(&value);
    comes_back::<f32>(&value);
    comes_back::<bool>(&value);
    comes_back::<char>(&value);
    comes_back::<String>(&value);
}

/// A value that was stored.
fn stored(data: &Data<'_>) -> Value {
    Value::new(data.clone().into_bytes(), data.flags().into())
}

/// What is read has at most as many bytes as are accepted, and can be compressed again.
fn compressed(compression: Compression, value: &Value) {
    let read = compression.decompress(value.clone(), VALUE);
    let Ok(plain) = read else { return };
    assert_eq!(plain.flags, value.flags & !u64::from(compression.flag()));
    let is_compressed = plain.flags != value.flags;
    let length = plain.data().len();
    assert!(!is_compressed || length <= VALUE, "{length} bytes are more than {VALUE}");
    if is_compressed && length > 0 {
        let error = compression.decompress(value.clone(), length - 1);
        assert!(error.is_err(), "{length} bytes are accepted where one less is the limit");
    }
    let Ok(data) = plain.to_value() else { return };
    let again = compression.compress(data, 0).and_then(|data| compression.decompress(stored(&data), length));
    assert_eq!(again.as_ref(), Ok(&plain));
}

/// What can be read as a `T` is read as the same after it was stored again, unless it cannot be stored.
fn comes_back<T: FromValue + ToValue + Debug>(value: &Value) {
    let Ok(read) = T::from_value(value.clone()) else { return };
    // As text, in which no NaN differs from itself.
    let shown = format!("{read:?}");
    // A long one takes the fuzzer too long to compress.
    if shown.len() > 4 * VALUE {
        return;
    }
    let Ok(data) = read.to_value() else { return };
    let again = T::from_value(stored(&data));
    assert_eq!(again.map(|again| format!("{again:?}")), Ok(shown), "{data:?}");
}

/// The same, and flags of more than 32 bits are none of that client.
fn of_another_client<T: FromValue + ToValue + Debug>(value: &Value) {
    comes_back::<T>(value);
    let mut large = value.clone();
    large.flags |= 1 << 40;
    assert!(T::from_value(large).is_err(), "{value:?} is read with flags of more than 32 bits");
}
