//! A fleet that shares a budget against its bound; replayed by mesh-retry/tests/fleet_budget_fuzz.rs.
#![no_main]
libfuzzer_sys::fuzz_target!(|data: &[u8]| { let _ = mesh_retry::coordinator::budget::suite::replay(data); });
