//! Envelopes of any bytes; replayed by mesh-cache/tests/cache_fuzz.rs.
#![no_main]
libfuzzer_sys::fuzz_target!(|data: &[u8]| { let _ = mesh_cache::suite::envelope(data); });
