//! Feeds the service's own word of its readiness to the registry, for one instance.

use std::sync::Arc;
use std::time::Duration;

use mesh_core::health::own::OwnState;
use mesh_core::port::Registry;
use mesh_core::service::ServiceConfig;
use tokio::sync::{Notify, watch};

/// Tells the registry whenever the word changes, and whenever `shown` says that the registry shows the instance anew.
///
/// Ends when nobody judges any more. Dropped, it says nothing more.
pub(crate) async fn feed(
    registry: Arc<dyn Registry>,
    config: Arc<ServiceConfig>,
    mut health: watch::Receiver<OwnState>,
    shown: Arc<Notify>,
) {
    // What it begins with is said with the registration.
    shown.notified().await;
    loop {
        let told = report(&*registry, &config, &mut health).await;
        let retry = async {
            if told {
                std::future::pending::<()>().await;
            }
            tokio::time::sleep(RETRY).await;
        };
        tokio::select! {
            changed = health.changed() => if changed.is_err() { return },
            () = shown.notified() => {}
            () = retry => {}
        }
    }
}

/// Says the word as it is now, if there is one; returns whether the registry has it.
pub(crate) async fn report(
    registry: &dyn Registry,
    config: &ServiceConfig,
    health: &mut watch::Receiver<OwnState>,
) -> bool {
    let readiness = {
        let state = health.borrow_and_update();
        if !state.judged {
            return true;
        }
        state.readiness.clone()
    };
    let (service, instance, note) = (config.service(), config.id(), readiness.summary());
    let told = registry.report_health(service, instance, readiness.status, &note);
    match tokio::time::timeout(REPORT_TIMEOUT, told).await {
        // That nobody hears of it is no reason to say it again.
        Ok(Ok(_)) => true,
        Ok(Err(error)) => {
            tracing::warn!(%service, %instance, %error, "the registry did not take the service's own health");
            false
        }
        Err(_) => {
            tracing::warn!(%service, %instance, "the registry did not take the service's own health in time");
            false
        }
    }
}

/// A registry that hangs must not hold a registration up.
const REPORT_TIMEOUT: Duration = Duration::from_secs(2);
const RETRY: Duration = Duration::from_secs(1);
