#!lua flags=no-writes
-- The changes of one alias, newest first. ARGV: [1] name, [2] alias, [3] only those before this revision, [4] most entries, [5]
-- only from what was newest at this time on, in milliseconds; empty for all. Returns {head, entries, 1 when it ended early, at
-- WEIGHT_MAX}.
local before, from, most = ARGV[3], '(' .. ARGV[3] .. '-0', tonumber(ARGV[4])
if ARGV[5] ~= '' then
  local newest = history_at(ARGV[1], ARGV[2], tonumber(ARGV[5]))
  if not newest then return { head(), {}, 0 } end
  if newest.revision < tonumber(before) then from = newest.id end
end
local found, sum = {}, 0
while #found < most do
  local some = redis.call('XREVRANGE', history_key(ARGV[1], ARGV[2]), from, '-', 'COUNT', math.min(100, most - #found))
  if #some == 0 then break end
  for _, entry in ipairs(some) do
    if sum > WEIGHT_MAX then return { head(), found, 1 } end
    found[#found + 1] = entry
    sum = sum + weight(entry)
    from = '(' .. entry[1]
  end
end
return { head(), found, 0 }
