//! The vocabulary: what a service, an instance and a health check are, each valid by construction.
//!
//! Text and numbers are parsed where they enter, with errors that name field, value and rule, and never looked
//! at again. Consul's limits hold for every registry, so that moving to it breaks nothing; what Consul would
//! silently change is refused. Nothing here resolves names or connects anywhere.

mod check;
mod check_builder;
mod check_expect;
mod check_http;
mod check_rules;
mod config;
mod error;
mod host;
mod instance;
mod meta;
mod name;
mod path;
#[cfg(feature = "serde")]
mod table;
mod tag;
pub(crate) mod text;
mod version;
mod weight;

pub use check::{CheckKind, CheckRunner, CheckStanding, GrpcCheck, GrpcService, HealthCheck};
pub use check_builder::HealthCheckBuilder;
pub use check_http::{BodyPart, CheckMethod, HeaderName, HeaderValue, HttpCheck, StatusRange};
pub use config::{ServiceConfig, ServiceConfigBuilder};
pub(crate) use error::Problems;
pub use error::{ConfigError, ESCAPED_CHARS_MAX, Problem, escape, escape_to};
pub use host::{Host, is_forbidden_target};
pub use instance::{Instance, InstanceBuilder, META_VERSION, META_ZONE};
pub use meta::Meta;
pub use name::{InstanceId, InstanceKey, Scope, ServiceName, Zone};
pub use path::CheckPath;
pub use tag::{Tag, Tags};
pub use version::Version;
pub use weight::{Port, Weight, Weights};
