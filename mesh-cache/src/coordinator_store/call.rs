//! A command as a call of a script: its keys and its arguments. Decides what is sent at most.
//!
//! All keys of a call have the hash of what they are about in braces, so they are in one slot of a cluster; no text of a
//! user's is in any.

use std::time::Duration;

use mesh_core::time::saturating_nanos;
use mesh_retry::coordinator::store::{
    Abandon, Begin, Fence, Finish, OwnerToken, PROCESS_COUNTS_FOR, PROCESS_KEPT_FOR, Probe, ProcessId, ReleaseProbe,
    Renew, Settle, StateKey, TakeSlots, Vote,
};

use super::lua::Scripts;
use super::reply::RESULT_LIMITS;
use crate::redis::Script;

/// What is sent for a command.
#[derive(Debug)]
pub(super) struct ScriptCall<'a> {
    pub(super) script: &'a Script,
    pub(super) keys: Vec<String>,
    pub(super) args: Vec<Vec<u8>>,
}

/// Makes calls of the scripts, with keys that begin with a prefix.
#[derive(Clone, Debug)]
pub(super) struct Calls {
    prefix: String,
    scripts: Scripts,
}

impl Calls {
    /// For keys that begin with `prefix`, which is one.
    pub(super) fn new(prefix: &str) -> Self {
        Self { prefix: prefix.to_owned(), scripts: Scripts::new() }
    }

    pub(super) const fn scripts(&self) -> &Scripts {
        &self.scripts
    }

    /// What results are sealed for besides their keys.
    pub(super) fn prefix(&self) -> &str {
        &self.prefix
    }

    /// The key of the operation `key`, which is the place that its result is sealed for.
    pub(super) fn operation(&self, key: StateKey) -> String {
        self.key(key, "id")
    }

    fn key(&self, state: StateKey, part: &str) -> String {
        format!("{}:v1:{{{state}}}:{part}", self.prefix)
    }

    pub(super) fn settle(&self, settle: &Settle) -> ScriptCall<'_> {
        let Settle { budget, limits, process, epoch, cumulative_requests, reported_requests, want, kept, returned } =
            *settle;
        let numbers = [
            u64::from(limits.burst_milli) * 1_000,
            u64::from(limits.per_second_milli),
            u64::from(limits.ratio_milli),
            epoch,
            cumulative_requests,
            reported_requests,
            u64::from(want),
            u64::from(kept),
            u64::from(returned),
        ];
        let lifetimes = [settle.bucket_kept_for(), PROCESS_KEPT_FOR, PROCESS_COUNTS_FOR].map(millis);
        let args = [name(process)].into_iter().chain(numbers.map(number)).chain(lifetimes).collect();
        let keys = vec![self.key(budget, "rb"), self.key(budget, &format!("p:{process}")), self.key(budget, "hb")];
        ScriptCall { script: &self.scripts.settle, keys, args }
    }

    pub(super) fn take(&self, take: &TakeSlots) -> ScriptCall<'_> {
        let args = vec![number(u64::from(take.count.max(1))), millis(COUNTER_KEPT)];
        ScriptCall { script: &self.scripts.take, keys: vec![self.key(take.counter, "sl")], args }
    }

    pub(super) fn begin(&self, begin: &Begin) -> ScriptCall<'_> {
        let longest = u64::try_from(RESULT_LIMITS.envelope_bytes_max()).unwrap_or(u64::MAX);
        let args = vec![
            begin.fingerprint.to_string().into_bytes(),
            secret(begin.owner),
            micros(begin.lease),
            millis(begin.keep.min(OPERATION_KEPT_MAX)),
            number(longest),
            micros(LEASE_MAX),
        ];
        ScriptCall { script: &self.scripts.begin, keys: vec![self.operation(begin.key)], args }
    }

    pub(super) fn renew(&self, renew: &Renew) -> ScriptCall<'_> {
        self.owned(
            &self.scripts.renew,
            renew.key,
            (renew.owner, renew.fence),
            [micros(renew.lease), millis(OPERATION_KEPT_MAX)],
        )
    }

    /// `sealed` is the result as it is kept.
    pub(super) fn finish(&self, finish: &Finish, sealed: Vec<u8>) -> ScriptCall<'_> {
        let rest = [millis(finish.keep.min(OPERATION_KEPT_MAX)), sealed];
        self.owned(&self.scripts.finish, finish.key, (finish.owner, finish.fence), rest)
    }

    pub(super) fn abandon(&self, abandon: &Abandon) -> ScriptCall<'_> {
        self.owned(&self.scripts.abandon, abandon.key, (abandon.owner, abandon.fence), [])
    }

    fn owned<'a, const N: usize>(
        &self,
        script: &'a Script,
        key: StateKey,
        (owner, fence): (OwnerToken, Fence),
        rest: [Vec<u8>; N],
    ) -> ScriptCall<'a> {
        let args = [secret(owner), fence.number().to_string().into_bytes()].into_iter().chain(rest).collect();
        ScriptCall { script, keys: vec![self.operation(key)], args }
    }

    pub(super) fn vote(&self, vote: &Vote) -> ScriptCall<'_> {
        let args = vec![
            name(vote.voter),
            number(u64::from(vote.open)),
            millis(vote.live_for.min(LEASE_MAX)),
            millis(LEASE_MAX),
        ];
        let keys = vec![self.key(vote.subject, "vl"), self.key(vote.subject, "vo")];
        ScriptCall { script: &self.scripts.vote, keys, args }
    }

    pub(super) fn probe(&self, probe: &Probe) -> ScriptCall<'_> {
        let args = vec![name(probe.holder), millis(probe.lease.min(LEASE_MAX)), millis(LEASE_MAX)];
        ScriptCall { script: &self.scripts.probe, keys: vec![self.key(probe.subject, "pt")], args }
    }

    pub(super) fn release(&self, release: &ReleaseProbe) -> ScriptCall<'_> {
        let keys = vec![self.key(release.subject, "pt")];
        ScriptCall { script: &self.scripts.release, keys, args: vec![name(release.holder)] }
    }
}

fn name(process: ProcessId) -> Vec<u8> {
    process.to_string().into_bytes()
}

fn secret(owner: OwnerToken) -> Vec<u8> {
    format!("{:032x}", owner.bits()).into_bytes()
}

/// As much of it as a script counts exactly; no count of requests or settlements comes near.
fn number(value: u64) -> Vec<u8> {
    value.min((1 << 53) - 1).to_string().into_bytes()
}

/// A lease in microseconds: a millisecond at least, as nothing that lives in Redis lives for less.
fn micros(lease: Duration) -> Vec<u8> {
    let lease = lease.clamp(Duration::from_millis(1), LEASE_MAX);
    number(saturating_nanos(lease) / 1_000)
}

fn millis(lifetime: Duration) -> Vec<u8> {
    number((saturating_nanos(lifetime) / 1_000_000).max(1))
}

/// For how long at most somebody owns an operation, has a vote that counts, or is the one who tries a subject, unless he
/// asks again. Times that are further ahead are nobody's of ours.
const LEASE_MAX: Duration = Duration::from_hours(1);
/// For how long a counter is remembered that nobody takes from.
const COUNTER_KEPT: Duration = Duration::from_mins(1);
/// For how long an operation is remembered at most, after its last lease or with its result.
const OPERATION_KEPT_MAX: Duration = Duration::from_hours(30 * 24);
