//! What an entry takes of memory: the anonymous pages that a process of its own has more with a full cache than without.

use std::process::Command;
use std::sync::Arc;

use crate::subjects::{self, Value, keys, value};

const ENTRIES: usize = 10_000;
/// Room for all, whatever the parts of a cache are.
const ROOM: usize = 20_000;

/// The argument with which this program measures one subject and prints nothing else.
pub(crate) const CHILD: &str = "--memory-of";

pub(crate) fn measure() {
    let own = std::env::current_exe().expect("this program");
    println!("\nmemory of an entry, {ENTRIES} of them: key of 23 bytes, vector of 64 behind an Arc");
    println!("  {:<36}{:>8}{:>24}", "", "bytes", "without key and value");
    let bytes = |subject: &str| -> f64 {
        let output = Command::new(&own).args([CHILD, subject]).output().expect("this program runs");
        String::from_utf8_lossy(&output.stdout).trim().parse().expect("a number of bytes")
    };
    let bare = bytes(SUBJECTS[0]);
    for subject in SUBJECTS {
        let bytes = bytes(subject);
        println!("  {subject:<36}{bytes:>8.0}{:>24.0}", bytes - bare);
    }
}

/// Prints how many bytes an entry of `subject` takes.
pub(crate) fn child(subject: &str) {
    let keys = keys(0..ENTRIES);
    // What is set up once is no entry's.
    let one = fill(subject, &keys[..1]);
    let before = anonymous();
    let cache = fill(subject, &keys);
    let grown = anonymous().saturating_sub(before);
    println!("{:.1}", grown as f64 / ENTRIES as f64);
    drop((one, cache));
}

/// A full cache; what it is behind does not matter.
fn fill(subject: &str, keys: &[String]) -> Box<dyn std::any::Any> {
    match subject {
        "key and value alone" => {
            let pairs: Vec<(String, Value)> = keys.iter().map(|key| (key.clone(), value())).collect();
            Box::new(pairs)
        }
        "mesh" => {
            let cache = subjects::mesh(ROOM);
            keys.iter().for_each(|key| subjects::insert(&cache, key, value()));
            Box::new(cache)
        }
        "quick_cache" => {
            let cache = Arc::new(subjects::quick_cache(ROOM));
            keys.iter().for_each(|key| cache.insert(key.clone(), value()));
            Box::new(cache)
        }
        "moka" => {
            let cache = subjects::moka(ROOM);
            keys.iter().for_each(|key| cache.insert(key.clone(), value()));
            cache.run_pending_tasks();
            Box::new(cache)
        }
        "foyer" => {
            let cache = subjects::foyer(ROOM);
            keys.iter().for_each(|key| drop(cache.insert(key.clone(), value())));
            Box::new(cache)
        }
        _ => {
            let map: dashmap::DashMap<String, Value> = keys.iter().map(|key| (key.clone(), value())).collect();
            Box::new(map)
        }
    }
}

const SUBJECTS: [&str; 6] = ["key and value alone", "mesh", "quick_cache", "moka", "foyer", "dashmap"];

/// The bytes of anonymous memory that this process has in RAM, counted page by page.
fn anonymous() -> u64 {
    let rollup = std::fs::read_to_string("/proc/self/smaps_rollup").unwrap_or_default();
    let line = rollup.lines().find(|line| line.starts_with("Anonymous:")).unwrap_or_default();
    line.split_whitespace().nth(1).and_then(|kib| kib.parse::<u64>().ok()).unwrap_or(0) * 1024
}
