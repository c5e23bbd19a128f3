//! How long it is from the end of one check to the start of the next, by where the check left the instance.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, reason = "helpers of tests fail like tests")]

mod support;

use mesh_core::balance::{Balancer, Outcome, PickContext};
use mesh_core::health::{Health, ProbeFailure, ProbeVerdict, ServingStatus};
use mesh_core::machine::ServiceMachineConfig;
use mesh_core::service::{CheckRunner, HealthCheck, HealthCheckBuilder};
use support::rig::*;
use support::*;

#[test]
fn the_pause_begins_when_the_answer_is_here_or_the_patience_ends() {
    let mut rig = unjittered(quick());
    let answered = || Fate::After(ms(30), ProbeVerdict::Passed);
    let gaps = rig.gaps([answered(), answered(), answered(), Fate::Silence, Fate::Silence, Fate::Silence]);
    assert_eq!(gaps, [130, 130, 130, 150, 150]);
}

/// Rise 2, fall 3: failures 1 and 2 are counted, 3 decides; then success 1 is counted, and 2 decides.
#[test]
fn the_edge_interval_holds_while_checks_are_counted_and_not_after_the_change() {
    let mut rig = unjittered(quick().unhealthy_interval(ms(400)).edge_interval(ms(20)));
    let gaps = rig.gaps([P, P, F, F, F, F, P, P, P, F, P].map(now));
    assert_eq!(gaps, [100, 100, 20, 20, 400, 400, 20, 100, 100, 20]);
    assert_eq!(rig.health(0), Health::Healthy);
}

#[test]
fn without_an_interval_of_its_own_the_edge_is_that_of_the_state() {
    let mut rig = unjittered(quick().unhealthy_interval(ms(400)));
    assert_eq!(rig.gaps([P, F, F, F, P, P, P].map(now)), [100, 100, 100, 400, 400, 100]);
}

#[test]
fn without_requests_since_the_last_check_the_interval_is_that_without_traffic() {
    let mut rig = unjittered(quick().edge_interval(ms(20)).no_traffic_interval(ms(700)));
    assert_eq!(rig.gaps([P, P, P].map(now)), [700, 700]);
    request(&rig);
    assert_eq!(rig.gaps([P, P, P].map(now)), [100, 700], "a request is seen once, at the check after it");
    request(&rig);
    assert_eq!(rig.gaps([F, F, F].map(now)), [20, 700], "with traffic the edge, and no traffic comes before the edge");
}

#[test]
fn what_checks_keep_out_is_not_without_traffic_for_that() {
    let mut rig = unjittered(quick().unhealthy_interval(ms(300)).no_traffic_interval(ms(700)));
    assert_eq!(rig.gaps([F, F, P, P, P].map(now)), [300, 300, 300, 700], "back, and nobody wants it yet");
}

#[test]
fn a_request_before_a_timeout_is_traffic_too() {
    let mut rig = unjittered(quick().no_traffic_interval(ms(700)));
    rig.gaps([P, P].map(now));
    request(&rig);
    assert_eq!(rig.gaps([Fate::Silence, Fate::Silence, Fate::Silence]), [150, 750]);
}

#[test]
fn every_interval_is_stretched_by_the_jitter_and_never_shortened() {
    let mut config = ServiceMachineConfig::default();
    (config.checks.stagger_max, config.checks.jitter_percent) = (ms(0), 50);
    for (verdict, least) in [(P, 100), (F, 400)] {
        let mut rig = Rig::new(config.clone());
        rig.observe(heard(vec![with_check(0, quick().unhealthy_interval(ms(400)).edge_interval(ms(20)))]));
        let gaps = rig.gaps((0..2_000).map(|_| now(verdict)));
        assert!(gaps.iter().all(|gap| (least..=least + least / 2).contains(gap)));
        let mean = gaps.iter().sum::<u64>() / 1_999;
        // Uniform over half an interval: four standard errors, sqrt(1/12) / 2 / sqrt(1,999) of it each, and a rounding.
        assert!(mean.abs_diff(least + least / 4) <= least * 13 / 1_000 + 1, "{mean}");
    }
}

#[test]
fn an_answer_that_says_no_puts_an_instance_out_at_once_where_that_was_asked_for() {
    let own = || HealthCheck::own().interval(ms(100)).timeout(ms(50));
    for (check, failure, is_an_answer) in [
        (quick(), ProbeFailure::Status(503), true),
        (quick(), ProbeFailure::Body, true),
        (quick(), ProbeFailure::Connect, false),
        (quick(), ProbeFailure::Tls, false),
        (quick(), ProbeFailure::TimedOut, false),
        (quick(), ProbeFailure::Broken, false),
        (grpc(), ProbeFailure::NotServing(ServingStatus::NotServing), true),
        (grpc(), ProbeFailure::GrpcStatus(12), true),
        (own(), ProbeFailure::Own, true),
        (own(), ProbeFailure::Panicked, false),
        (own(), ProbeFailure::Unsupported, false),
    ] {
        for asked_for in [true, false] {
            let is_out = asked_for && is_an_answer;
            let mut rig = unjittered(check.clone().immediate_on_status(asked_for).edge_interval(ms(20)));
            let fail = || Fate::After(ms(0), ProbeVerdict::Failed(failure.clone()));
            assert_eq!(rig.gaps([now(P), now(P), fail()]), [100, 100]);
            assert_eq!(rig.health(0) == Health::Unhealthy, is_out, "{failure:?}");
            assert_eq!(rig.usable().is_empty(), is_out);
            assert_eq!(rig.gap(fail()), Some(if is_out { 100 } else { 20 }), "nothing is counted after the end");
        }
    }
}

#[test]
fn an_immediate_end_starts_the_count_of_successes_anew() {
    let mut rig = unjittered(quick().immediate_on_status(true));
    for (verdict, health) in [
        (P, Health::Healthy),
        (F, Health::Unhealthy),
        (P, Health::Unhealthy),
        (F, Health::Unhealthy),
        (P, Health::Unhealthy),
        (P, Health::Healthy),
    ] {
        rig.gap(now(verdict));
        assert_eq!(rig.health(0), health);
    }
}

trait Gaps {
    fn gap(&mut self, fate: Fate) -> Option<u64>;
    fn gaps(&mut self, fates: impl IntoIterator<Item = Fate>) -> Vec<u64>;
}

impl Gaps for Rig {
    /// Lets the next check begin and have this fate; how many milliseconds after the one before it began.
    fn gap(&mut self, fate: Fate) -> Option<u64> {
        self.usually(fate);
        let before = self.take().probed_at(0).pop();
        while self.said.probes.is_empty() {
            assert!(self.step(at(u64::MAX / 2_000_000)), "no check is to come");
        }
        let began = self.now;
        // What answers at once is heard at once.
        self.pass(ms(0));
        before.map(|before| (began.as_nanos() - before.as_nanos()) / 1_000_000)
    }

    /// Lets checks of these fates follow each other; the milliseconds from each one's beginning to the next one's.
    fn gaps(&mut self, fates: impl IntoIterator<Item = Fate>) -> Vec<u64> {
        let gaps: Vec<_> = fates.into_iter().map(|fate| self.gap(fate)).collect();
        gaps.into_iter().skip(1).flatten().collect()
    }
}

/// A check that passes.
const P: bool = true;
/// One that fails.
const F: bool = false;

fn unjittered(check: HealthCheckBuilder) -> Rig {
    let mut config = ServiceMachineConfig::default();
    (config.checks.stagger_max, config.checks.jitter_percent) = (ms(0), 0);
    let mut rig = Rig::new(config);
    rig.observe(heard(vec![with_check(0, check)]));
    rig
}

fn grpc() -> HealthCheckBuilder {
    HealthCheck::grpc().run_by(CheckRunner::Mesh).interval(ms(100)).timeout(ms(50))
}

fn now(good: bool) -> Fate {
    Fate::After(ms(0), if good { ProbeVerdict::Passed } else { failure() })
}

/// One request to whoever may be picked.
fn request(rig: &Rig) {
    let balancer = Balancer::new();
    balancer.publish(std::sync::Arc::clone(rig.machine.view()));
    balancer.handle().pick(rig.now, &PickContext::default(), 1).unwrap().finish(rig.now, Outcome::Success);
}
