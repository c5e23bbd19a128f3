//! Reads `/v1/health/service` and prepared queries: which instances there are and how the agent finds them.
//!
//! One odd entry costs that entry and no other. The health that counts is the worst of the instance's and its
//! node's checks, and maintenance of either. It never filters: a caller must be able to tell "none" from "all
//! critical".

mod wire;

use std::fmt::Write as _;
use std::sync::Arc;
use std::time::Duration;

use mesh_core::service::{ConfigError, Instance, META_ZONE, Meta, ServiceName, Tag, Tags, Weight, Weights};
use mesh_core::snapshot::{Entry, RegistryStatus, Snapshot};
use serde_json::value::RawValue;

use wire::{WireCheck, WireEntry, WireNode, WireQuery, WireService};

/// The instances that an answer lists, and what was left out.
#[derive(Clone, Debug, Default)]
pub struct Listing {
    /// The instances that can be called.
    pub snapshot: Arc<Snapshot>,
    /// How many entries could not be used.
    pub unusable: usize,
    /// Why the first of them could not.
    pub reason: Option<String>,
    /// How long ago all this was true, as far as the answer says.
    pub age: Duration,
}

/// Whose addresses are asked for.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Vantage {
    /// The caller's own datacenter, or an agent that translates addresses itself.
    #[default]
    Local,
    /// Another datacenter: the WAN address counts, where there is one.
    Foreign,
}

/// Reads the body of `/v1/health/service/<service>`; `null` is an empty list.
///
/// # Errors
/// Where it is no list.
pub fn decode(service: &ServiceName, body: &[u8], vantage: Vantage) -> Result<Listing, serde_json::Error> {
    if let Ok(entries) = read::<Option<Vec<WireEntry<'_>>>>(body) {
        let read = entries.unwrap_or_default().into_iter().map(Ok);
        return Ok(listing(service, read, vantage));
    }
    // One of them is odd: they are read one by one, at twice the cost.
    let entries: Option<Vec<&RawValue>> = read(body)?;
    Ok(listing(service, one_by_one(entries.as_deref().unwrap_or_default()), vantage))
}

/// Reads the body of `/v1/query/<name>/execute`: from afar where the query failed over to another datacenter.
///
/// # Errors
/// Where it is no such answer.
pub fn decode_query(service: &ServiceName, body: &[u8]) -> Result<Listing, serde_json::Error> {
    let query: WireQuery<'_> = read(body)?;
    let vantage = if query.failovers > 0 { Vantage::Foreign } else { Vantage::Local };
    Ok(listing(service, one_by_one(query.nodes.as_deref().unwrap_or_default()), vantage))
}

/// Reads `body`, which is known to be UTF-8 after one look and not after one for each text in it.
fn read<'a, T: serde::Deserialize<'a>>(body: &'a [u8]) -> Result<T, serde_json::Error> {
    match str::from_utf8(body) {
        Ok(text) => serde_json::from_str(text),
        // Names the place.
        Err(_) => serde_json::from_slice(body),
    }
}

/// What each of `entries` reads as, or why it does not.
fn one_by_one<'a>(entries: &'a [&'a RawValue]) -> impl ExactSizeIterator<Item = Result<WireEntry<'a>, String>> {
    entries.iter().map(|raw| serde_json::from_str(raw.get()).map_err(|error| error.to_string()))
}

fn listing<'a>(
    service: &ServiceName,
    entries: impl ExactSizeIterator<Item = Result<WireEntry<'a>, String>>,
    vantage: Vantage,
) -> Listing {
    let mut listing = Listing::default();
    let mut usable = Vec::with_capacity(entries.len());
    for read in entries {
        match read.and_then(|wire| entry(service, &wire, vantage).map_err(|error| error.to_string())) {
            Ok(entry) => usable.push(entry),
            Err(reason) => {
                listing.unusable = listing.unusable.saturating_add(1);
                listing.reason.get_or_insert(reason);
            }
        }
    }
    listing.snapshot = Arc::new(Snapshot::new(usable));
    listing
}

/// The entry that `wire` describes.
fn entry(service: &ServiceName, wire: &WireEntry<'_>, vantage: Vantage) -> Result<Entry, ConfigError> {
    let (host, port) = address(wire, vantage);
    // Others' tags and metadata need not keep to our rules: what breaks them is left out, and the instance stays.
    let mut tags = Tags::default();
    for tag in wire.service.tags.iter().flatten().filter_map(|tag| tag.0.parse::<Tag>().ok()) {
        let _ = tags.insert(tag);
    }
    let mut meta = Meta::default();
    for (key, value) in wire.service.meta.iter().flatten() {
        let _ = meta.insert(&key.0, &value.0);
    }
    if let Some(zone) = wire.zone().filter(|_| meta.get(META_ZONE).is_none()) {
        let _ = meta.insert(META_ZONE, zone);
    }
    let builder = Instance::builder(service.clone(), host, port)
        .id(usable_id(&wire.service.id))
        .scope(scope(&wire.node, &wire.service))
        .weights(weights(&wire.service))
        .tags(tags)
        .metadata(meta);
    Ok(Entry::new(Arc::new(builder.build()?), status(wire.checks.iter().flatten()), None))
}

/// Where the instance is reached: its WAN address from afar, its own, else its node's.
fn address<'a>(wire: &'a WireEntry<'_>, vantage: Vantage) -> (&'a str, i64) {
    if vantage == Vantage::Foreign {
        if let Some(wan) = wire.service.tagged_addresses.as_ref().and_then(|tagged| tagged.wan.as_ref())
            && !wan.address.is_empty()
        {
            return (&wan.address, if wan.port == 0 { wire.service.port } else { wan.port });
        }
        if wire.service.address.is_empty()
            && let Some(wan) = wire.node.tagged_addresses.as_ref().and_then(|tagged| tagged.wan.as_ref())
        {
            return (wan, wire.service.port);
        }
    }
    let own = if wire.service.address.is_empty() { &wire.node.address } else { &wire.service.address };
    (own, wire.service.port)
}

/// Within what the service's id is unique: each agent has ids of its own.
fn scope(node: &WireNode<'_>, service: &WireService<'_>) -> String {
    let mut scope = format!("{}/{}", node.datacenter, node.node);
    for (name, part) in
        [("ns", &service.namespace), ("ap", &service.partition), ("peer", &service.peer_name)].into_iter()
    {
        if let Some(part) = part.as_deref().filter(|part| !part.is_empty() && *part != "default") {
            let _ = write!(scope, "/{name}={part}");
        }
    }
    scope
}

/// An id by our rules: an agent takes any text, so what is not allowed is written as `~` and its hexadecimal digits.
fn usable_id(id: &str) -> String {
    let allowed = |byte: u8| byte.is_ascii_alphanumeric() || b"._:@~-".contains(&byte);
    if id.bytes().all(allowed) {
        return id.to_owned();
    }
    id.bytes().fold(String::new(), |mut text, byte| {
        if allowed(byte) && byte != b'~' {
            text.push(char::from(byte));
        } else {
            let _ = write!(text, "~{byte:02x}");
        }
        text
    })
}

/// The weights that count while all checks pass and while one warns, within 16 bits.
fn weights(service: &WireService<'_>) -> Weights {
    let weight = |number: i64| Weight::new(u16::try_from(number.max(0)).unwrap_or(u16::MAX));
    match &service.weights {
        Some(weights) => Weights { passing: weight(weights.passing), warning: weight(weights.warning) },
        None => Weights::default(),
    }
}

/// The worst that any check says; a status that is none counts as critical.
fn status<'a, 'w: 'a>(checks: impl Iterator<Item = &'a WireCheck<'w>>) -> RegistryStatus {
    checks.map(status_of).max().unwrap_or(RegistryStatus::Unknown)
}

fn status_of(check: &WireCheck<'_>) -> RegistryStatus {
    let maintains = check.check_id == NODE_MAINTENANCE || check.check_id.starts_with(SERVICE_MAINTENANCE);
    match &*check.status {
        "passing" => RegistryStatus::Passing,
        "critical" if maintains => RegistryStatus::Maintenance,
        "warning" => RegistryStatus::Warning,
        _ => RegistryStatus::Critical,
    }
}

/// The id of the check by which a whole node is taken out of service.
pub(crate) const NODE_MAINTENANCE: &str = "_node_maintenance";
/// What the ids of the checks begin with by which one instance is taken out of service.
pub(crate) const SERVICE_MAINTENANCE: &str = "_service_maintenance:";
