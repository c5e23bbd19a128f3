//! What is thought of an instance's health.

/// What active checks say of an instance.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
#[non_exhaustive]
pub enum Health {
    /// No check has ended yet. It may be picked: a fleet that has just been discovered is not an outage.
    #[default]
    Unknown,
    /// It answers as it should.
    Healthy,
    /// It answers that it is close to its limits (HTTP 429). It may be picked.
    Degraded,
    /// It does not answer as it should, for as many checks in a row as the threshold says.
    Unhealthy,
}

impl Health {
    /// Its name in metrics and logs.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::Unknown => "unknown",
            Self::Healthy => "healthy",
            Self::Degraded => "degraded",
            Self::Unhealthy => "unhealthy",
        }
    }
}
