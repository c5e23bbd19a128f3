//! What the scripts reply, read by somebody who does not believe it. Decides what a reply can mean.

use std::time::Duration;

use ::redis::Value;
use mesh_retry::coordinator::store::{
    Abandoned, Begun, Fence, Finished, Probed, RESULT_BYTES_MAX, Renewed, Settle, Settled, Settlement, Slots,
    StoreTime, Voted,
};

use crate::redis::RedisError;
use crate::seal::Limits;

/// What is read of results. They are as old as they may be: the server forgets them.
pub(super) const RESULT_LIMITS: Limits =
    Limits { age_max: Duration::MAX, future_skew_max: Duration::ZERO, value_bytes_max: RESULT_BYTES_MAX };

/// The reply to `settle`: never more than it wanted, nor than the budget holds.
pub(super) fn settled(reply: &Value, settle: &Settle) -> Result<Settled, RedisError> {
    let [outcome, granted, level, at, processes] = numbers(reply)?;
    let settlement = match outcome {
        1 => Settlement::Applied,
        2 => Settlement::Repeated,
        3 => Settlement::Stale,
        _ => return Err(RedisError::Hostile),
    };
    let granted = match settlement {
        Settlement::Applied | Settlement::Repeated => small(granted).min(settle.want),
        Settlement::Stale => 0,
    };
    let level = level.min(u64::from(settle.limits.burst_milli) * 1_000);
    Ok(Settled {
        at: StoreTime::from_micros(at),
        settlement,
        granted,
        left_milli: small(level / 1_000),
        wait: wait(settle, granted, level),
        processes: small(processes).max(1),
    })
}

/// How long time alone takes from `level` millionths of a token to what was not `granted`.
fn wait(settle: &Settle, granted: u32, level: u64) -> Option<Duration> {
    if granted == settle.want {
        return Some(Duration::ZERO);
    }
    let missing = (u64::from(settle.want - granted) * 1_000_000).saturating_sub(level);
    // A thousandth of a token a second is a millionth a millisecond.
    let (micros, per_second) = (u128::from(missing) * 1_000, u128::from(settle.limits.per_second_milli));
    let micros = (per_second > 0).then(|| micros.div_ceil(per_second))?;
    Some(Duration::from_micros(u64::try_from(micros).unwrap_or(u64::MAX)))
}

pub(super) fn slots(reply: &Value) -> Result<Slots, RedisError> {
    let [at, first] = numbers(reply)?;
    Ok(Slots { at: StoreTime::from_micros(at), first })
}

/// The reply to a beginning; `open` takes a result out of its envelope, if it is to be believed. It is told as well where
/// there is none, or one that is too long for a result.
pub(super) fn begun(reply: &Value, open: impl FnOnce(Option<&[u8]>) -> Option<Vec<u8>>) -> Result<Begun, RedisError> {
    let done = |envelope| open(envelope).map_or(Begun::Unreadable, |result| Begun::Done { result });
    let fence = |value| match number(value)? {
        0 => Err(RedisError::Hostile),
        number => Ok(Fence::new(number)),
    };
    match items(reply)? {
        [Value::Int(1), value] => Ok(Begun::Fresh { fence: fence(value)? }),
        [Value::Int(2), value] => Ok(Begun::TakenOver { fence: fence(value)? }),
        [Value::Int(3), value] => Ok(Begun::InFlight { lease_left: Duration::from_micros(number(value)?) }),
        [Value::Int(4), Value::BulkString(envelope)] => Ok(done(Some(envelope))),
        [Value::Int(5)] => Ok(Begun::Mismatch),
        [Value::Int(6)] => Ok(done(None)),
        _ => Err(RedisError::Hostile),
    }
}

pub(super) fn renewed(reply: &Value) -> Result<Renewed, RedisError> {
    Ok(if flag(reply)? { Renewed::Kept } else { Renewed::Fenced })
}

pub(super) fn finished(reply: &Value) -> Result<Finished, RedisError> {
    Ok(if flag(reply)? { Finished::Kept } else { Finished::Fenced })
}

pub(super) fn abandoned(reply: &Value) -> Result<Abandoned, RedisError> {
    Ok(if flag(reply)? { Abandoned::Forgotten } else { Abandoned::Fenced })
}

/// No more for open than there are.
pub(super) fn voted(reply: &Value) -> Result<Voted, RedisError> {
    let [live, open] = numbers(reply)?;
    let live = small(live).max(1);
    Ok(Voted { live, open: small(open).min(live) })
}

pub(super) fn probed(reply: &Value) -> Result<Probed, RedisError> {
    let [code, left] = numbers(reply)?;
    match code {
        1 => Ok(Probed::Mine),
        2 => Ok(Probed::Others { lease_left: Duration::from_millis(left) }),
        3 => Ok(Probed::Released),
        _ => Err(RedisError::Hostile),
    }
}

fn flag(reply: &Value) -> Result<bool, RedisError> {
    match number(reply)? {
        0 => Ok(false),
        1 => Ok(true),
        _ => Err(RedisError::Hostile),
    }
}

/// Exactly so many numbers.
fn numbers<const N: usize>(reply: &Value) -> Result<[u64; N], RedisError> {
    let items: &[Value; N] = items(reply)?.as_array().ok_or(RedisError::Hostile)?;
    let mut numbers = [0; N];
    for (slot, item) in numbers.iter_mut().zip(items) {
        *slot = number(item)?;
    }
    Ok(numbers)
}

fn items(reply: &Value) -> Result<&[Value], RedisError> {
    if let Value::Array(items) = reply { Ok(items) } else { Err(RedisError::Hostile) }
}

fn number(value: &Value) -> Result<u64, RedisError> {
    let Value::Int(number) = value else { return Err(RedisError::Hostile) };
    u64::try_from(*number).map_err(|_| RedisError::Hostile)
}

fn small(number: u64) -> u32 {
    u32::try_from(number).unwrap_or(u32::MAX)
}

#[cfg(test)]
mod tests {
    use mesh_retry::budget::TokenBucketConfig;
    use mesh_retry::coordinator::store::{ProcessId, StateKey};

    use super::*;

    fn wanting(want: u32) -> Settle {
        Settle {
            budget: StateKey::new(1),
            limits: TokenBucketConfig::default(),
            process: ProcessId::new(1),
            epoch: 1,
            cumulative_requests: 0,
            reported_requests: 0,
            want,
            kept: 0,
            returned: 0,
        }
    }

    fn array(numbers: &[i64]) -> Value {
        Value::Array(numbers.iter().map(|number| Value::Int(*number)).collect())
    }

    #[test]
    fn no_more_is_taken_than_was_wanted_and_a_budget_holds() {
        let settled = settled(&array(&[1, i64::MAX, i64::MAX, i64::MAX, i64::MAX]), &wanting(3)).unwrap();
        assert_eq!((settled.granted, settled.left_milli, settled.processes), (3, 10_000, u32::MAX));
        let stale = super::settled(&array(&[3, 3, 0, 0, 0]), &wanting(3)).unwrap();
        assert_eq!((stale.granted, stale.processes), (0, 1));
        assert_eq!(voted(&array(&[0, 9])), Ok(Voted { live: 1, open: 1 }));
    }

    #[test]
    fn the_wait_is_for_what_is_missing() {
        let wait = |granted, level| settled(&array(&[1, granted, level, 0, 1]), &wanting(3)).unwrap().wait;
        // A tenth of a token comes every second.
        assert_eq!(wait(3, 0), Some(Duration::ZERO));
        assert_eq!(wait(2, 0), Some(Duration::from_secs(10)));
        assert_eq!(wait(2, 999_999), Some(Duration::from_micros(10)));
        let mut nothing = wanting(u32::MAX);
        nothing.limits.per_second_milli = 3_000;
        let wait = settled(&array(&[1, 0, 0, 0, 1]), &Settle { want: 1, ..nothing }).unwrap().wait;
        assert_eq!(wait, Some(Duration::from_micros(333_334)), "not before it is all there");
        nothing.limits.per_second_milli = 0;
        assert_eq!(settled(&array(&[1, 0, 0, 0, 1]), &nothing).unwrap().wait, None);
        nothing.limits.per_second_milli = 1;
        let longest = settled(&array(&[1, 0, 0, 0, 1]), &nothing).unwrap().wait;
        assert_eq!(longest, Some(Duration::from_secs(u64::from(u32::MAX) * 1_000)));
    }

    #[test]
    fn what_no_script_of_ours_replies_is_hostile() {
        let strange = [
            Value::Nil,
            Value::Okay,
            Value::Int(-1),
            Value::Int(7),
            Value::Double(1.0),
            Value::BulkString(b"1".to_vec()),
            array(&[]),
            array(&[0]),
            array(&[7, 7]),
            array(&[-1, -1]),
            array(&[1, -1]),
            array(&[1, 2, 3]),
            array(&[0, 0, 0, 0, 0]),
            array(&[4, 0, 0, 0, 0]),
            array(&[1, -1, 0, 0, 1]),
            array(&[1, 0, 0, 0, 1, 0]),
            Value::Array(vec![Value::Int(4), Value::Int(4)]),
            Value::Array(vec![Value::Int(1), Value::BulkString(b"1".to_vec())]),
            Value::Array(vec![Value::Nil, Value::Int(1)]),
        ];
        for reply in &strange {
            assert_eq!(settled(reply, &wanting(1)), Err(RedisError::Hostile), "{reply:?}");
            assert_eq!(begun(reply, |_| Some(vec![])), Err(RedisError::Hostile), "{reply:?}");
            assert_eq!(probed(reply), Err(RedisError::Hostile), "{reply:?}");
            for flag in [renewed(reply).err(), finished(reply).err(), abandoned(reply).err()] {
                assert_eq!(flag, Some(RedisError::Hostile), "{reply:?}");
            }
        }
        for reply in strange.iter().filter(|reply| numbers::<2>(reply).is_err()) {
            assert_eq!((slots(reply), voted(reply)), (Err(RedisError::Hostile), Err(RedisError::Hostile)), "{reply:?}");
        }
    }

    #[test]
    fn a_result_is_what_its_envelope_holds_or_nothing() {
        let done = Value::Array(vec![Value::Int(4), Value::BulkString(b"sealed".to_vec())]);
        let opened = begun(&done, |envelope| envelope.map(<[u8]>::to_ascii_uppercase));
        assert_eq!(opened, Ok(Begun::Done { result: b"SEALED".to_vec() }));
        assert_eq!(begun(&done, |_| None), Ok(Begun::Unreadable));
        assert_eq!(begun(&array(&[6]), |envelope| envelope.map(<[u8]>::to_vec)), Ok(Begun::Unreadable));
        assert_eq!(begun(&array(&[1, 0]), |_| Some(vec![])), Err(RedisError::Hostile), "no owner has that number");
    }
}
