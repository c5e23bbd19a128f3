//! What must be as before once nothing goes wrong any more.

use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::Duration;

use mesh_cache::Freshness;
use mesh_testkit::RedisServer;
use mesh_testkit::redis::Reply;

use crate::Failure;
use crate::judge::Judge;
use crate::origin::{Origin, ROWS, TAGS};
use crate::process::Process;

/// What must not grow.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Belongings {
    /// Connections to the server.
    pub(crate) connections: usize,
    /// Tasks of this runtime.
    pub(crate) tasks: usize,
    /// Entries of all caches.
    pub(crate) entries: u64,
    /// Keys of the server, and those among them that never expire.
    pub(crate) keys: usize,
    pub(crate) keys_for_ever: usize,
}

/// The most keys that the server may have: an entry and a watermark a row, a watermark a tag, a branch, and for all.
pub(crate) const KEYS_MAX: usize = 2 * ROWS + TAGS + ROWS + 1;

impl Belongings {
    pub(crate) async fn count(server: &RedisServer, processes: &[Arc<Process>]) -> Result<Self, Failure> {
        let clients = server.command(&["CLIENT", "LIST"]).await?.accepted()?;
        // Who asks is one of them.
        let connections = clients.text().unwrap_or_default().lines().count().saturating_sub(1);
        let mut connection = server.connect().await?;
        let keys = connection.command(&["KEYS", "*"]).await?.accepted()?;
        let mut keys_for_ever = 0;
        for key in keys.items().iter().filter_map(Reply::text) {
            let left = connection.command(&["PTTL", key]).await?.accepted()?;
            keys_for_ever += usize::from(left.integer() == Some(-1));
        }
        let tasks = tokio::runtime::Handle::current().metrics().num_alive_tasks();
        let entries = processes.iter().map(|one| one.cache.stats().entries).sum();
        Ok(Self { connections, tasks, entries, keys: keys.items().len(), keys_for_ever })
    }

    /// Whether nothing is left over beyond what there was.
    pub(crate) const fn is_within(&self, before: &Self) -> bool {
        self.connections == before.connections
            && self.tasks <= before.tasks
            && self.entries == before.entries
            && self.keys <= KEYS_MAX
            && self.keys_for_ever == 0
    }

    /// Waits until nothing is left over; false where something is after `within`.
    pub(crate) async fn return_to(
        before: &Self,
        within: Duration,
        server: &RedisServer,
        processes: &[Arc<Process>],
    ) -> Result<Self, Failure> {
        let mut after = Self::count(server, processes).await?;
        let waiting = async {
            while !after.is_within(before) {
                tokio::time::sleep(Duration::from_millis(50)).await;
                after = Self::count(server, processes).await?;
            }
            Ok::<_, Failure>(())
        };
        if let Ok(counted) = tokio::time::timeout(within, waiting).await {
            counted?;
        }
        Ok(after)
    }
}

/// Waits until every process hears, and is served every row fresh and as the origin has it; says who is not where that
/// is not so in time.
pub(crate) async fn settle(origin: &Origin, processes: &[Arc<Process>], within: Duration) -> Vec<String> {
    let mut unsettled = Vec::new();
    let settling = async {
        // Whoever begins to hear tells the others once more what it had told: they may have agreed too early.
        let mut agreed = 0;
        while agreed < 2 {
            tokio::time::sleep(Duration::from_millis(50)).await;
            unsettled = disagreements(origin, processes).await;
            agreed = if unsettled.is_empty() { agreed + 1 } else { 0 };
        }
    };
    if tokio::time::timeout(within, settling).await.is_ok() { Vec::new() } else { unsettled }
}

async fn disagreements(origin: &Origin, processes: &[Arc<Process>]) -> Vec<String> {
    let deaf = processes.iter().filter(|process| !process.cache.is_hearing());
    let mut found: Vec<String> = deaf.map(|process| format!("process {} hears nothing", process.index)).collect();
    for process in processes {
        for row in 0..ROWS {
            let wrong = match process.read(row, false).await.outcome {
                Ok(Some(served)) if served.freshness != Freshness::Fresh => served.freshness.name(),
                Ok(Some(served)) if served.item.version != origin.version(row) => "of another version",
                Ok(Some(_)) => continue,
                Ok(None) => "absent",
                Err(_) => "not served",
            };
            found.push(format!("process {}: row {row} is {wrong}", process.index));
        }
    }
    found
}

/// Takes away the server and the origin, with everything cached: no call may fail.
pub(crate) async fn black_out(server: &mut RedisServer, judge: &Judge) {
    judge.is_warm.store(true, Ordering::SeqCst);
    judge.origin.set_failing(true);
    server.kill();
    tokio::time::sleep(BLACK_OUT).await;
    judge.origin.set_failing(false);
    // What was told lately is told again, so entries go, and keys whose loads failed are left alone for a while.
    judge.is_warm.store(false, Ordering::SeqCst);
    server.start_again().await;
}

/// Longer than an entry goes without a renewal when nothing is heard.
const BLACK_OUT: Duration = Duration::from_secs(3);
