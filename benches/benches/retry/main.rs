//! What retrying costs a call on its hot path, beside the crates that people would use instead, and beside the least code
//! that could do the same.
//!
//! Benchmarks are called `retry/<subject>/1/<threads>`: all threads share one value, as all calls to a service do.
#![expect(clippy::expect_used, reason = "a bench that cannot be set up has nothing to measure")]
#![expect(clippy::print_stdout, reason = "a bench prints what it measured")]

mod backoffs;
#[path = "../common/bench.rs"]
mod bench;
mod breakers;
mod budgets;
mod calls;
mod fleet;
mod limits;

use std::sync::atomic::AtomicU64;

use bench::Bench;
use mesh_retry::Instant;

fn main() {
    bench::group("retry", |group| {
        for threads in [1, 2] {
            let mut bench = Bench { group: &mut *group, size: 1, threads };
            budgets::measure(&mut bench);
            fleet::measure(&mut bench);
            breakers::measure(&mut bench);
            limits::measure(&mut bench);
            backoffs::measure(&mut bench);
            calls::measure(&mut bench);
        }
    });
    println!("\nallocations in {CALLS} operations");
    for (subject, count) in breakers::allocations(CALLS).into_iter().chain(calls::allocations(CALLS)) {
        println!("  {subject:<24}{count:>6}");
    }
}

/// A worker whose time passes by 1 µs with each operation.
fn stepping(mut operation: impl FnMut(Instant)) -> impl FnMut(u64) {
    let mut nanos = 0;
    move |ops| {
        for _ in 0..ops {
            nanos += 1_000;
            operation(Instant::from_nanos(nanos));
        }
    }
}

/// Alone on its pair of cache lines, which the processor fetches together.
#[repr(align(128))]
struct Padded(AtomicU64);

const CALLS: u64 = 10_000;
