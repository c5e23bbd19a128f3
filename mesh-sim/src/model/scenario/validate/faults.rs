//! What goes wrong: when, to whom, and with which numbers.

use core::time::Duration;

use super::Span;
use super::distribution;
use super::findings::{Findings, Path};
use crate::model::scenario::{Fault, FaultKind, Scenario, ServerGroup, Target};

/// Checks every fault.
pub(super) fn verify(scenario: &Scenario, found: &mut Findings) {
    let path = Path::Root.key("faults");
    for (at, fault) in scenario.faults.iter().enumerate() {
        let path = path.item(at);
        verify_times(fault, scenario.duration, path, found);
        verify_need(fault, path, found);
        if let Some(target) = &fault.target {
            verify_target(target, &scenario.servers, path.key("target"), found);
        }
        verify_kind(&fault.fault, path.key("fault"), found);
        verify_flap(fault, scenario.duration, path.key("fault"), found);
    }
}

fn verify_times(fault: &Fault, duration: Duration, path: Path<'_>, found: &mut Findings) {
    let rule = format!("the fault starts after the end, which is at {duration:?}");
    found.require(duration.is_zero() || fault.at < duration, path.key("at"), Span(fault.at), rule);
    let lasts = fault.lasts.is_none_or(|lasts| !lasts.is_zero());
    found.require(lasts, path.key("for"), "0s", "must be longer than zero, or left out");
}

/// Whether a fault of this kind can have such a target.
fn verify_need(fault: &Fault, path: Path<'_>, found: &mut Findings) {
    let (kind, name) = (&fault.fault, fault.fault.name());
    let path = path.key("target");
    match (&fault.target, kind) {
        (None, FaultKind::RegistryOutage | FaultKind::StoreOutage) => {}
        (None, _) => {
            let help = "name one: { group = \"…\" }, { zone = \"…\" } or { clients = \"all\" }";
            found.object(path, format!("`{name}` needs a target"), Some(help.into()));
        }
        (Some(_), FaultKind::RegistryOutage) => {
            found.object(path, format!("`{name}` takes no target: it hits the registry"), None);
        }
        (Some(_), FaultKind::StoreOutage) => {
            found.object(path, format!("`{name}` takes no target: it hits the store"), None);
        }
        (Some(Target::Clients), kind) if !hits_clients(kind) => {
            let some = "partition, latency, loss, pause and clock-skew";
            found.object(path, format!("`{name}` cannot hit clients"), Some(format!("these can: {some}")));
        }
        (Some(Target::Clients), _) => {}
        (Some(_), FaultKind::ClockSkew { .. }) => {
            let help = "aim it at { clients = \"all\" }";
            found.object(path, format!("`{name}` hits clients only"), Some(help.into()));
        }
        (Some(_), _) => {}
    }
}

const fn hits_clients(kind: &FaultKind) -> bool {
    matches!(
        kind,
        FaultKind::Partition { .. }
            | FaultKind::Latency { .. }
            | FaultKind::Loss { .. }
            | FaultKind::Pause
            | FaultKind::ClockSkew { .. }
    )
}

/// Whether somebody is hit.
fn verify_target(target: &Target, groups: &[ServerGroup], path: Path<'_>, found: &mut Findings) {
    match target {
        Target::Clients => {}
        Target::Group(name) => {
            verify_group(name, groups, path, found);
        }
        Target::Server { group: name, index } => {
            if let Some(group) = verify_group(name, groups, path, found) {
                let last = group.count.saturating_sub(1);
                let rule = format!("group `{name}` has the indices 0 to {last}");
                found.require(*index < group.count.max(1), path.key("index"), index, rule);
            }
        }
        Target::Fraction { group: name, fraction } => {
            let group = verify_group(name, groups, path, found);
            let path = path.key("fraction");
            let fits = found.require((0.0..=1.0).contains(fraction), path, fraction, "must be 0 to 1");
            if let Some(group) = group.filter(|_| fits) {
                let hit = (fraction * f64::from(group.count)).round() >= 1.0;
                let rule = format!("of the {} servers of `{name}` it hits none", group.count);
                found.require(hit, path, fraction, rule);
            }
        }
        Target::Zone(zone) => {
            let zones = groups.iter().filter_map(|group| group.zone.as_deref());
            found.require_known(path.key("zone"), zone, zones, "no group of servers is in this zone");
        }
    }
}

fn verify_group<'g>(
    name: &str,
    groups: &'g [ServerGroup],
    path: Path<'_>,
    found: &mut Findings,
) -> Option<&'g ServerGroup> {
    let names = groups.iter().map(|group| group.group.as_str());
    found.require_known(path.key("group"), name, names, "no group of servers has this name");
    groups.iter().find(|group| group.group == name)
}

fn verify_kind(kind: &FaultKind, path: Path<'_>, found: &mut Findings) {
    let path = path.key(kind.name());
    match kind {
        FaultKind::ServiceTime(law) => distribution::verify(law, path, found),
        FaultKind::Slowdown { factor } => {
            let holds = factor.is_finite() && *factor > 0.0;
            found.require(holds, path.key("factor"), factor, "must be a finite number above 0");
        }
        FaultKind::Errors { rate, .. } | FaultKind::Loss { rate } => {
            found.require((0.0..=1.0).contains(rate), path.key("rate"), rate, "must be 0 to 1");
        }
        FaultKind::Flap { up, down } => {
            for (key, period) in [("up", *up), ("down", *down)] {
                found.require(!period.is_zero(), path.key(key), Span(period), "must be longer than zero");
            }
        }
        FaultKind::Crash
        | FaultKind::Hang
        | FaultKind::Partition { .. }
        | FaultKind::Latency { .. }
        | FaultKind::Pause
        | FaultKind::ChecksFail
        | FaultKind::ChecksPass
        | FaultKind::Join
        | FaultKind::Drain
        | FaultKind::Deregister
        | FaultKind::RegistryOutage
        | FaultKind::StoreOutage
        | FaultKind::ClockSkew { .. } => {}
    }
}

/// A flap becomes a list of crashes before the run; that list must fit.
fn verify_flap(fault: &Fault, duration: Duration, path: Path<'_>, found: &mut Findings) {
    let FaultKind::Flap { up, down } = &fault.fault else { return };
    let lasts = fault.lasts.unwrap_or_else(|| duration.saturating_sub(fault.at)).as_nanos();
    let period = up.saturating_add(*down).as_nanos();
    let crashes = lasts.checked_div(period).unwrap_or_default();
    if crashes > FLAPS_MAX {
        let message = format!("it would crash {crashes} times: at most {FLAPS_MAX} are allowed");
        found.object(path.key("flap"), message, None);
    }
}

/// A few hundred bytes each.
const FLAPS_MAX: u128 = 1_000_000;
