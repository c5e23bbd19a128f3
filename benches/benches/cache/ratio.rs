//! How often a cache that holds a hundredth of all keys has the one that is asked for.
//!
//! Popularity falls by Zipf's law. A scan reads keys that nobody asks for again; it must not cost those that are asked
//! for their places. What is missing is put in, as a load would do.

use std::sync::Arc;

use mesh_benches::timing::WyRand;

use crate::subjects::{self, keys, value};

const CAPACITY: usize = 1_000;
const KEYS: usize = 100_000;
const REQUESTS: usize = 500_000;
/// After so many requests that follow the law come so many of a scan.
const SCAN: (usize, usize) = (5_000, 2_000);

pub(crate) fn measure() {
    // The keys of scans come behind those that are asked for again.
    let all = keys(0..KEYS + REQUESTS);
    println!("\nhits of 100 requests, {CAPACITY} of {KEYS} keys kept");
    println!("  {:<14}{:>8}{:>8}{:>8}{:>8}{:>12}", "Zipf", "mesh", "quick", "moka", "foyer", "best 1,000");
    for (exponent, with_scans) in [(0.9, false), (1.0, false), (1.1, false), (0.9, true), (1.0, true), (1.1, true)] {
        let law = Zipf::new(exponent);
        let requests = trace(&law, with_scans);
        let hits = contenders().map(|mut asks| {
            let mut hit = |number: &usize| asks(&all[*number]) && *number < KEYS;
            requests.iter().filter(|number| hit(number)).count()
        });
        let asked = requests.iter().filter(|number| **number < KEYS).count();
        let name = format!("{exponent:.1}{}", if with_scans { ", scans" } else { "" });
        let cells: String = hits.iter().map(|hits| format!("{:>8.1}", *hits as f64 * 100.0 / asked as f64)).collect();
        println!("  {name:<14}{cells}{:>12.1}", law.share(CAPACITY) * 100.0);
    }
}

/// Whether a key is there; it is afterwards.
type Asks = Box<dyn FnMut(&str) -> bool>;

fn contenders() -> [Asks; 4] {
    let (mesh, quick_cache) = (subjects::mesh(CAPACITY), subjects::quick_cache(CAPACITY));
    let (moka, foyer) = (subjects::moka(CAPACITY), subjects::foyer(CAPACITY));
    let kept = value();
    let value = move || Arc::clone(&kept);
    let values = value.clone();
    let mesh = move |key: &str| {
        let hit = mesh.get(key).is_some();
        if !hit {
            subjects::insert(&mesh, key, values());
        }
        hit
    };
    let values = value.clone();
    let quick_cache = move |key: &str| {
        let hit = quick_cache.get(key).is_some();
        if !hit {
            quick_cache.insert(key.to_owned(), values());
        }
        hit
    };
    let values = value.clone();
    let moka = move |key: &str| {
        let hit = moka.get(key).is_some();
        if !hit {
            moka.insert(key.to_owned(), values());
        }
        // So that it decides with all that it was told, which in a program it may not.
        moka.run_pending_tasks();
        hit
    };
    let foyer = move |key: &str| {
        let hit = foyer.get(key).is_some();
        if !hit {
            foyer.insert(key.to_owned(), value());
        }
        hit
    };
    [Box::new(mesh), Box::new(quick_cache), Box::new(moka), Box::new(foyer)]
}

/// The keys that are asked for, by number.
fn trace(law: &Zipf, with_scans: bool) -> Vec<usize> {
    let mut rng = WyRand::new(1);
    let (between, scanned) = SCAN;
    let mut next = KEYS;
    let mut requests = Vec::with_capacity(REQUESTS * 2);
    for request in 1..=REQUESTS {
        requests.push(law.draw(&mut rng));
        if with_scans && request % between == 0 {
            requests.extend(next..next + scanned);
            next += scanned;
        }
    }
    requests
}

/// Key `n` (from 0) is asked for in proportion to `1 / (n + 1)^exponent`.
struct Zipf(Vec<f64>);

impl Zipf {
    fn new(exponent: f64) -> Self {
        let mut sum = 0.0;
        let mut sums: Vec<f64> = Vec::with_capacity(KEYS);
        for rank in 1..=KEYS {
            sum += libm::pow(rank as f64, -exponent);
            sums.push(sum);
        }
        sums.iter_mut().for_each(|part| *part /= sum);
        Self(sums)
    }

    fn draw(&self, rng: &mut WyRand) -> usize {
        let unit = (rng.next_u64() >> 11) as f64 / 9_007_199_254_740_992.0;
        self.0.partition_point(|sum| *sum <= unit).min(KEYS - 1)
    }

    /// How often one of the `count` keys that are asked for most is asked for.
    fn share(&self, count: usize) -> f64 {
        self.0.get(count - 1).copied().unwrap_or(1.0)
    }
}
