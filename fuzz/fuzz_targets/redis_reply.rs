//! Replies and pushes of Redis' of any bytes; replayed by mesh-cache/tests/redis_reply_fuzz.rs.
#![no_main]
libfuzzer_sys::fuzz_target!(|data: &[u8]| { let _ = mesh_cache::redis::suite::replay(data); });
