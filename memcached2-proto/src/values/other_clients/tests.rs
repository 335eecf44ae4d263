//! The bytes and flags of each client; `tests/other_clients.rs` of the testkit compares them with what the clients store.

use super::*;
use crate::values::inflate;

fn stored(value: &impl ToValue) -> (Vec<u8>, u32) {
    let data = value.to_value().unwrap();
    (data.as_bytes().to_vec(), data.flags())
}

fn read<T: FromValue>(bytes: &[u8], flags: u64) -> Result<T, String> {
    T::from_value(Value::new(Bytes::copy_from_slice(bytes), flags)).map_err(|error| error.to_string())
}

/// A value is stored as these bytes with these flags, and comes back.
macro_rules! assert_both_ways {
    ($client:ident: $($value:expr, $type:ty => $bytes:expr, $flags:expr;)*) => {
        $(
            assert_eq!(stored(&$client($value)), (AsRef::<[u8]>::as_ref($bytes).to_vec(), $flags));
            assert_eq!(read::<$client<$type>>($bytes.as_ref(), $flags.into()).unwrap().0, $value);
        )*
    };
}

macro_rules! assert_refused {
    ($client:ident: $($bytes:expr, $flags:expr => $reason:expr;)*) => {
        $(
            let error = read::<$client<Plain<'static>>>($bytes.as_ref(), $flags).unwrap_err();
            assert!(error.contains($reason), "{error}");
            let what = format!("flags {} cannot be read as {}<Plain", $flags, stringify!($client));
            assert!(error.contains(&what), "{error}");
        )*
    };
}

#[test]
fn clients_of_python_tell_bytes_text_and_integers() {
    let large = "9".repeat(40);
    assert_both_ways! { PyMemcache:
        "caf\u{e9}", String => "caf\u{e9}", 16_u32;
        *b"\0\xff", Vec<u8> => b"\0\xff", 0_u32;
        7, u8 => "7", 2_u32;
        i128::MIN, i128 => &i128::MIN.to_string(), 2_u32;
        true, bool => "I01\n.", 1_u32;
        false, bool => "I00\n.", 1_u32;
    }
    assert_both_ways! { PyLibmc: -7_i64, i64 => "-7", 4_u32; true, bool => "1", 2_u32; }
    for (pickle, truth) in [(b"\x80\x02\x88.", true), (b"\x80\x05\x88.", true), (b"\x80\x03\x89.", false)] {
        assert_eq!(read::<PythonMemcached<bool>>(pickle, 1).unwrap().0, truth);
    }
    // After a `decr`, and by a client that sets no flags.
    assert_eq!(read::<PyLibmc<u64>>(b"9 ", 4).unwrap().0, 9);
    assert_eq!(read::<PyLibmc<u64>>(b"9", 0).unwrap().0, 9);
    assert_refused! { PyMemcache:
        b"\x80\x05\x95\x0a\0\0\0\0\0\0\0G?\xf8\0\0\0\0\0\0.", 1 => "it is a pickle of Python";
        b"cos\nsystem\n(S'true'\ntR.", 1 => "it is a pickle of Python";
        b"\x80\x06\x88.", 1 => "it is a pickle of Python";
        "x", 3 => "such flags";
        "x", 32 => "such flags";
        "x", 1_u64 << 40 => "such flags";
        "\u{e9}", 2 => "it is no integer";
        large, 2 => "it is no integer of 128 bits";
        b"\xff", 16 => "its text is no UTF-8";
        "plain", 24 => "it cannot be decompressed";
    }
    assert!(PyMemcache(0.5).to_value().unwrap_err().to_string().contains("a float is no value that pymemcache has"));
}

#[test]
fn dalli_tells_text_and_what_was_serialized() {
    assert_both_ways! { Dalli:
        "caf\u{e9}", String => "caf\u{e9}", 4_u32;
        *b"\xff", Vec<u8> => b"\xff", 0_u32;
        7_u64, u64 => "7", 0_u32;
        true, bool => b"\x04\x08T", 1_u32;
        false, bool => b"\x04\x08F", 1_u32;
    }
    let long = "text ".repeat(1000);
    let (bytes, flags) = stored(&Dalli(&long));
    assert!(flags == 6 && bytes.len() < 100);
    assert_eq!(read::<Dalli<String>>(&bytes, 6).unwrap().0, long);
    assert_eq!(read::<Dalli<String>>(&inflate::gzip(long.as_bytes()).unwrap(), 6).unwrap().0, long);
    assert_refused! { Dalli:
        b"\x04\x08I\"\x0ahello\x06:\x06ET", 1 => "it was serialized by Marshal of Ruby";
        b"\"hello\"", 1 => "by the serializer that the program has given to Dalli";
        "x", 8 => "Dalli has no such flags";
        "x", 2 => "it cannot be decompressed";
    }
    assert!(Dalli(0.5).to_value().is_err());
}

#[test]
fn php_tells_types_by_four_bits() {
    assert_both_ways! { PhpMemcached:
        "caf\u{e9}", String => "caf\u{e9}", 0_u32;
        i64::MIN, i64 => &i64::MIN.to_string(), 1_u32;
        7_i8, i8 => "7", 1_u32;
        0.1, f64 => "1e-1", 2_u32;
        f64::INFINITY, f64 => "Infinity", 2_u32;
        f64::NEG_INFINITY, f64 => "-Infinity", 2_u32;
        true, bool => "1", 3_u32;
        false, bool => "", 3_u32;
    }
    assert!(read::<PhpMemcached<f64>>(b"NaN", 2).unwrap().0.is_nan());
    // The flags of the program.
    assert_eq!(read::<PhpMemcached<u8>>(b"7", 0xffff_0001).unwrap().0, 7);
    let long = "text ".repeat(1000);
    let (bytes, flags) = stored(&PhpMemcached(&long));
    assert!(flags == 0x30 && bytes.starts_with(&5000_u32.to_le_bytes()) && bytes.len() < 100);
    assert_eq!(read::<PhpMemcached<String>>(&bytes, 0x30).unwrap().0, long);
    assert_refused! { PhpMemcached:
        "a:1:{i:0;i:1;}", 4 => "it was serialized by PHP, which";
        "x", 5 => "it was serialized by igbinary";
        "[1]", 6 => "it was serialized by PHP as JSON";
        "x", 7 => "it was serialized by msgpack";
        "x", 8 => "PHP has no such flags";
        "x", 0x10 => "it is compressed, and has no length";
        b"\x01\0\0\0x", 0x10 => "PHP has no such flags";
        [&bytes[..4], b"x"].concat(), 0x30 => "it cannot be decompressed";
        [&[1, 0, 0, 0], &bytes[4..]].concat(), 0x30 => "decompressed it has 5000 bytes, and says 1";
        // Fastlz: a reference to before its beginning, and one that is cut.
        b"\x03\0\0\0\x00a\x20\x05", 0x50 => "it cannot be decompressed by fastlz";
        b"\x03\0\0\0\x00a\x20", 0x50 => "it cannot be decompressed by fastlz";
        b"\x03\0\0\0", 0x50 => "it cannot be decompressed by fastlz";
        // More than it says.
        b"\x03\0\0\0\x00a\xe0\xff\x00", 0x50 => "it cannot be decompressed by fastlz";
        "x", 1 => "it is no integer";
        "s3cret", 2 => ">: it is no float: invalid float literal";
    }
    #[cfg(feature = "zstd")]
    {
        let frame = crate::values::compressed::zstandard::compress(b"hello").unwrap();
        let with_length = [&5_u32.to_le_bytes()[..], &frame].concat();
        assert_eq!(read::<PhpMemcached<String>>(&with_length, 0x90).unwrap().0, "hello");
    }
    // One `a` and three more; the length of the fourth reference is in a byte of its own.
    assert_eq!(read::<PhpMemcached<String>>(b"\x04\0\0\0\x00a\x20\0", 0x50).unwrap().0, "aaaa");
    assert_eq!(read::<PhpMemcached<String>>(b"\x0d\0\0\0\x00a\xe0\x03\0", 0x50).unwrap().0, "a".repeat(13));
    let error = PhpMemcached(u64::MAX).to_value().unwrap_err().to_string();
    assert!(error.contains("an integer of more than 64 bits is no value that php-memcached has"), "{error}");
}

#[test]
fn spymemcached_packs_numbers_without_their_first_zeros() {
    assert_both_ways! { SpyMemcached:
        "caf\u{e9}", String => "caf\u{e9}", 0_u32;
        *b"\xff", Vec<u8> => b"\xff", 0x800_u32;
        true, bool => "1", 0x100_u32;
        false, bool => "0", 0x100_u32;
        0, i32 => "", 0x200_u32;
        300, i32 => b"\x01\x2c", 0x200_u32;
        -1, i32 => b"\xff\xff\xff\xff", 0x200_u32;
        300_u16, u16 => b"\x01\x2c", 0x200_u32;
        300_u32, u32 => b"\x01\x2c", 0x300_u32;
        300_i64, i64 => b"\x01\x2c", 0x300_u32;
        -2_i64, i64 => b"\xff\xff\xff\xff\xff\xff\xff\xfe", 0x300_u32;
        1.5_f32, f32 => b"\x3f\xc0\0\0", 0x600_u32;
        1.5, f64 => b"\x3f\xf8\0\0\0\0\0\0", 0x700_u32;
    }
    // A `Date`, and a `Byte`.
    assert_eq!(read::<SpyMemcached<u64>>(b"\x01\0\0", 0x400).unwrap().0, 65_536);
    assert_eq!(read::<SpyMemcached<i8>>(b"\xff", 0x500).unwrap().0, -1);
    let long = "text ".repeat(5000);
    let (bytes, flags) = stored(&SpyMemcached(&long));
    assert!(flags == 2 && bytes.starts_with(b"\x1f\x8b") && bytes.len() < 200);
    assert_eq!(read::<SpyMemcached<String>>(&bytes, 2).unwrap().0, long);
    assert_refused! { SpyMemcached:
        b"\xac\xed\0\x05", 1 => "it was serialized by Java";
        b"\x01\0\0\0\0", 0x200 => "a number of its type has at most 4 bytes";
        "x", 0x900 => "spymemcached has no such flags";
        "x", 4 => "spymemcached has no such flags";
        "x", 2 => "it cannot be decompressed";
    }
    assert!(SpyMemcached(u64::MAX).to_value().is_err());
}

#[test]
fn a_value_of_another_type_is_an_error_that_says_so() {
    for (error, reason) in [
        (read::<PyLibmc<u8>>(b"256", 4).err(), ": it is beyond the range of u8"),
        (read::<PyLibmc<bool>>(b"2", 2).err(), "it is an integer"),
        (read::<PyLibmc<String>>(b"1", 2).err(), "it is an integer"),
        (read::<PyLibmc<f64>>(b"x", 16).err(), "invalid float literal"),
        (read::<PhpMemcached<u8>>(b"1.5", 2).err(), "it is a float"),
        (read::<PhpMemcached<f32>>(b"0.1", 2).err(), ": it has more than 32 bits"),
        (read::<PhpMemcached<Vec<u8>>>(b"1", 3).err(), "it is a truth value"),
    ] {
        let error = error.expect(reason);
        assert!(error.contains(reason), "{error}");
    }
}

#[test]
fn a_codec_is_what_its_wrapper_is() {
    fn form<T: ToPlain>(codec: Codec, value: &T) -> (Vec<u8>, u32) {
        let data = codec.encode(value).unwrap();
        (data.as_bytes().to_vec(), data.flags())
    }
    for text in ["short", &"long ".repeat(5000)] {
        assert_eq!(form(Codec::PyLibmc, &text), stored(&PyLibmc(text)));
        assert_eq!(form(Codec::PyMemcache, &text), stored(&PyMemcache(text)));
        assert_eq!(form(Codec::PythonMemcached, &text), stored(&PythonMemcached(text)));
        assert_eq!(form(Codec::Dalli, &text), stored(&Dalli(text)));
        assert_eq!(form(Codec::PhpMemcached, &text), stored(&PhpMemcached(text)));
        assert_eq!(form(Codec::SpyMemcached, &text), stored(&SpyMemcached(text)));
    }
    // What a client stores by itself, of each type.
    for plain in [Plain::Int(-7), Plain::Int32(-7)] {
        assert_eq!(form(Codec::Raw, &plain), stored(&-7));
    }
    assert_eq!(form(Codec::Raw, &0.1_f64), stored(&0.1_f64));
    assert_eq!(form(Codec::Raw, &0.1_f32), stored(&0.1_f32));
    assert_eq!(form(Codec::Raw, &true), stored(&true));
    assert_eq!(form(Codec::Raw, &Box::new("text")), stored(&"text"));
    assert_eq!(form(Codec::Raw, &Cow::Borrowed(&b"\xff"[..])), stored(b"\xff"));
}

#[test]
fn what_cannot_be_read_is_none_as_an_option_and_only_then() {
    let value = |bytes: &'static [u8], flags| Value::new(Bytes::from_static(bytes), flags);
    let pickle = || value(b"(lp0\n.", 1);
    assert_eq!(Codec::PyLibmc.decode::<Option<u64>>(pickle()), Ok(None));
    assert_eq!(Codec::PyLibmc.decode::<Option<Plain<'static>>>(pickle()), Ok(None));
    assert_eq!(Codec::PyLibmc.decode::<Option<u64>>(value(b"7", 4)), Ok(Some(7)));
    assert_eq!(Codec::PyLibmc.decode::<Option<u8>>(value(b"300", 4)), Ok(None));
    assert!(Codec::PyLibmc.decode::<u64>(pickle()).is_err());
    // Without flags, as text.
    for codec in [Codec::Raw, Codec::PyLibmc, Codec::Dalli] {
        for (bytes, truth) in [(&b"true"[..], true), (b"1", true), (b"false", false), (b"0", false)] {
            assert_eq!(codec.decode::<bool>(value(bytes, 0)), Ok(truth));
        }
        let error = codec.decode::<bool>(value(b"yes", 0)).unwrap_err().to_string();
        assert!(error.contains("it is none of true, false, 1 and 0"), "{error}");
    }
    // Whatever its flags.
    assert_eq!(Codec::Raw.decode::<String>(value(b"x", 1 << 40)), Ok("x".to_owned()));
}

/// A server counts text alone, and python-memcached never compresses an integer.
#[test]
fn an_integer_is_not_compressed() {
    for codec in [Codec::PyLibmc, Codec::PyMemcache, Codec::PythonMemcached, Codec::Dalli] {
        for number in [10_i128.pow(19), i128::from(u64::MAX), 10_i128.pow(38)] {
            let data = codec.encode_plain(Plain::Int(number), 0).unwrap();
            assert_eq!(data.as_bytes(), number.to_string().as_bytes(), "{codec}");
            let stored = Value::new(data.clone().into_bytes(), data.flags().into());
            assert_eq!(codec.decode::<i128>(stored), Ok(number));
        }
        let long = "text ".repeat(5);
        let data = codec.encode_plain(Plain::Text((&*long).into()), 0).unwrap();
        assert!(data.as_bytes().len() < long.len(), "{codec}");
    }
}

#[test]
fn a_value_that_could_not_be_read_again_is_not_stored() {
    let noise: Vec<u8> =
        (0_u32..500).flat_map(|at| at.wrapping_mul(0x9e37_79b1).rotate_left(7).to_le_bytes()).collect();
    for codec in [
        Codec::PyLibmc,
        Codec::PyMemcache,
        Codec::PythonMemcached,
        Codec::Dalli,
        Codec::PhpMemcached,
        Codec::SpyMemcached,
    ] {
        let encode = |bytes, compressed_from| codec.encode_to_read(Plain::Bytes(bytes), compressed_from, 1999);
        assert!(encode(vec![0; 1999].into(), 1024).unwrap().as_bytes().len() < 100, "{codec}");
        let error = encode(vec![0; 2000].into(), 1024).unwrap_err().to_string();
        assert!(error.contains("it has 2000 bytes, and of what is compressed at most 1999 are read again"), "{error}");
        let error = codec.encode_to_read(Plain::Text(" ".repeat(2000).into()), 1024, 1999).unwrap_err();
        assert!(matches!(error, Error::Value { .. }), "{error:?}");
        // They are stored as they are.
        assert_eq!(encode((&*noise).into(), 1024).unwrap().as_bytes(), noise, "{codec}");
        assert_eq!(encode(vec![0; 2000].into(), 2001).unwrap().as_bytes(), [0; 2000], "{codec}");
    }
}
