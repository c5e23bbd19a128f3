//! Answers of Consul's of any bytes; replayed by mesh-consul/tests/answer_fuzz.rs.
#![no_main]
libfuzzer_sys::fuzz_target!(|data: &[u8]| { let _ = mesh_consul::suite::replay(data); });
