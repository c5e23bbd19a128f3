//! The balancer against its reference model; replayed by mesh-core/tests/balance_fuzz.rs.
#![no_main]
libfuzzer_sys::fuzz_target!(|data: &[u8]| { mesh_core::balance::suite::replay(data); });
