#!lua flags=no-writes
-- The changes of one alias, newest first. ARGV: [1] name, [2] alias, [3] only those before this revision, [4] most entries, [5]
-- only from what was newest at this time on, in milliseconds; empty for all. Returns {head, entries}.
local before, from = ARGV[3], '(' .. ARGV[3] .. '-0'
if ARGV[5] ~= '' then
  local newest = history_at(ARGV[1], ARGV[2], tonumber(ARGV[5]))
  if not newest then return { head(), {} } end
  if newest.revision < tonumber(before) then from = newest.id end
end
return { head(), redis.call('XREVRANGE', history_key(ARGV[1], ARGV[2]), from, '-', 'COUNT', ARGV[4]) }
