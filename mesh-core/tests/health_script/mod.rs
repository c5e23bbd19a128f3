//! What happens to a service, made up at random.
#![allow(clippy::unwrap_used, reason = "helpers of tests fail like tests")]

use std::sync::Arc;

use mesh_core::balance::Outcome;
use mesh_core::health::ProbeVerdict;
use mesh_core::service::{Instance, Weight, Weights};
use mesh_core::snapshot::{Entry, RegistryStatus};
use proptest::prelude::*;

use super::support::rig::*;
use super::support::*;

/// One thing that happens to a service.
#[derive(Clone, Debug)]
pub(crate) enum Step {
    List(Vec<(u16, Kind)>),
    Fate(u16, Verdict),
    Everybodys(Verdict),
    Ill(u16, Option<Outcome>),
    Requests(u32),
    Hold(u32),
    End(u8, Outcome),
    Abandon(u8),
    Drain(u16),
    Undrain(u16),
    Pass(u64),
    /// Falls and rises so often that it is held out.
    Flap(u16),
    /// A trial goes on for so long that its instance is out again before it ends.
    Linger(u16),
    /// A trial that a sweep sees under way ends so, or is given up, and nobody else comes.
    Excuse(u16, Option<Outcome>),
}

/// How an instance is listed.
#[derive(Clone, Copy, Debug)]
pub(crate) enum Kind {
    Registered(RegistryStatus),
    Checked,
    Moved,
}

/// How its checks end.
#[derive(Clone, Copy, Debug)]
pub(crate) enum Verdict {
    Passes,
    Warns,
    Fails,
    Nothing,
}

/// Anything that may happen.
pub(crate) fn step() -> impl Strategy<Value = Step> {
    use RegistryStatus::{Critical, Maintenance, Passing, Unknown, Warning};
    let number = || 0..6_u16;
    let registered = prop::sample::select(vec![Unknown, Passing, Warning, Critical, Maintenance]);
    let kind = prop_oneof![
        2 => registered.prop_map(Kind::Registered),
        4 => Just(Kind::Checked),
        1 => Just(Kind::Moved),
    ];
    let verdict = || {
        prop::sample::select(vec![Verdict::Passes, Verdict::Passes, Verdict::Warns, Verdict::Fails, Verdict::Nothing])
    };
    let outcome = || {
        let outcomes =
            [Outcome::Success, Outcome::Failure, Outcome::TimedOut, Outcome::Unreachable, Outcome::Cancelled];
        prop::sample::select([outcomes.as_slice(), &[Outcome::Overloaded { retry_after: None }]].concat())
    };
    let list = prop::collection::vec((number(), kind), 0..7);
    prop_oneof![
        2 => list.prop_map(Step::List),
        3 => (number(), verdict()).prop_map(|(number, verdict)| Step::Fate(number, verdict)),
        1 => verdict().prop_map(Step::Everybodys),
        4 => (number(), prop::option::weighted(0.7, outcome())).prop_map(|(number, outcome)| Step::Ill(number, outcome)),
        8 => (1..120_u32).prop_map(Step::Requests),
        4 => (1..5_u32).prop_map(Step::Hold),
        2 => (any::<u8>(), outcome()).prop_map(|(at, outcome)| Step::End(at, outcome)),
        1 => any::<u8>().prop_map(Step::Abandon),
        1 => number().prop_map(Step::Drain),
        1 => number().prop_map(Step::Undrain),
        1 => number().prop_map(Step::Flap),
        1 => number().prop_map(Step::Linger),
        1 => (number(), prop::option::of(outcome())).prop_map(|(number, outcome)| Step::Excuse(number, outcome)),
        8 => prop_oneof![0..2_000_u64, 0..60_000_u64, 20_000..100_000_u64].prop_map(Step::Pass),
    ]
}

pub(crate) fn fate(verdict: Verdict) -> Fate {
    match verdict {
        Verdict::Passes => passes(),
        Verdict::Warns => Fate::After(ms(1), ProbeVerdict::Warned),
        Verdict::Fails => fails(),
        Verdict::Nothing => Fate::Silence,
    }
}

pub(crate) fn listed(number: u16, kind: Kind) -> Entry {
    let build = |host: &str| {
        let weights = Weights::of(Weight::new([1, 1, 3, 700, 2, 1][usize::from(number)]));
        let builder = Instance::builder("api", host, 10_000 + number).id(key(number).id().clone());
        builder.weights(weights).build().unwrap()
    };
    let slow = || quick().interval(ms(4_000)).timeout(ms(1_000));
    match kind {
        Kind::Registered(status) => Entry::new(Arc::new(build("127.0.0.1")), status, None),
        Kind::Checked => left_to_the_mesh(build("127.0.0.1"), slow()),
        Kind::Moved => left_to_the_mesh(build("127.0.0.2"), slow()),
    }
}
