//! Redis as the store that processes share.

use std::fmt;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use ::redis::Value;
use mesh_core::port::BoxFuture;
use mesh_core::service::ConfigError;
use mesh_retry::coordinator::store::{Finish, RESULT_BYTES_MAX, StateKey, StoreCommand, StoreFailure, StoreReply};

use super::CoordinatorStore;
use super::call::{Calls, ScriptCall};
use super::reply::{self, RESULT_LIMITS};
use crate::env::Environment;
use crate::redis::{RedisClient, RedisConfig, RedisError};
use crate::seal::{Header, Nonces, Place, Sealer};
use crate::second::check_prefix;

/// Redis as the store that processes share: one script for each command, which is one step there, at the server's time.
///
/// Keys are `{prefix}:v1:{{hash}}:…`, of one slot for all that belongs to one budget, counter, operation or subject; each
/// has a lifetime. The server may be shared with a [`RedisTier`](crate::redis::RedisTier) of the same prefix. It must evict
/// nothing (`maxmemory-policy noeviction`): a budget that is evicted starts full again, and an operation is carried out again.
///
/// It needs Redis 6.2 and these rights, for the prefix `mesh` (in a cluster `+cluster|slots +asking` besides, behind
/// sentinels `+role`); a server that must not learn scripts from its users can be taught them beforehand, in place of
/// `+script|load`:
///
/// ```text
/// resetkeys ~mesh:v1:{* resetchannels -@all +hello +auth +ping +evalsha +script|load +time +pttl +pexpire +del
/// +get +set +hget +hmget +hset +zadd +zcard +zrem +zremrangebyscore
/// ```
///
/// # What it counts
/// Epochs and counts of requests above 2^53 are taken for 2^53 - 1. A lease, a vote and a turn to try a subject last an hour
/// at most, and a millisecond at least; a result is kept for 30 days at most. A budget starts full when nobody has settled with
/// it for [so long](mesh_retry::coordinator::store::Settle::bucket_kept_for).
///
/// # What is not known
/// A call that is not answered within the deadline is [`StoreFailure::Unknown`], as is one whose connection ended before the
/// answer, and one whose reply makes no sense. Nothing is sent a second time but what the server says it has not done: a
/// script that it does not know, a slot that is another node's.
///
/// # Failover
/// The master that sentinels name, and the nodes of a cluster, are followed through failovers; a URL of one server is that
/// server for ever. A failover may lose what was answered just before: then a budget grants that once more, a burst at most
/// each time, a number of a counter is given twice and an operation begins twice, the second time with a greater fence.
#[derive(Clone)]
pub struct RedisCoordinator {
    client: RedisClient,
    calls: Arc<Calls>,
    sealer: Sealer,
    nonces: Arc<Nonces>,
    environment: Environment,
    deadline: Duration,
    counts: Arc<Counts>,
}

/// What became of the commands so far.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
#[non_exhaustive]
pub struct CoordinatorStats {
    /// They were carried out.
    pub done: u64,
    /// They certainly were not.
    pub not_done: u64,
    /// Nobody knows.
    pub unknown: u64,
    /// Results that were found, and that nobody with a key had sealed for their operation; and those that were missing, or
    /// too long to be one. They are among what was carried out: see [`Begun::Unreadable`](mesh_retry::coordinator::store::Begun::Unreadable).
    pub unsealed: u64,
}

#[derive(Debug, Default)]
struct Counts {
    done: AtomicU64,
    not_done: AtomicU64,
    unknown: AtomicU64,
    unsealed: AtomicU64,
}

impl RedisCoordinator {
    /// Begins to connect; must be called within a tokio runtime. `prefix` is what all keys begin with: 1 to 64 letters,
    /// digits, `-`, `_` and `:`. Calls take [`RedisConfig::write_deadline`] at most.
    ///
    /// # Errors
    /// What is wrong with `prefix` or `config`, the files that it names included.
    pub fn start(prefix: &str, config: RedisConfig, environment: &Environment) -> Result<Self, ConfigError> {
        check_prefix("prefix", prefix)?;
        let (calls, deadline) = (Calls::new(prefix), config.write_deadline);
        let client = RedisClient::start(config, environment, &calls.scripts().all())?;
        Ok(Self::with(client, calls, deadline, environment))
    }

    /// Over a connection that there is, which is taught the scripts when they are first called on it.
    ///
    /// # Errors
    /// What is wrong with `prefix`.
    pub fn over(
        client: RedisClient,
        prefix: &str,
        deadline: Duration,
        environment: &Environment,
    ) -> Result<Self, ConfigError> {
        check_prefix("prefix", prefix)?;
        Ok(Self::with(client, Calls::new(prefix), deadline, environment))
    }

    fn with(client: RedisClient, calls: Calls, deadline: Duration, environment: &Environment) -> Self {
        let sealer = Sealer::open_hints();
        let nonces = sealer.nonces(&environment.entropy);
        let (calls, counts, environment) = (Arc::new(calls), Arc::default(), environment.clone());
        Self { client, calls, sealer, nonces, environment, deadline, counts }
    }

    /// Seals the results of operations, and believes no others. Without, whoever can write to Redis can make them up.
    #[must_use]
    pub fn seal(self, sealer: Sealer) -> Self {
        let nonces = sealer.nonces(&self.environment.entropy);
        Self { sealer, nonces, ..self }
    }

    /// The connection.
    #[must_use]
    pub const fn client(&self) -> &RedisClient {
        &self.client
    }

    /// What became of the commands so far.
    #[must_use]
    pub fn stats(&self) -> CoordinatorStats {
        let Counts { done, not_done, unknown, unsealed } = &*self.counts;
        let [done, not_done, unknown, unsealed] =
            [done, not_done, unknown, unsealed].map(|count| count.load(Ordering::Relaxed));
        CoordinatorStats { done, not_done, unknown, unsealed }
    }

    async fn carry_out(&self, command: StoreCommand) -> Result<StoreReply, RedisError> {
        let calls = &*self.calls;
        Ok(match command {
            StoreCommand::Settle(settle) => {
                StoreReply::Settled(reply::settled(&self.ask(calls.settle(&settle)).await?, &settle)?)
            }
            StoreCommand::TakeSlots(take) => StoreReply::Slots(reply::slots(&self.ask(calls.take(&take)).await?)?),
            StoreCommand::Begin(begin) => {
                let reply = self.ask(calls.begin(&begin)).await?;
                StoreReply::Begun(reply::begun(&reply, |envelope| self.unseal(begin.key, envelope))?)
            }
            StoreCommand::Renew(renew) => StoreReply::Renewed(reply::renewed(&self.ask(calls.renew(&renew)).await?)?),
            StoreCommand::Finish(finish) => {
                let sealed = self.sealed(&finish)?;
                StoreReply::Finished(reply::finished(&self.ask(calls.finish(&finish, sealed)).await?)?)
            }
            StoreCommand::Abandon(abandon) => {
                StoreReply::Abandoned(reply::abandoned(&self.ask(calls.abandon(&abandon)).await?)?)
            }
            StoreCommand::Vote(vote) => StoreReply::Voted(reply::voted(&self.ask(calls.vote(&vote)).await?)?),
            StoreCommand::Probe(probe) => StoreReply::Probed(reply::probed(&self.ask(calls.probe(&probe)).await?)?),
            StoreCommand::ReleaseProbe(release) => {
                StoreReply::Probed(reply::probed(&self.ask(calls.release(&release)).await?)?)
            }
            // One that this store has no script for.
            _ => return Err(RedisError::Unsendable),
        })
    }

    async fn ask(&self, call: ScriptCall<'_>) -> Result<Value, RedisError> {
        self.client.invoke(call.script, &call.keys, call.args, self.deadline).await
    }

    /// The result of `finish` as it is kept, or that it is too long for any reader.
    fn sealed(&self, finish: &Finish) -> Result<Vec<u8>, RedisError> {
        if finish.result.len() > RESULT_BYTES_MAX {
            return Err(RedisError::Unsendable);
        }
        let key = self.calls.operation(finish.key);
        let sealed = self.sealer.seal(&self.place(&key), &Header::default(), &finish.result, self.nonces.draw());
        sealed.map_err(|_| RedisError::Unsendable)
    }

    /// The result in `envelope`, which is absent where there is nothing that can be one; tells why there is none.
    fn unseal(&self, operation: StateKey, envelope: Option<&[u8]>) -> Option<Vec<u8>> {
        let key = self.calls.operation(operation);
        let opened = envelope.ok_or("missing_or_too_long").and_then(|envelope| {
            let opened = self.sealer.unseal(&self.place(&key), envelope, 0, &RESULT_LIMITS);
            opened.map_err(|error| error.name())
        });
        match opened {
            Ok(opened) => Some(opened.payload),
            Err(reason) => {
                self.counts.unsealed.fetch_add(1, Ordering::Relaxed);
                tracing::warn!(%operation, reason, "the result of an operation is not believed");
                None
            }
        }
    }

    fn place<'a>(&'a self, key: &'a str) -> Place<'a> {
        Place { namespace: self.calls.prefix(), key, schema: RESULT_SCHEMA }
    }

    fn failed(&self, error: &RedisError) -> StoreFailure {
        let failure = if error.may_have_changed() { StoreFailure::Unknown } else { StoreFailure::NotDone };
        match failure {
            StoreFailure::NotDone => self.counts.not_done.fetch_add(1, Ordering::Relaxed),
            StoreFailure::Unknown => self.counts.unknown.fetch_add(1, Ordering::Relaxed),
        };
        tracing::debug!(reason = error.name(), %failure, "the coordinator's store failed");
        failure
    }
}

impl CoordinatorStore for RedisCoordinator {
    fn apply(&self, command: StoreCommand) -> BoxFuture<'_, Result<StoreReply, StoreFailure>> {
        Box::pin(async move {
            let reply = self.carry_out(command).await.map_err(|error| self.failed(&error))?;
            self.counts.done.fetch_add(1, Ordering::Relaxed);
            Ok(reply)
        })
    }
}

impl fmt::Debug for RedisCoordinator {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let (prefix, state) = (self.calls.prefix(), self.client.state());
        f.debug_struct("RedisCoordinator").field("prefix", &prefix).field("state", &state).finish_non_exhaustive()
    }
}

/// The version of what results are kept as.
const RESULT_SCHEMA: u32 = 1;
