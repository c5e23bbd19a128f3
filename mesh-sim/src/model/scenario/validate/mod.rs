//! What is impossible about a scenario, and what is possible and probably not meant.
//!
//! Every rule that production has for a value is asked of production: instances, checks, retries and strategies are
//! built, and what refuses them speaks. Nothing is run, and nothing is put right silently.

mod arrivals;
mod clients;
mod distribution;
mod endless;
mod expect;
mod faults;
mod findings;
mod load;
mod servers;
mod size;

use core::time::Duration;

use mesh_core::machine::ServiceMachineConfig;

use self::findings::{Findings, Path};
use super::Scenario;
use crate::model::{Invalid, Warning};

impl Scenario {
    /// Finds everything that is impossible about it, and what is possible and probably not meant.
    ///
    /// # Errors
    /// Everything that is impossible.
    pub fn validate(&self) -> Result<Vec<Warning>, Invalid> {
        let mut found = Findings::default();
        self.verify_head(&mut found);
        self.verify_strategies(&mut found);
        servers::verify(&self.servers, &mut found);
        clients::verify(self, &mut found);
        let network = Path::Root.key("network");
        distribution::verify(&self.network.latency, network.key("latency"), &mut found);
        let loss = self.network.loss;
        found.require((0.0..=1.0).contains(&loss), network.key("loss"), loss, "must be 0 to 1");
        distribution::verify(&self.discovery.delay, Path::Root.key("discovery").key("delay"), &mut found);
        distribution::verify(&self.store.latency, Path::Root.key("store").key("latency"), &mut found);
        faults::verify(self, &mut found);
        endless::verify(self, &mut found);
        size::verify(self, &mut found);
        expect::verify(self, &mut found);
        if found.is_possible() {
            load::warn(self, &mut found);
        }
        found.into_result()
    }

    fn verify_head(&self, found: &mut Findings) {
        let Self { version, name, duration, warmup, .. } = self;
        found.require(*version == Self::VERSION, Path::Root.key("version"), version, "must be 1");
        let fits = |c: char| c.is_ascii_lowercase() || c.is_ascii_digit() || c == '-';
        let well_formed = (1..=NAME_BYTES_MAX).contains(&name.len()) && name.chars().all(fits);
        let rule = format!("must be 1 to {NAME_BYTES_MAX} lower-case letters, digits and hyphens");
        found.require(well_formed, Path::Root.key("name"), name, rule);
        let runs = !duration.is_zero() && *duration <= DURATION_MAX;
        found.require(runs, Path::Root.key("duration"), Span(*duration), "must be above 0 and at most 365 days");
        let rule = format_args!("must be below the duration of {duration:?}").to_string();
        found.require(!runs || warmup < duration, Path::Root.key("warmup"), Span(*warmup), rule);
    }

    fn verify_strategies(&self, found: &mut Findings) {
        let path = Path::Root.key("strategies");
        found.require(!self.strategies.is_empty(), path, "[]", "there must be at least one");
        let count = self.strategies.len();
        found.require(count <= STRATEGIES_MAX, path, count, format_args!("there can be at most {STRATEGIES_MAX}"));
        for (at, strategy) in self.strategies.iter().enumerate() {
            let mut config = ServiceMachineConfig::default();
            config.strategy = strategy.clone();
            let Err(error) = config.validate() else { continue };
            let (item, name) = (path.item(at), strategy.name());
            for problem in error.problems() {
                found.refuse(item.key(name).key(problem.field()), problem.value(), problem.rule(), None);
            }
        }
    }
}

/// Durations in messages, as mesh-core's rules show them.
struct Span(Duration);

impl core::fmt::Display for Span {
    fn fmt(&self, f: &mut core::fmt::Formatter<'_>) -> core::fmt::Result {
        core::fmt::Debug::fmt(&self.0, f)
    }
}

/// Each is told from each other of its name.
const STRATEGIES_MAX: usize = 100;
/// Names become file names.
const NAME_BYTES_MAX: usize = 100;
/// Far below what overflows 64 bits of nanoseconds.
const DURATION_MAX: Duration = Duration::from_secs(365 * 24 * 60 * 60);
