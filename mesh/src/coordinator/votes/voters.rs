//! The task that runs the voters of one service.

use std::sync::Arc;

use mesh_cache::coordinator_store::CoordinatorStore;
use tokio::sync::{mpsc, watch};
use tokio::task::{JoinError, JoinSet};

use super::super::bell::Bell;
use super::voter::Voter;

/// Runs the voters of one service, one for each subject, until its owner lets them end and they have.
///
/// It alone holds the store: what breakers hold of their votes outlives a shutdown, in the caches of threads, and a connection
/// must not.
#[derive(Debug)]
pub(crate) struct Voters {
    inbox: mpsc::UnboundedReceiver<Voter>,
    store: Arc<dyn CoordinatorStore>,
    bell: Bell,
    ended: watch::Sender<()>,
}

impl Voters {
    /// Those that come through `inbox`, whose number the sender bounds, and speak with `store`.
    pub(super) fn new(inbox: mpsc::UnboundedReceiver<Voter>, store: Arc<dyn CoordinatorStore>, bell: Bell) -> Self {
        Self { inbox, store, bell, ended: watch::Sender::new(()) }
    }

    /// Closed when they have ended.
    pub(super) fn ended(&self) -> watch::Receiver<()> {
        self.ended.subscribe()
    }

    pub(crate) async fn run(mut self) {
        let owner = watch::Sender::new(());
        let mut voters = JoinSet::new();
        loop {
            tokio::select! {
                closes = self.bell.rung() => if closes {
                    break;
                },
                voter = self.inbox.recv() => match voter {
                    Some(voter) => drop(voters.spawn(voter.run(Arc::clone(&self.store), owner.subscribe()))),
                    None => break,
                },
                Some(ended) = voters.join_next(), if !voters.is_empty() => log_panic(ended),
            }
        }
        // Those that have not begun yet never will: their breakers go by themselves.
        self.inbox.close();
        drop(owner);
        while let Some(ended) = voters.join_next().await {
            log_panic(ended);
        }
    }
}

fn log_panic(ended: Result<(), JoinError>) {
    if let Err(error) = ended
        && error.is_panic()
    {
        tracing::error!(%error, "the driver of votes panicked");
    }
}
