//! What each strategy does with a fleet of unequal, slow and failing instances.
//!
//! ```text
//! cargo run --release -p mesh-core --example which_strategy
//! ```
//!
//! One instance has four times the capacity of a normal one and says so by its weight, one is ten times slower than its
//! weight says, and one fails everything within a millisecond. A minute at 600 requests a second, in virtual time; every
//! request has one of a thousand keys. For each strategy: where the requests went, how many were in flight there, how
//! many succeeded within a second, and why the last pick went where it did.

mod fleet;

use mesh_core::balance::Strategy;

use fleet::{Fleet, INSTANCES, Tally};

#[expect(clippy::print_stdout, reason = "an example says what it does")]
fn main() -> Result<(), Box<dyn std::error::Error>> {
    print!("{:<21}", "");
    INSTANCES.iter().for_each(|instance| print!("{:>9}", instance.name));
    println!("{:>9}{:>7}", "success", "p99");
    for strategy in Strategy::built_in() {
        let Tally { shares, in_flight, success, p99, why } = Fleet::of(strategy.clone())?.run()?;
        print!("{:<21}", strategy.name());
        shares.iter().for_each(|share| print!("{:>7.1} %", share * 100.0));
        println!("{:>7.1} %{:>7}", success * 100.0, time(p99));
        print!("  {:<19}", "in flight");
        in_flight.iter().for_each(|load| print!("{load:>7.1}  "));
        println!("\n  {why}");
    }
    Ok(())
}

fn time(millis: u64) -> String {
    if millis < 10_000 { format!("{millis} ms") } else { format!("{} s", millis / 1_000) }
}
