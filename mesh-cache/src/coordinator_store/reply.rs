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

/// The reply to a beginning; `open` takes a result out of its envelope.
pub(super) fn begun(
    reply: &Value,
    open: impl FnOnce(&[u8]) -> Result<Vec<u8>, RedisError>,
) -> Result<Begun, RedisError> {
    let items = items(reply)?;
    let code = items.first().map(number).ok_or(RedisError::Hostile)??;
    let value = || items.get(1).ok_or(RedisError::Hostile);
    let fence = || {
        value()
            .and_then(number)
            .and_then(|number| if number > 0 { Ok(Fence::new(number)) } else { Err(RedisError::Hostile) })
    };
    match code {
        1 => Ok(Begun::Fresh { fence: fence()? }),
        2 => Ok(Begun::TakenOver { fence: fence()? }),
        3 => Ok(Begun::InFlight { lease_left: Duration::from_micros(number(value()?)?) }),
        4 => match value()? {
            Value::BulkString(bytes) => Ok(Begun::Done { result: open(bytes)? }),
            _ => Err(RedisError::Hostile),
        },
        5 => Ok(Begun::Mismatch),
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
