//! Feeds the service's own word of its readiness to the registry, for one instance.

use std::sync::Arc;
use std::time::Duration;

use mesh_core::health::own::{OwnState, OwnStatus};
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
    let mut told = None;
    loop {
        let word = word(&mut health);
        if word != told && say(&*registry, &config, word.as_ref()).await {
            told = word.clone();
        }
        let retry = async {
            if told == word {
                std::future::pending::<()>().await;
            }
            tokio::time::sleep(RETRY).await;
        };
        tokio::select! {
            changed = health.changed() => if changed.is_err() { return },
            () = shown.notified() => told = None,
            () = retry => {}
        }
    }
}

/// Says the word as it is now, if there is one.
pub(crate) async fn report(registry: &dyn Registry, config: &ServiceConfig, health: &mut watch::Receiver<OwnState>) {
    say(registry, config, word(health).as_ref()).await;
}

/// How the service is, and one line of why.
type Word = (OwnStatus, String);

fn word(health: &mut watch::Receiver<OwnState>) -> Option<Word> {
    let state = health.borrow_and_update();
    state.judged.then(|| (state.readiness.status, state.readiness.summary()))
}

/// Returns whether the registry has the word.
async fn say(registry: &dyn Registry, config: &ServiceConfig, word: Option<&Word>) -> bool {
    let Some((status, note)) = word else { return true };
    let (service, instance) = (config.service(), config.id());
    match tokio::time::timeout(REPORT_TIMEOUT, registry.report_health(service, instance, *status, note)).await {
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
