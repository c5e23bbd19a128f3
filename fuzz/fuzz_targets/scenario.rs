//! Scenario files of any bytes; replayed by mesh-sim/tests/scenario_fuzz.rs.
#![no_main]
libfuzzer_sys::fuzz_target!(|data: &[u8]| { let _ = mesh_sim::reading::replay(data); });
