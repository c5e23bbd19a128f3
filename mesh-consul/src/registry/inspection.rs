//! What stands of a registration: at the agent, and in the catalogue, where others look.

use mesh_core::registration::{PartState, Standing};
use mesh_core::service::ServiceConfig;
use mesh_core::snapshot::Entry;

use super::{DRAINED, Shared};
use crate::agent::Held;
use crate::agent::body::Registration;
use crate::client::invalid;
use crate::config::Verification;
use crate::error::ConsulError;
use crate::options::QueryOptions;

impl Shared {
    pub(super) async fn inspect(&self, config: &ServiceConfig) -> Result<Standing, ConsulError> {
        let owner = self.consul.config().owner.clone();
        let wanted = Registration::of(config, owner.as_deref()).map_err(|error| invalid("inspect service", &error))?;
        let due = self.kept().get(config.id()).and_then(|kept| kept.due.clone());
        let mut held = self.consul.held(config.id()).await?;
        if let (Some(reason), Some(_), None) = (&due, &held.service, &held.maintenance) {
            self.consul.set_maintenance(config.id().as_str(), Some(reason)).await?;
            held.maintenance = due;
        }
        let check = standing_of_check(&wanted, &held);
        let service = standing_of_service(config, &wanted, &held);
        if self.consul.config().verification == Verification::Agent {
            return Ok(Standing { service, check });
        }
        let seen = self.seen(config, service != PartState::Absent).await?;
        let service = match (service, seen) {
            (PartState::Absent, None) => PartState::Absent,
            (PartState::Matches, Some(true)) => PartState::Matches,
            // The agent has not told the servers yet, or they not each other.
            (PartState::Absent | PartState::Matches | PartState::Differs, _) => PartState::Differs,
        };
        Ok(Standing { service, check })
    }

    /// Whether the catalogue has the instance, and as it should be. It has to show something where the agent holds one: a
    /// token that may not see it would have it registered again for ever.
    async fn seen(&self, config: &ServiceConfig, held: bool) -> Result<Option<bool>, ConsulError> {
        let instance = config.instance();
        let filter = format!("Service.ID == \"{}\"", config.id());
        let options = QueryOptions { filter: Some(filter), ..QueryOptions::default() };
        let (listing, meta) = self.consul.shown(config.service(), &options).await?;
        if held && listing.snapshot.is_empty() {
            self.consul.verify_visible(config.service().as_str(), &meta).await?;
        }
        let fits = |entry: &Entry| {
            let found = entry.instance();
            found.id() == instance.id() && found.host() == instance.host() && found.port() == instance.port()
        };
        let same = |entry: &Entry| fits(entry) && entry.instance().tags() == instance.tags();
        let any = listing.snapshot.iter().any(fits);
        Ok(any.then(|| listing.snapshot.iter().any(same)))
    }
}

fn standing_of_service(config: &ServiceConfig, wanted: &Registration<'_>, held: &Held) -> PartState {
    let Some(found) = &held.service else { return PartState::Absent };
    let drained = config.instance().weights().passing.is_drained();
    // Somebody else's maintenance drains as well.
    let as_wanted = match &held.maintenance {
        Some(reason) => drained || reason != DRAINED,
        None => !drained,
    };
    if as_wanted && wanted.matches(found) { PartState::Matches } else { PartState::Differs }
}

fn standing_of_check(wanted: &Registration<'_>, held: &Held) -> PartState {
    match (wanted.check_notes(), held.checks.as_slice()) {
        (_, []) => PartState::Absent,
        (Some(notes), [only]) if only.notes == notes => PartState::Matches,
        (Some(_) | None, _) => PartState::Differs,
    }
}
