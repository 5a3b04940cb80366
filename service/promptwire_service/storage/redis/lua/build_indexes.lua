#!lua
-- Lists what was written before there were indexes. ARGV: [1] most prompts at a time. Returns {head, prompts left}. What is
-- written meanwhile lists itself; listing twice is listing once.
-- First a key that is always absent: on a slot that is moving away the script ends here, before it has written anything.
redis.call('EXISTS', root .. 'x:none')

local state = redis.call('HGET', META, 'index')
if state == INDEXED then return { head(), 0 } end
local todo = root .. 'x:todo'
if not state then
  redis.call('ZUNIONSTORE', todo, 1, NAMES)
  for _, member in ipairs(redis.call('ZRANGE', DELETED, 0, -1)) do
    local name = string.match(member, '^p:(.*)$')
    if name then redis.call('ZADD', todo, 0, name) end
  end
  redis.call('HSET', META, 'index', 'building')
end

local function list(key)
  local flat = redis.call('HGETALL', key)
  for index = 1, #flat, 2 do reindex(key, flat[index], false, flat[index + 1]) end
end

local popped = redis.call('ZPOPMIN', todo, ARGV[1])
for index = 1, #popped, 2 do
  local name = popped[index]
  list(prompt_key(name))
  list(aliases_key(name))
  list(tags_key(name))
  for number = 1, tonumber(redis.call('HGET', prompt_key(name), 'latest') or '0') do
    local version = string.format('%.0f', number)
    list(version_tags_key(name, version))
    local fields = redis.call('HMGET', version_key(name, version), 'author', 'created')
    reindex(version_key(name, version), 'author', false, fields[1])
    reindex(version_key(name, version), 'created', false, fields[2])
  end
end
local left = redis.call('ZCARD', todo)
if left == 0 then redis.call('HSET', META, 'index', INDEXED) end
return { head(), left }
