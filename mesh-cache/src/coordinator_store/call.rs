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

#[cfg(test)]
mod tests {
    use mesh_retry::budget::TokenBucketConfig;
    use mesh_retry::coordinator::store::Fingerprint;

    use super::*;

    const KEY: StateKey = StateKey::new(0xAB);
    const ME: ProcessId = ProcessId::new(0xCD);
    const OWNER: OwnerToken = OwnerToken::new(0xEF);

    /// The arguments as text, but for the first so many.
    fn args(call: ScriptCall<'_>, without: usize) -> Vec<String> {
        call.args.into_iter().skip(without).map(|arg| String::from_utf8(arg).unwrap()).collect()
    }

    /// Times that are asked for, each with what is sent in microseconds where it is a lease, and in milliseconds where it is
    /// one and where something is kept.
    const TIMES: [(Duration, &str, &str, &str); 8] = [
        (Duration::ZERO, "1000", "1", "1"),
        (Duration::from_nanos(999_999), "1000", "1", "1"),
        (Duration::from_micros(1_999), "1999", "1", "1"),
        (Duration::from_secs(60), "60000000", "60000", "60000"),
        (Duration::from_millis(3_599_999), "3599999000", "3599999", "3599999"),
        (Duration::from_millis(3_600_001), "3600000000", "3600000", "3600001"),
        (Duration::from_hours(31 * 24), "3600000000", "3600000", "2592000000"),
        (Duration::MAX, "3600000000", "3600000", "2592000000"),
    ];

    #[test]
    fn no_time_is_sent_that_is_longer_than_any_is_kept_or_shorter_than_anything_lives() {
        let calls = Calls::new("mesh");
        let (fence, longest_result) = (Fence::new(7), RESULT_LIMITS.envelope_bytes_max().to_string());
        for (time, micros, lease, kept) in TIMES {
            let begin = Begin { key: KEY, fingerprint: Fingerprint::new(1), owner: OWNER, lease: time, keep: time };
            assert_eq!(args(calls.begin(&begin), 2), [micros, kept, &longest_result, "3600000000"], "{time:?}");
            let renew = Renew { key: KEY, owner: OWNER, fence, lease: time };
            assert_eq!(args(calls.renew(&renew), 2), [micros, "2592000000"], "{time:?}");
            let finish = Finish { key: KEY, owner: OWNER, fence, result: vec![], keep: time };
            assert_eq!(args(calls.finish(&finish, b"sealed".to_vec()), 2), [kept, "sealed"], "{time:?}");
            let vote = Vote { subject: KEY, voter: ME, open: true, live_for: time };
            assert_eq!(args(calls.vote(&vote), 1), ["1", lease, "3600000"], "{time:?}");
            let probe = Probe { subject: KEY, holder: ME, lease: time };
            assert_eq!(args(calls.probe(&probe), 1), [lease, "3600000"], "{time:?}");
        }
    }

    #[test]
    fn who_asks_is_named_in_hexadecimal_and_owners_have_numbers() {
        let calls = Calls::new("mesh");
        let (me, owner) = (format!("{:032x}", 0xCD), format!("{:032x}", 0xEF));
        let begin =
            Begin { key: KEY, fingerprint: Fingerprint::new(1), owner: OWNER, lease: LEASE_MAX, keep: LEASE_MAX };
        assert_eq!(args(calls.begin(&begin), 0)[..2], [Fingerprint::new(1).to_string(), owner.clone()]);
        let abandon = Abandon { key: KEY, owner: OWNER, fence: Fence::new(7) };
        assert_eq!(args(calls.abandon(&abandon), 0), [owner, "7".to_owned()]);
        let vote = Vote { subject: KEY, voter: ME, open: false, live_for: LEASE_MAX };
        assert_eq!(args(calls.vote(&vote), 0)[..2], [me.clone(), "0".to_owned()]);
        assert_eq!(args(calls.release(&ReleaseProbe { subject: KEY, holder: ME }), 0), [me]);
    }

    #[test]
    fn a_settlement_is_sent_in_the_order_that_the_script_reads() {
        let calls = Calls::new("mesh");
        let mut limits = TokenBucketConfig::default();
        (limits.burst_milli, limits.per_second_milli, limits.ratio_milli) = (200_000, 2_000, 100);
        let mut settle = Settle {
            budget: KEY,
            limits,
            process: ME,
            epoch: 1,
            cumulative_requests: 2,
            reported_requests: 3,
            want: 4,
            kept: 5,
            returned: 6,
        };
        let expected = ["200000000", "2000", "100", "1", "2", "3", "4", "5", "6", "100000", "60000", "15000"];
        let sent = calls.settle(&settle);
        let keys =
            ["rb".to_owned(), format!("p:{ME}"), "hb".to_owned()].map(|part| format!("mesh:v1:{{{KEY}}}:{part}"));
        assert_eq!(sent.keys, keys);
        assert_eq!(args(sent, 1), expected);
        (settle.epoch, settle.cumulative_requests, settle.reported_requests) = (u64::MAX, 1 << 53, (1 << 53) - 1);
        assert_eq!(args(calls.settle(&settle), 1)[3..6], ["9007199254740991"; 3]);
    }

    #[test]
    fn a_number_at_least_is_taken_of_a_counter_that_is_kept_for_a_minute() {
        let calls = Calls::new("mesh");
        for (count, taken) in [(0, "1"), (1, "1"), (u32::MAX, "4294967295")] {
            assert_eq!(args(calls.take(&TakeSlots { counter: KEY, count }), 0), [taken, "60000"]);
        }
    }
}
