#!lua flags=no-writes
-- The changes of one alias, newest first. ARGV: [1] name, [2] alias, [3] id to read back from, as XREVRANGE takes it, [4] most
-- entries, [5] only those of this time or earlier, in milliseconds; empty for all. Returns {head, entries}.
local most, at = tonumber(ARGV[4]), tonumber(ARGV[5])
local found, cursor = {}, ARGV[3]
while #found < most do
  local entries = redis.call('XREVRANGE', history_key(ARGV[1], ARGV[2]), cursor, '-', 'COUNT', math.min(100, most))
  if #entries == 0 then break end
  for _, entry in ipairs(entries) do
    -- `time` is the first field.
    if #found < most and (not at or tonumber(entry[2][2]) <= at) then found[#found + 1] = entry end
  end
  cursor = '(' .. entries[#entries][1]
end
return { head(), found }
