#!lua
-- Takes away versions of prompts that are to be purged, so that the purge itself, a write, finds none left. ARGV: [1] the time
-- that they were deleted before, [2] how many deletions to look at, [3] about how many elements to take away: versions, their
-- tags, what they include. Returns {head, 1 when versions are left}. A prompt's `swept` says how far it is: from then on it is
-- not undeleted any more; it stays deleted for everybody until it is purged, whatever happens in between.
local due = redis.call('ZRANGEBYSCORE', DELETED, '-inf', '(' .. ARGV[1], 'LIMIT', 0, ARGV[2])
local left = tonumber(ARGV[3])
for _, member in ipairs(due) do
  local name = string.match(member, '^p:(.*)$')
  local fields = name and redis.call('HMGET', prompt_key(name), 'latest', 'swept')
  local latest, swept = tonumber(fields and fields[1] or '0'), tonumber(fields and fields[2] or '0')
  local number = swept
  while left > 0 and number < latest do
    number = number + 1
    left = left - remove_version(name, string.format('%.0f', number))
  end
  if number > swept then redis.call('HSET', prompt_key(name), 'swept', string.format('%.0f', number)) end
  if number < latest then
    write_indexes()
    return { head(), 1 }
  end
end
write_indexes()
return { head(), 0 }
