#!lua flags=no-writes
-- Writes that are kept for ever. ARGV: [1] `audit` or `releases`, [2] XRANGE for oldest first or XREVRANGE for newest first, [3]
-- and [4] the ids to read from and to, [5] most entries. Returns {head, entries, by which revisions these were undone}.
local entries = redis.call(ARGV[2], root .. ARGV[1], ARGV[3], ARGV[4], 'COUNT', ARGV[5])
local undone = {}
for index, entry in ipairs(entries) do
  undone[index] = redis.call('HGET', UNDONE, string.match(entry[1], '^%d+')) or ''
end
return { head(), entries, undone }
