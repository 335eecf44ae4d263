#![no_main]

libfuzzer_sys::fuzz_target!(|data: &[u8]| memcached2_fuzz::values(data));
