-- Shared by every script, which it precedes. KEYS[1] is the namespace's meta key, `pw:{<namespace>}:meta`; the hash tag puts
-- every other key of the namespace into the same slot, so that they may be built here.
local root = string.sub(KEYS[1] or '', 1, -5)
local META, LOG, NAMES = KEYS[1], root .. 'log', root .. 'names'
local AUDIT, RELEASES, UNDONE = root .. 'audit', root .. 'releases', root .. 'undone'
local DELETED, NUMBERS = root .. 'deleted', root .. 'numbers'

local function prompt_key(name) return root .. 'p:' .. name end
local function aliases_key(name) return root .. 'a:' .. name end
local function tags_key(name) return root .. 't:' .. name end
local function version_key(name, version) return root .. 'v:' .. name .. ':' .. version end
local function version_tags_key(name, version) return root .. 'vt:' .. name .. ':' .. version end
local function deleted_key(name) return root .. 'd:' .. name end
local function history_key(name, alias) return root .. 'h:' .. name .. ':' .. alias end
local function stack_key(name, alias) return root .. 'u:' .. name .. ':' .. alias end
local function dependents_key(name) return root .. 'i:' .. name end

-- A version's number so that newer ones come first in byte order.
local TURNED = 999999999999999
local function turned(number) return string.format('%015.0f', TURNED - tonumber(number)) end
-- Members of `i:<name>`: what includes a version of a prompt, newest version first, and then by name and number.
local function dependent_member(version, by_name, by_version)
  return turned(version) .. ':' .. by_name .. '\0' .. string.format('%015.0f', tonumber(by_version))
end

-- Where history is: {epoch, number}. The epoch joins the data set's own random id, which FLUSHALL or an empty store takes
-- away, with the server's replication id, which fail-over and restart change; either one alone would miss the other's case.
-- A replica has its primary's replication id, and lags behind: it must not answer.
local function server_id()
  local replication = redis.call('INFO', 'replication')
  if not string.find(replication, 'role:master', 1, true) then error({ err = 'READONLY this server is a replica now' }) end
  return string.sub(string.match(replication, 'master_replid:(%x+)'), 1, 16)
end

local function head()
  local meta = redis.call('HMGET', META, 'id', 'revision')
  return { (meta[1] or 'empty') .. '-' .. server_id(), meta[2] or '0' }
end

local function prompt_row(name)
  local fields = redis.call('HGETALL', prompt_key(name))
  if #fields == 0 then return false end
  return {
    name, fields, redis.call('HGETALL', aliases_key(name)), redis.call('HGETALL', tags_key(name)),
    redis.call('HGETALL', deleted_key(name)),
  }
end

local function version_row(name, version)
  local fields = redis.call('HGETALL', version_key(name, version))
  if #fields == 0 then return false end
  return { name, version, fields, redis.call('HGETALL', version_tags_key(name, version)) }
end

-- About what a reply costs: its bytes, and 100 for each element. A script that reads rows ends once they cost WEIGHT_MAX, after
-- the first one at the earliest, and the service asks again for the rest: 4 MiB, or 42,000 small elements.
local WEIGHT_MAX = 4194304
local function weight(value)
  if type(value) ~= 'table' then return 100 + (type(value) == 'string' and #value or 0) end
  local sum = 100
  for _, part in ipairs(value) do sum = sum + weight(part) end
  return sum
end

-- A target as aliases keep it: a version's number, or a split as JSON.
local function versions_in(target)
  if string.sub(target, 1, 1) ~= '{' then return { target } end
  local versions = {}
  for _, segment in ipairs(cjson.decode(target).segments) do versions[#versions + 1] = segment[2] end
  return versions
end

-- Whether a version that was registered is there for readers: neither it nor its prompt is deleted.
local function is_live(name, version)
  local fields = redis.call('HMGET', prompt_key(name), 'latest', 'deleted')
  return fields[1] and not fields[2] and redis.call('HEXISTS', deleted_key(name), version) == 0
end
