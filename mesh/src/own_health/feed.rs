//! Feeds the service's own word of its readiness to the registry, for one instance.

use std::sync::Arc;
use std::time::Duration;

use mesh_core::health::own::{OwnState, OwnStatus};
use mesh_core::port::{Registry, RegistryError};
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
        if word != told && say(&*registry, &config, word.as_ref(), PATIENCE_MAX).await == Said::Heard {
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

/// Registers `config` with the word as it is then, if there is one, and answers what the registry did.
///
/// Said before, so that an instance that is not ready does not begin as if it were; and after, where there was no entry yet
/// that could show it. One that `begins` without a word is up: what a predecessor of its id said last is none of its own.
/// The two may take half of `timeout` together, so that as much is left for the registration.
pub(crate) async fn register(
    registry: &dyn Registry,
    config: &ServiceConfig,
    health: &mut watch::Receiver<OwnState>,
    begins: bool,
    timeout: Duration,
) -> Result<(), RegistryError> {
    let patience = (timeout / 4).min(PATIENCE_MAX);
    let first = word(health).or_else(|| begins.then(|| (OwnStatus::Up, String::new())));
    let said = say(registry, config, first.as_ref(), patience).await;
    registry.register(config).await?;
    // One that did not listen in time is told later.
    if said != Said::Late {
        say(registry, config, word(health).as_ref(), patience).await;
    }
    Ok(())
}

/// How the service is, and one line of why.
type Word = (OwnStatus, String);

fn word(health: &mut watch::Receiver<OwnState>) -> Option<Word> {
    let state = health.borrow_and_update();
    state.judged.then(|| (state.readiness.status, state.readiness.summary()))
}

/// What became of a word.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Said {
    /// The registry has it, or there was none.
    Heard,
    Refused,
    /// The registry did not answer in time.
    Late,
}

/// Says `word` to a registry that is waited for that long.
async fn say(registry: &dyn Registry, config: &ServiceConfig, word: Option<&Word>, patience: Duration) -> Said {
    let Some((status, note)) = word else { return Said::Heard };
    let (service, instance) = (config.service(), config.id());
    match tokio::time::timeout(patience, registry.report_health(service, instance, *status, note)).await {
        // That nobody hears of it is no reason to say it again.
        Ok(Ok(_)) => Said::Heard,
        Ok(Err(error)) => {
            tracing::warn!(%service, %instance, %error, "the registry did not take the service's own health");
            Said::Refused
        }
        Err(_) => {
            tracing::warn!(%service, %instance, "the registry did not take the service's own health in time");
            Said::Late
        }
    }
}

/// The longest that one word may take.
const PATIENCE_MAX: Duration = Duration::from_secs(2);
const RETRY: Duration = Duration::from_secs(1);
