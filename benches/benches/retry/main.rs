//! What retrying costs a call on its hot path, beside the crates that people would use instead, and beside the least code
//! that could do the same.
//!
//! Benchmarks are called `retry/<subject>/1/<threads>`: all threads share one value, as all calls to a service do.

#[path = "../common/bench.rs"]
mod bench;
mod budgets;
mod fleet;

use bench::Bench;

fn main() {
    bench::group("retry", |group| {
        for threads in [1, 2] {
            let mut bench = Bench { group: &mut *group, size: 1, threads };
            budgets::measure(&mut bench);
            fleet::measure(&mut bench);
        }
    });
}
