//! What goes wrong, to whom and when.

use core::time::Duration;

use serde::{Deserialize, Serialize};

use super::Distribution;

/// A fault: something that is so from a time on, for a time.
///
/// It changes what starts after it; work in service keeps its time. Of two of one kind that overlap on one target
/// the later wins.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
#[serde(deny_unknown_fields)]
#[non_exhaustive]
pub struct Fault {
    /// From when.
    #[serde(with = "mesh_core::text::duration")]
    #[cfg_attr(feature = "schema", schemars(with = "super::schema::Span"))]
    pub at: Duration,
    /// For how long; without it until the end.
    #[serde(
        rename = "for",
        default,
        with = "mesh_core::text::maybe_duration",
        skip_serializing_if = "Option::is_none"
    )]
    #[cfg_attr(feature = "schema", schemars(with = "Option<super::schema::Span>"))]
    pub lasts: Option<Duration>,
    /// To whom; nobody for an outage of the registry or of the store.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub target: Option<Target>,
    /// What.
    pub fault: FaultKind,
}

/// Whom a fault is aimed at.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema), schemars(with = "TargetTable"))]
#[serde(try_from = "TargetTable", into = "TargetTable")]
#[non_exhaustive]
pub enum Target {
    /// Every server of a group.
    Group(String),
    /// One server of a group.
    Server {
        /// The group.
        group: String,
        /// Its place in the group, from 0.
        index: u32,
    },
    /// The first round(fraction × count) servers of a group.
    Fraction {
        /// The group.
        group: String,
        /// 0 to 1.
        fraction: f64,
    },
    /// Every server of a zone.
    Zone(String),
    /// Every client.
    Clients,
}

/// What goes wrong.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
#[serde(rename_all = "kebab-case", deny_unknown_fields)]
#[non_exhaustive]
pub enum FaultKind {
    /// Connections are refused; queue and work in service are lost; it is empty on return.
    Crash,
    /// It accepts and never answers.
    Hang,
    /// Requests that start take this long.
    ServiceTime(Distribution),
    /// Requests that start take `factor` times as long.
    Slowdown {
        /// Above 0.
        #[cfg_attr(feature = "schema", schemars(extend("exclusiveMinimum" = 0)))]
        factor: f64,
    },
    /// A share of the attempts that arrive is answered with an error, without queue or worker.
    Errors {
        /// The share: 0 to 1.
        #[cfg_attr(feature = "schema", schemars(range(min = 0.0, max = 1.0)))]
        rate: f64,
        /// After how long.
        #[serde(default, with = "mesh_core::text::duration")]
        #[cfg_attr(feature = "schema", schemars(with = "super::schema::Span"))]
        latency: Duration,
    },
    /// Messages are lost.
    Partition {
        /// Which ones, as seen from the target.
        #[serde(default)]
        direction: Direction,
    },
    /// Messages take longer.
    Latency {
        /// By how much, each way.
        #[serde(with = "mesh_core::text::duration")]
        #[cfg_attr(feature = "schema", schemars(with = "super::schema::Span"))]
        add: Duration,
    },
    /// A share of the messages is lost.
    Loss {
        /// The share: 0 to 1.
        #[cfg_attr(feature = "schema", schemars(range(min = 0.0, max = 1.0)))]
        rate: f64,
    },
    /// The process stops, then goes on.
    Pause,
    /// Crashes and returns, again and again; starts down.
    Flap {
        /// How long it is up.
        #[serde(with = "mesh_core::text::duration")]
        #[cfg_attr(feature = "schema", schemars(with = "super::schema::Span"))]
        up: Duration,
        /// How long it is down.
        #[serde(with = "mesh_core::text::duration")]
        #[cfg_attr(feature = "schema", schemars(with = "super::schema::Span"))]
        down: Duration,
    },
    /// Active checks fail while requests succeed.
    ChecksFail,
    /// Active checks succeed while requests fail.
    ChecksPass,
    /// The target is absent before `at`.
    Join,
    /// It leaves the registry, finishes its work and takes no more.
    Drain,
    /// It leaves the registry and still serves.
    Deregister,
    /// Clients hear nothing from the registry.
    RegistryOutage,
    /// Nothing gets to the coordinator's store or back; it keeps what it knows.
    StoreOutage,
    /// The clients' clocks are ahead.
    ClockSkew {
        /// By how much.
        #[serde(with = "mesh_core::text::duration")]
        #[cfg_attr(feature = "schema", schemars(with = "super::schema::Span"))]
        by: Duration,
    },
}

/// Which messages a partition takes, as seen from its target.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
#[serde(rename_all = "kebab-case")]
pub enum Direction {
    /// All.
    #[default]
    Both,
    /// Those to it.
    In,
    /// Those from it.
    Out,
}

impl Fault {
    /// `kind` from `at` until the end.
    #[must_use]
    pub const fn new(at: Duration, target: Target, kind: FaultKind) -> Self {
        Self { at, lasts: None, target: Some(target), fault: kind }
    }

    /// An outage of the registry from `at` until the end.
    #[must_use]
    pub const fn registry_outage(at: Duration) -> Self {
        Self { at, lasts: None, target: None, fault: FaultKind::RegistryOutage }
    }

    /// An outage of the coordinator's store from `at` until the end.
    #[must_use]
    pub const fn store_outage(at: Duration) -> Self {
        Self { at, lasts: None, target: None, fault: FaultKind::StoreOutage }
    }

    /// Ends it after `lasts`.
    #[must_use]
    pub const fn lasting(mut self, lasts: Duration) -> Self {
        self.lasts = Some(lasts);
        self
    }
}

impl FaultKind {
    /// Its name in files.
    #[must_use]
    pub const fn name(&self) -> &'static str {
        match self {
            Self::Crash => "crash",
            Self::Hang => "hang",
            Self::ServiceTime(_) => "service-time",
            Self::Slowdown { .. } => "slowdown",
            Self::Errors { .. } => "errors",
            Self::Partition { .. } => "partition",
            Self::Latency { .. } => "latency",
            Self::Loss { .. } => "loss",
            Self::Pause => "pause",
            Self::Flap { .. } => "flap",
            Self::ChecksFail => "checks-fail",
            Self::ChecksPass => "checks-pass",
            Self::Join => "join",
            Self::Drain => "drain",
            Self::Deregister => "deregister",
            Self::RegistryOutage => "registry-outage",
            Self::StoreOutage => "store-outage",
            Self::ClockSkew { .. } => "clock-skew",
        }
    }
}

/// A target as files spell it.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[cfg_attr(
    feature = "schema",
    derive(schemars::JsonSchema),
    schemars(extend("oneOf" = [{ "required": ["group"] }, { "required": ["zone"] }, { "required": ["clients"] }]))
)]
#[serde(default, deny_unknown_fields)]
struct TargetTable {
    /// The group of servers.
    #[serde(skip_serializing_if = "Option::is_none")]
    group: Option<String>,
    /// The place of one server in the group, from 0.
    #[serde(skip_serializing_if = "Option::is_none")]
    index: Option<u32>,
    /// The first round(fraction × count) servers of the group.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[cfg_attr(feature = "schema", schemars(range(min = 0.0, max = 1.0)))]
    fraction: Option<f64>,
    /// Every server of this zone.
    #[serde(skip_serializing_if = "Option::is_none")]
    zone: Option<String>,
    /// Every client.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[cfg_attr(feature = "schema", schemars(extend("const" = "all")))]
    clients: Option<String>,
}

impl TryFrom<TargetTable> for Target {
    type Error = &'static str;

    fn try_from(table: TargetTable) -> Result<Self, Self::Error> {
        let TargetTable { group, index, fraction, zone, clients } = table;
        match (group, index, fraction, zone, clients.as_deref()) {
            (Some(group), None, None, None, None) => Ok(Self::Group(group)),
            (Some(group), Some(index), None, None, None) => Ok(Self::Server { group, index }),
            (Some(group), None, Some(fraction), None, None) => Ok(Self::Fraction { group, fraction }),
            (None, None, None, Some(zone), None) => Ok(Self::Zone(zone)),
            (None, None, None, None, Some("all")) => Ok(Self::Clients),
            _ => Err("must be { group }, { group, index }, { group, fraction }, { zone } or { clients = \"all\" }"),
        }
    }
}

impl From<Target> for TargetTable {
    fn from(target: Target) -> Self {
        let none = Self::default();
        match target {
            Target::Group(group) => Self { group: Some(group), ..none },
            Target::Server { group, index } => Self { group: Some(group), index: Some(index), ..none },
            Target::Fraction { group, fraction } => Self { group: Some(group), fraction: Some(fraction), ..none },
            Target::Zone(zone) => Self { zone: Some(zone), ..none },
            Target::Clients => Self { clients: Some("all".into()), ..none },
        }
    }
}
