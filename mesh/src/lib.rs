#![doc = include_str!("../README.md")]

mod builder;
mod call;
mod config;
mod coordinator;
mod driver;
mod error;
mod lease;
mod local;
mod memory;
pub mod operations;
pub mod own_health;
pub mod probe;
mod recorder;
mod registration;
pub mod registry;
mod service;
mod service_health;
mod service_mesh;

pub use builder::ServiceMeshBuilder;
pub use call::{Attempt, CallPolicy, CallsConfig, IncomingCall};
pub use config::MeshConfig;
pub use error::{BuildError, CallError, DeregisterError, RegisterError, ServiceError};
pub use lease::Lease;
pub use memory::MemoryConfig;
pub use mesh_cache;
pub use mesh_cache::{Dial, Environment, OsEntropy, Stream, SystemWallClock, TcpDial, TokioClock, WallClock};
#[cfg(feature = "consul")]
pub use mesh_consul;
#[cfg(feature = "consul")]
pub use mesh_consul::ConsulRegistry;
pub use mesh_core;
pub use mesh_core::balance::{BalancerStats, Outcome, PickContext, PickError, Route, Strategy};
pub use mesh_core::service::{HealthCheck, Instance, InstanceId, ServiceConfig, ServiceName};
pub use mesh_retry;
pub use mesh_retry::classify::Class;
pub use mesh_retry::policy::RetryPolicy;
pub use operations::{Begun, Claim, OperationError, Operations};
pub use own_health::HealthRegistry;
pub use probe::{CustomCheck, ProbeTlsConfig};
pub use recorder::TracingRecorder;
pub use registration::{Registration, UpdateRegistrationError};
pub use service::{CachedService, Source};
pub use service_health::{InstanceHealth, ServiceHealth};
pub use service_mesh::{ServiceMesh, ShutdownReport};
