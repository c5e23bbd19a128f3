//! The JSON of health answers, as far as it is read.
//!
//! Every list and table may be null, numbers are read wide, unknown fields are passed over: external nodes, older
//! and newer versions differ in what they send.

use std::borrow::Cow;
use std::collections::BTreeMap;

use serde::Deserialize;
use serde_json::value::RawValue;

/// Text that is borrowed where it has no escapes, also within lists and tables, where a plain [`Cow`] would be copied.
#[derive(Deserialize, PartialEq, Eq, PartialOrd, Ord)]
#[serde(transparent)]
pub(super) struct Text<'a>(#[serde(borrow)] pub(super) Cow<'a, str>);

/// One element of `/v1/health/service`.
#[derive(Deserialize)]
#[serde(rename_all = "PascalCase")]
pub(super) struct WireEntry<'a> {
    #[serde(borrow)]
    pub(super) node: WireNode<'a>,
    #[serde(borrow)]
    pub(super) service: WireService<'a>,
    #[serde(borrow, default)]
    pub(super) checks: Option<Vec<WireCheck<'a>>>,
}

impl WireEntry<'_> {
    /// The zone that the newer versions' locality names, or the node's metadata.
    pub(super) fn zone(&self) -> Option<&str> {
        let localities = [&self.service.locality, &self.node.locality];
        let named = localities.into_iter().flatten().find_map(|locality| locality.zone.as_deref());
        let node = || self.node.meta.as_ref().and_then(|meta| meta.zone.as_deref());
        named.or_else(node)
    }
}

#[derive(Deserialize)]
#[serde(rename_all = "PascalCase")]
pub(super) struct WireNode<'a> {
    #[serde(borrow)]
    pub(super) node: Cow<'a, str>,
    #[serde(borrow, default)]
    pub(super) address: Cow<'a, str>,
    #[serde(borrow, default)]
    pub(super) datacenter: Cow<'a, str>,
    #[serde(borrow, default)]
    pub(super) tagged_addresses: Option<WireNodeAddresses<'a>>,
    #[serde(borrow, default)]
    meta: Option<WireNodeMeta<'a>>,
    #[serde(borrow, default)]
    locality: Option<WireLocality<'a>>,
}

/// Only what is read of a node's addresses and metadata: a list has thousands.
#[derive(Deserialize)]
pub(super) struct WireNodeAddresses<'a> {
    #[serde(borrow, default)]
    pub(super) wan: Option<Cow<'a, str>>,
}

#[derive(Deserialize)]
struct WireNodeMeta<'a> {
    #[serde(borrow, default)]
    zone: Option<Cow<'a, str>>,
}

#[derive(Deserialize)]
#[serde(rename_all = "PascalCase")]
pub(super) struct WireService<'a> {
    #[serde(borrow, rename = "ID")]
    pub(super) id: Cow<'a, str>,
    #[serde(borrow, default)]
    pub(super) tags: Option<Vec<Text<'a>>>,
    #[serde(borrow, default)]
    pub(super) address: Cow<'a, str>,
    #[serde(borrow, default)]
    pub(super) tagged_addresses: Option<WireAddresses<'a>>,
    #[serde(borrow, default)]
    pub(super) meta: Option<BTreeMap<Text<'a>, Text<'a>>>,
    #[serde(default)]
    pub(super) port: i64,
    #[serde(default)]
    pub(super) weights: Option<WireWeights>,
    #[serde(borrow, default)]
    pub(super) namespace: Option<Cow<'a, str>>,
    #[serde(borrow, default)]
    pub(super) partition: Option<Cow<'a, str>>,
    #[serde(borrow, default)]
    pub(super) peer_name: Option<Cow<'a, str>>,
    #[serde(borrow, default)]
    locality: Option<WireLocality<'a>>,
}

#[derive(Deserialize)]
pub(super) struct WireAddresses<'a> {
    #[serde(borrow, default)]
    pub(super) wan: Option<WireAddress<'a>>,
}

#[derive(Deserialize)]
pub(super) struct WireAddress<'a> {
    // Consul reads its own JSON without regard to case, and its documentation and old versions write lower case.
    #[serde(borrow, default, rename = "Address", alias = "address")]
    pub(super) address: Cow<'a, str>,
    #[serde(default, rename = "Port", alias = "port")]
    pub(super) port: i64,
}

#[derive(Deserialize)]
#[serde(rename_all = "PascalCase")]
pub(super) struct WireWeights {
    #[serde(default)]
    pub(super) passing: i64,
    #[serde(default)]
    pub(super) warning: i64,
}

#[derive(Deserialize)]
#[serde(rename_all = "PascalCase")]
struct WireLocality<'a> {
    #[serde(borrow, default)]
    zone: Option<Cow<'a, str>>,
}

#[derive(Deserialize)]
#[serde(rename_all = "PascalCase")]
pub(super) struct WireCheck<'a> {
    #[serde(borrow, rename = "CheckID", default)]
    pub(super) check_id: Cow<'a, str>,
    #[serde(borrow, default)]
    pub(super) status: Cow<'a, str>,
}

/// The answer of a prepared query.
#[derive(Deserialize)]
#[serde(rename_all = "PascalCase")]
pub(super) struct WireQuery<'a> {
    #[serde(borrow, default)]
    pub(super) nodes: Option<Vec<&'a RawValue>>,
    #[serde(default)]
    pub(super) failovers: u64,
}
