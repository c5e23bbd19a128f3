//! What the ports of the control plane promise those who plug something in.

use std::error::Error;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use mesh_core::port::{BoxFuture, Clock, Entropy, Registry, RegistryError, Resolution, StateChange, Watch, WatchEvent};
use mesh_core::recorder::{Measurement, NoRecorder, Recorder};
use mesh_core::registration::{Part, Standing};
use mesh_core::service::{InstanceId, ServiceConfig, ServiceName};

#[test]
fn every_port_is_used_behind_a_pointer() {
    fn shared<T: ?Sized + Send + Sync>() {}
    shared::<dyn Clock>();
    shared::<dyn Entropy>();
    shared::<dyn Registry>();
    shared::<dyn Recorder>();
    let registry: Arc<dyn Registry> = Arc::new(Deaf);
    assert!(!registry.runs_checks());
}

#[test]
fn an_error_says_whether_to_try_again_and_whether_something_changed() {
    let reason: Arc<str> = "x".into();
    let source = None;
    let table = [
        (RegistryError::Unreachable { source: source.clone() }, true, StateChange::No),
        (RegistryError::Unavailable { reason: reason.clone(), source: source.clone() }, true, StateChange::Maybe),
        (RegistryError::Timeout { after: Duration::from_secs(5) }, true, StateChange::Maybe),
        (RegistryError::Throttled { reason: reason.clone(), retry_after: None }, true, StateChange::No),
        (RegistryError::Refused { reason: reason.clone(), source: source.clone() }, false, StateChange::Maybe),
        (RegistryError::Partial { reason: reason.clone(), source: source.clone() }, false, StateChange::Yes),
        (RegistryError::AccessDenied { reason: reason.clone() }, false, StateChange::No),
        (RegistryError::Invalid { reason: reason.clone() }, false, StateChange::No),
        (RegistryError::Unsupported { operation: "registration" }, false, StateChange::No),
        (RegistryError::Malformed { reason, source }, false, StateChange::Maybe),
        (RegistryError::Closed, false, StateChange::No),
    ];
    for (error, transient, changed) in table {
        assert_eq!((error.is_transient(), error.state_changed()), (transient, changed), "{error:?}");
    }
}

#[test]
fn an_error_keeps_its_source_and_shows_foreign_words_harmlessly() {
    let source = Arc::new(std::io::Error::other("connection reset"));
    let error = RegistryError::Unavailable { reason: "no\r\nleader\u{1b}[31m".into(), source: Some(source) };
    assert_eq!(error.source().map(ToString::to_string).as_deref(), Some("connection reset"));
    assert_eq!(error.to_string(), r"the registry is unavailable: no\r\nleader\u{1b}[31m");
    let flood = RegistryError::Refused { reason: "a".repeat(5000).into(), source: None };
    assert!(flood.to_string().chars().count() < 300);
}

#[test]
fn a_recorder_may_be_shared_and_the_default_one_does_nothing() {
    let service = ServiceName::try_from("api").unwrap();
    let heard = Arc::new(Heard::default());
    let recorders: [Arc<dyn Recorder>; 2] = [Arc::clone(&heard) as Arc<dyn Recorder>, Arc::new(NoRecorder)];
    for recorder in recorders {
        recorder.record(&Measurement::PickRefused { service: &service, reason: "none-healthy" });
        recorder.record(&Measurement::Registration { service: &service, event: "registered" });
    }
    let heard = heard.0.lock().unwrap().clone();
    let api = Some("api".to_owned());
    assert_eq!(heard, [("mesh.lb.refusals", api.clone()), ("mesh.registration.events", api)]);
}

#[derive(Debug, Default)]
struct Heard(Mutex<Vec<(&'static str, Option<String>)>>);

impl Recorder for Heard {
    fn record(&self, measurement: &Measurement<'_>) {
        let heard = (measurement.name(), measurement.service().map(ToString::to_string));
        self.0.lock().unwrap_or_else(PoisonError::into_inner).push(heard);
    }
}

/// A registry that answers nothing.
#[derive(Debug)]
struct Deaf;

impl Registry for Deaf {
    fn register<'a>(&'a self, _: &'a ServiceConfig) -> BoxFuture<'a, Result<(), RegistryError>> {
        Box::pin(core::future::pending())
    }

    fn deregister<'a>(
        &'a self,
        _: &'a ServiceName,
        _: &'a InstanceId,
        _: Part,
    ) -> BoxFuture<'a, Result<(), RegistryError>> {
        Box::pin(core::future::pending())
    }

    fn inspect<'a>(&'a self, _: &'a ServiceConfig) -> BoxFuture<'a, Result<Standing, RegistryError>> {
        Box::pin(core::future::pending())
    }

    fn resolve<'a>(&'a self, _: &'a ServiceName) -> BoxFuture<'a, Result<Resolution, RegistryError>> {
        Box::pin(core::future::pending())
    }

    fn watch(&self, _: &ServiceName) -> Box<dyn Watch> {
        Box::new(Self)
    }

    fn runs_checks(&self) -> bool {
        false
    }
}

impl Watch for Deaf {
    fn next(&mut self) -> BoxFuture<'_, WatchEvent> {
        Box::pin(core::future::pending())
    }
}
