//! What the second tier does on the server in one step.

/// Keeps an entry unless its scope changed after its load began, or a newer version is there. KEYS: entry, watermark.
/// ARGV: when its load began, its bytes, its version as 16 bytes, both lifetimes in ms, when it was true, the first
/// 33 bytes of an entry that nobody could read, or none.
///
/// The watermark of one entry is kept for two minutes, so a load that began a minute ago is not stored any more.
/// A watermark from the future or of another type, which nobody of ours wrote, is put right. The versions are compared
/// byte by byte: Lua's numbers are exact to 53 bits and its strings are ordered by the server's locale. One of zeros is
/// none, and wins over any. Offsets are those of `crate::seal`, counted from 0 as GETRANGE does.
pub(super) const STORE: &str = r"
local time = redis.call('TIME')
local now = time[1] * 1000000 + time[2]
local begun = tonumber(ARGV[1])
if begun > now + 1000000 or now - begun > 60000000 then return 0 end
local watermark = redis.pcall('ZSCORE', KEYS[2], 't')
if type(watermark) == 'string' then watermark = tonumber(watermark) end
if watermark and (type(watermark) ~= 'number' or watermark > now + 1000000) then
  redis.call('DEL', KEYS[2])
  redis.call('ZADD', KEYS[2], string.format('%.0f', now), 't')
  redis.call('PEXPIRE', KEYS[2], ARGV[5])
  return 0
end
if watermark and tonumber(ARGV[6]) <= watermark then return 0 end
local head = redis.pcall('GETRANGE', KEYS[1], 0, 32)
if ARGV[3] ~= string.rep('\0', 16) and head ~= ARGV[7] and type(head) == 'string' and #head == 33 and string.sub(head, 1, 4) == 'MSH1'
  and string.sub(head, 18, 25) == string.sub(ARGV[3], 1, 8) then
  for at = 1, 8 do
    local there, new = string.byte(head, 25 + at), string.byte(ARGV[3], 8 + at)
    if there > new then return -1 end
    if there < new then break end
  end
end
redis.call('SET', KEYS[1], ARGV[2], 'PX', ARGV[4])
return 1
";
