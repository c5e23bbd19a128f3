//! A fleet that shares a budget against its bound: random scripts.

use mesh_retry::Rng;
use mesh_retry::coordinator::budget::suite::{Counts, replay};

#[test]
fn long_random_scripts_keep_the_bound() {
    let mut all = Counts::default();
    for seed in 0..400 {
        let mut rng = Rng::from_seed(seed);
        let bytes: Vec<u8> = core::iter::once(seed as u8).chain((0..600).map(|_| rng.next_u64() as u8)).collect();
        match std::panic::catch_unwind(|| replay(&bytes)) {
            Ok(counts) => {
                all.requests += counts.requests;
                all.retries += counts.retries;
                all.alone += counts.alone;
                all.denied += counts.denied;
                all.silent += counts.silent;
                all.settled += counts.settled;
                all.repeated += counts.repeated;
                all.returned += counts.returned;
                all.failures += counts.failures;
                all.fallbacks += counts.fallbacks;
            }
            Err(_) => panic!("Rng::from_seed({seed})"),
        }
    }
    println!("{all:?}");
}
