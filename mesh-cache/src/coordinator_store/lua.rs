//! What is done on the server: one script for each command, each one step there.
//!
//! All of them share [`PRELUDE`]. They believe nothing that they read. A number that is none, not finite, negative or
//! larger than a double counts exactly is as if it were not there; a key of another type is taken away; a time from
//! further in the future than clocks of one store differ is put right. Whatever is written gets a lifetime, and what was
//! written without one by somebody else gets one when it is read. What is decided by is read before anything is written, so that
//! a script that fails has changed nothing, but for keys of another type, which go at once.
//!
//! What brings new state begins with a write that a full server refuses (OOM): after another the server would let the rest
//! pass. To forget something, or to give a key a lifetime, is never refused.

use crate::redis::Script;

/// What all of them begin with. Times are in microseconds of the server's clock; Lua's numbers are exact to 2^53.
const PRELUDE: &str = r"
local EXACT, SKEW = 9007199254740992, 1000000
local function number(text, most)
  local n = tonumber(text)
  if not n or n ~= n or n < 0 or n > most then return nil end
  return math.floor(n)
end
local function text(n) return string.format('%.0f', n) end
local function clock()
  local time = redis.call('TIME')
  return time[1] * 1000000 + time[2]
end
local function try(...)
  local reply = redis.pcall(...)
  if type(reply) ~= 'table' or not reply.err then return reply end
  if not string.find(reply.err, 'WRONGTYPE', 1, true) then error(reply) end
  redis.call('DEL', (select(2, ...)))
  return nil
end
local function lasting(key, ms)
  if redis.call('PTTL', key) < ms then redis.call('PEXPIRE', key, text(ms)) end
end
local function mortal(key, ms)
  if redis.call('PTTL', key) < 0 then redis.call('PEXPIRE', key, text(ms)) end
end
local function add(key, score, member)
  if not try('ZADD', key, score, member) then redis.call('ZADD', key, score, member) end
end
local function prune(key, gone, ahead)
  try('ZREMRANGEBYSCORE', key, '-inf', text(gone))
  redis.call('ZREMRANGEBYSCORE', key, '(' .. text(ahead), '+inf')
end
";

/// Settles with a budget. KEYS: bucket, process, processes that were seen. ARGV: process, burst in millionths of a token,
/// tokens a second and for each request in thousandths, epoch, cumulative, reported, wanted, kept, returned, how long the
/// bucket is kept, how long a process is and how long one counts, in ms.
///
/// The bucket is a hash of its level in millionths and the time of that; a process one of its epoch, its cumulative
/// requests, the tokens that it holds, and those that it was granted last. Replies: 1 applied, 2 repeated or 3 stale; granted;
/// level; now; processes.
const SETTLE: &str = r"
local burst, rate, ratio = tonumber(ARGV[2]), tonumber(ARGV[3]), tonumber(ARGV[4])
local epoch, total, told = tonumber(ARGV[5]), tonumber(ARGV[6]), tonumber(ARGV[7])
local want, kept, returned = tonumber(ARGV[8]), tonumber(ARGV[9]), tonumber(ARGV[10])
local bucket = try('HMGET', KEYS[1], 'l', 'u') or {}
local own = try('HMGET', KEYS[2], 'e', 'c', 'h', 'g') or {}
local now = clock()
local level, since = number(bucket[1], EXACT), number(bucket[2], EXACT)
if not level or not since then level, since = burst, now end
if since > now + SKEW then since = now end
local passed = math.max(0, now - since)
level = math.min(burst, level + math.floor(passed * rate / 1000))
local last, before = number(own[1], EXACT), number(own[2], EXACT)
local held, granted = number(own[3], 4294967295), number(own[4], 4294967295)
local known = last and before and held and granted
local outcome = 1
if known and epoch == last then outcome = 2 end
if known and epoch < last then outcome, granted = 3, 0 end
if outcome == 1 then
  local credit, back = 0, 0
  if known then
    credit = math.max(0, total - math.max(before, told)) * ratio * 1000
    back = math.min(returned, held)
  else
    held = 0
  end
  level = math.min(burst, level + credit + back * 1000000)
  granted = math.min(want, math.floor(level / 1000000))
  level = level - granted * 1000000
  redis.call('HSET', KEYS[1], 'l', text(level), 'u', text(math.max(since, now)))
  redis.call('PEXPIRE', KEYS[1], ARGV[11])
  redis.call('HSET', KEYS[2], 'e', text(epoch), 'c', text(total), 'h', text(math.min(held - back, kept) + granted),
    'g', text(granted))
  redis.call('PEXPIRE', KEYS[2], ARGV[12])
  add(KEYS[3], text(now), ARGV[1])
  redis.call('PEXPIRE', KEYS[3], ARGV[12])
else
  mortal(KEYS[2], tonumber(ARGV[12]))
end
prune(KEYS[3], now - tonumber(ARGV[13]) * 1000 - 1, now + SKEW)
return {outcome, granted, level, now, redis.call('ZCARD', KEYS[3])}
";

/// Takes numbers of a counter. KEYS: counter. ARGV: how many, how long the counter is kept in ms. Replies: now, the first.
const TAKE: &str = r"
local count = tonumber(ARGV[1])
local first = number(try('GET', KEYS[1]), EXACT - count) or 0
redis.call('SET', KEYS[1], text(first + count), 'PX', ARGV[2])
return {clock(), first}
";

/// Begins an operation. KEYS: operation. ARGV: fingerprint, owner, lease in microseconds, how long it is kept after a lease
/// in ms, the longest result that is sent, the longest lease there is in microseconds.
///
/// The operation is a hash of its fingerprint, its owner, the owner's number, the time at which the lease ends, how long the
/// lease was, how long the operation is kept after one, what it is (`f` begun, `t` taken over, `d` done) and the result.
/// Numbers of owners follow the clock, so that they grow from owner to owner even where the key was forgotten in between.
/// What makes no sense may have been an operation once: who begins it is told that its outcome is unknown. Of a lease no
/// more is left than all of it, whatever became of the clock. Replies: 1 fresh, number; 2 taken over, number; 3 in flight,
/// microseconds; 4 done, result; 5 mismatch; 6 done, and the result is missing, or too long to be one.
const BEGIN: &str = r"
local op = try('HMGET', KEYS[1], 'f', 'o', 'n', 'x', 'y', 'k')
local now, lease, keep, longest = clock(), tonumber(ARGV[3]), tonumber(ARGV[4]), tonumber(ARGV[6])
local strange = op == nil
op = op or {}
local fence, ends, length, kind = number(op[3], now + 86400000000), number(op[4], EXACT), number(op[5], longest), op[6]
local there = op[1] and op[2] and fence and ends and length and (kind == 'f' or kind == 't' or kind == 'd')
strange = strange or (not there and redis.call('PTTL', KEYS[1]) ~= -2)
if there then
  mortal(KEYS[1], keep)
  if op[1] ~= ARGV[1] then return {5} end
  if kind == 'd' then
    local result = redis.call('HGET', KEYS[1], 'r')
    if not result or #result > tonumber(ARGV[5]) then return {6} end
    return {4, result}
  end
  if ends > now + length then
    ends = now + length
    redis.call('HSET', KEYS[1], 'x', text(ends))
  end
  if op[2] ~= ARGV[2] and ends > now then return {3, ends - now} end
end
if there and op[2] == ARGV[2] then
  strange = kind == 't'
else
  strange = strange or there
  fence = math.max((fence or 0) + 1, now)
end
redis.call('HSET', KEYS[1], 'f', ARGV[1], 'o', ARGV[2], 'n', text(fence), 'x', text(now + lease), 'y', text(lease),
  'w', text(keep), 'k', strange and 't' or 'f')
redis.call('PEXPIRE', KEYS[1], text(math.ceil(lease / 1000) + keep))
return {strange and 2 or 1, fence}
";

/// What the next three begin with. KEYS: operation. ARGV: owner, number.
const OWNED: &str = r"
local op = try('HMGET', KEYS[1], 'o', 'n', 'k') or {}
local mine, kind = op[1] == ARGV[1] and op[2] == ARGV[2], op[3]
local running = kind == 'f' or kind == 't'
";

/// Stays the owner. ARGV besides: lease in microseconds, the longest time in ms that anything is kept. Replies: 1 kept, 0
/// fenced.
const RENEW: &str = r"
if not mine or not running then return 0 end
local lease, keep = tonumber(ARGV[3]), number(redis.call('HGET', KEYS[1], 'w'), tonumber(ARGV[4])) or 0
redis.call('HSET', KEYS[1], 'x', text(clock() + lease), 'y', text(lease))
redis.call('PEXPIRE', KEYS[1], text(math.ceil(lease / 1000) + keep))
return 1
";

/// Ends it. ARGV besides: how long the result is kept in ms, the result. Replies: 1 kept, 0 fenced.
const FINISH: &str = r"
if not mine then return 0 end
if kind == 'd' then return 1 end
if not running then return 0 end
redis.call('HSET', KEYS[1], 'k', 'd', 'r', ARGV[4])
redis.call('PEXPIRE', KEYS[1], ARGV[3])
return 1
";

/// Forgets it. Replies: 1 forgotten, 0 fenced.
const ABANDON: &str = r"
if not mine or not running then return 0 end
redis.call('DEL', KEYS[1])
return 1
";

/// Votes. KEYS: votes that count, those for open. ARGV: voter, 1 for open, for how long in ms, the longest there is in ms.
/// The score of a vote is the time at which it ends. Replies: votes that count, those for open.
const VOTE: &str = r"
local now, live = clock(), tonumber(ARGV[3])
local ends, ahead = text(now + live * 1000), now + tonumber(ARGV[4]) * 1000 + SKEW
add(KEYS[1], ends, ARGV[1])
if ARGV[2] == '1' then add(KEYS[2], ends, ARGV[1]) else try('ZREM', KEYS[2], ARGV[1]) end
for _, key in ipairs(KEYS) do
  prune(key, now, ahead)
  lasting(key, live)
end
return {redis.call('ZCARD', KEYS[1]), redis.call('ZCARD', KEYS[2])}
";

/// Asks to be the one. KEYS: holder. ARGV: who asks, lease in ms, the longest there is in ms. What is no holder's name, or
/// is kept for longer than any of ours, is nobody's. Replies: 1 mine; 2 another's, and for how many ms.
const PROBE: &str = r"
local holder = try('GET', KEYS[1])
if holder and holder ~= ARGV[1] and #holder == #ARGV[1] then
  local left = redis.call('PTTL', KEYS[1])
  if left >= 0 and left <= tonumber(ARGV[3]) then return {2, left} end
end
redis.call('SET', KEYS[1], ARGV[1], 'PX', ARGV[2])
return {1, 0}
";

/// Lets another be the one. KEYS: holder. ARGV: who was. Replies: 3.
const RELEASE: &str = r"
if try('GET', KEYS[1]) == ARGV[1] then redis.call('DEL', KEYS[1]) end
return {3, 0}
";

/// All of them.
#[derive(Clone, Debug)]
pub(super) struct Scripts {
    pub(super) settle: Script,
    pub(super) take: Script,
    pub(super) begin: Script,
    pub(super) renew: Script,
    pub(super) finish: Script,
    pub(super) abandon: Script,
    pub(super) vote: Script,
    pub(super) probe: Script,
    pub(super) release: Script,
}

impl Scripts {
    pub(super) fn new() -> Self {
        let script = |parts: &[&str]| Script::new(&[&[PRELUDE], parts].concat().concat());
        Self {
            settle: script(&[SETTLE]),
            take: script(&[TAKE]),
            begin: script(&[BEGIN]),
            renew: script(&[OWNED, RENEW]),
            finish: script(&[OWNED, FINISH]),
            abandon: script(&[OWNED, ABANDON]),
            vote: script(&[VOTE]),
            probe: script(&[PROBE]),
            release: script(&[RELEASE]),
        }
    }

    pub(super) fn all(&self) -> Vec<Script> {
        let Self { settle, take, begin, renew, finish, abandon, vote, probe, release } = self.clone();
        vec![settle, take, begin, renew, finish, abandon, vote, probe, release]
    }
}
