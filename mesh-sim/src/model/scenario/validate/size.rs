//! How large a simulation may be: what fits in memory and ends within a day.

use super::findings::{Findings, Path};
use crate::model::scenario::{Arrivals, Scenario};

/// Checks the numbers of servers, clients and requests.
pub(super) fn verify(scenario: &Scenario, found: &mut Findings) {
    let servers = scenario.server_count();
    let clients = u64::from(scenario.clients.count.get());
    if servers > SERVERS_MAX {
        let message = format!("the groups have {servers} servers in all: at most {SERVERS_MAX} are allowed");
        found.object(Path::Root.key("servers"), message, None);
    }
    let table = Path::Root.key("clients");
    let rule = format_args!("must be 1 to {CLIENTS_MAX}").to_string();
    let fit = found.require(clients <= CLIENTS_MAX, table.key("count"), clients, rule);
    let pairs = servers.saturating_mul(clients);
    if fit && servers <= SERVERS_MAX && pairs > PAIRS_MAX {
        let message =
            format!("{clients} clients of {servers} servers are {pairs} pairs: at most {PAIRS_MAX} are allowed");
        found.object(table.key("count"), message, None);
    }
    verify_requests(scenario, table.key("arrivals"), found);
}

fn verify_requests(scenario: &Scenario, path: Path<'_>, found: &mut Findings) {
    let arrivals = &scenario.clients.arrivals;
    let expected = arrivals.expected(scenario.duration);
    if expected.is_finite() && expected > REQUESTS_MAX {
        let path = path.key(arrivals.name());
        let path = match arrivals {
            Arrivals::Poisson { .. } | Arrivals::Uniform { .. } | Arrivals::Bursts { .. } => path.key("rate"),
            Arrivals::Closed { .. } => path.key("requests"),
            Arrivals::Steps { .. } | Arrivals::Ramp { .. } | Arrivals::Trace { .. } => path,
        };
        let message = format!("about {expected:.1e} requests would come: at most {REQUESTS_MAX:.0e} are allowed");
        found.object(path, message, None);
    }
}

const SERVERS_MAX: u64 = 100_000;
const CLIENTS_MAX: u64 = 100_000;
/// Each client knows each server.
const PAIRS_MAX: u64 = 20_000_000;
/// An hour or more.
const REQUESTS_MAX: f64 = 1e10;
