//! What the machine of a subject reports, as log lines and as measurements.

use std::sync::Arc;

use mesh_core::recorder::{Measurement, Recorder};
use mesh_core::service::{InstanceId, ServiceName};
use mesh_retry::coordinator::votes::VotesEvent;
use tokio::task::JoinError;
use tracing::field::display;

/// Tells what becomes of the votes on one service, or on one of its instances.
#[derive(Debug)]
pub(super) struct Telling {
    pub(super) service: ServiceName,
    pub(super) instance: Option<InstanceId>,
    pub(super) recorder: Arc<dyn Recorder>,
}

impl Telling {
    pub(super) fn tell(&self, event: VotesEvent) {
        let (service, instance) = (&self.service, self.instance.as_ref());
        let shown = instance.map(display);
        match event {
            VotesEvent::Counted { live, open, latency } => {
                self.recorder.record(&Measurement::VoteCounted { service, instance, live, open, latency });
            }
            VotesEvent::Quorum { live, open } => {
                tracing::info!(%service, instance = shown, live, open, "enough processes find it open");
                self.changed(true, "store");
            }
            VotesEvent::NoQuorum { by_store } => {
                let by = if by_store { "store" } else { "silence" };
                tracing::info!(%service, instance = shown, by, "too few processes are known to find it open");
                self.changed(false, by);
            }
            VotesEvent::Probe { right } => {
                let right = right.name();
                tracing::debug!(%service, instance = shown, right, "whose turn it is to try");
                self.recorder.record(&Measurement::ProbeRight { service, instance, right });
            }
            VotesEvent::Failed { failure } => {
                let failure = failure.name();
                tracing::debug!(%service, instance = shown, failure, "the store did not answer a vote or a question");
                self.recorder.record(&Measurement::VoteFailed { service, instance, failure });
            }
            other => tracing::info!(%service, instance = shown, ?other, "votes event"),
        }
    }

    fn changed(&self, quorum: bool, by: &'static str) {
        let (service, instance) = (&self.service, self.instance.as_ref());
        self.recorder.record(&Measurement::EvidenceChanged { service, instance, quorum, by });
    }

    pub(super) fn panicked(&self, error: &JoinError) {
        let instance = self.instance.as_ref().map(display);
        tracing::error!(service = %self.service, instance, %error, "the coordinator's store panicked");
    }
}
