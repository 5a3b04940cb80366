#!lua flags=no-writes
-- Writes that are kept for ever. ARGV: [1] `audit` or `releases`, [2] XRANGE for oldest first or XREVRANGE for newest first, [3]
-- and [4] the ids to read from and to, [5] most entries. Returns {head, entries, by which revisions these were undone, 1 when
-- it ended early, at WEIGHT_MAX}.
local entries, undone, sum, cursor = {}, {}, 0, ARGV[3]
while #entries < tonumber(ARGV[5]) do
  -- An entry of a large release has hundreds of KiB, so a few at a time.
  local some = redis.call(ARGV[2], root .. ARGV[1], cursor, ARGV[4], 'COUNT', math.min(16, ARGV[5] - #entries))
  for _, entry in ipairs(some) do
    if sum > WEIGHT_MAX then return { head(), entries, undone, 1 } end
    entries[#entries + 1] = entry
    undone[#entries] = redis.call('HGET', UNDONE, string.match(entry[1], '^%d+')) or ''
    sum = sum + weight(entry)
    cursor = '(' .. entry[1]
  end
  if #some < 16 then break end
end
return { head(), entries, undone, 0 }
