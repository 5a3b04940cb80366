#!lua flags=no-writes
-- What was observed of a prompt. ARGV: [1] name, [2] first hour and [3] last hour, as ZRANGEBYSCORE takes them, [4] most hours.
-- Returns {head, {hour, hash ...}}.
local found = {}
for _, hour in ipairs(redis.call('ZRANGEBYSCORE', root .. 'mh:' .. ARGV[1], ARGV[2], ARGV[3], 'LIMIT', 0, ARGV[4])) do
  found[#found + 1] = hour
  found[#found + 1] = redis.call('HGETALL', root .. 'm:' .. ARGV[1] .. ':' .. hour)
end
return { head(), found }
