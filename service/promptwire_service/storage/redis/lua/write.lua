#!lua
-- Carries out one write whole or not at all, once per request id. ARGV: [1] the request as JSON, [2] a fresh random id for a
-- data set that has none yet, [3] how long an answer is kept for repeats, in seconds, [4] about how many log entries to keep,
-- [5] PUBLISH or, on a Cluster, SPUBLISH. Returns {head, answer as JSON: {revision, time, ...} or {error, ...}}. Redis refuses the script before its first line when it
-- is out of memory, read-only or unable to persist, and never stops it half way.
local request = cjson.decode(ARGV[1])
local operation = request.operation
local name = operation.name
local answer_key = root .. 'request:' .. request.request_id

local earlier = redis.call('HMGET', answer_key, 'fingerprint', 'answer')
if earlier[1] then
  if earlier[1] ~= request.fingerprint then return { head(), cjson.encode({ error = 'REQUEST_ID_REUSED' }) } end
  -- A write, so that whoever waits for replicas now waits for the one that is repeated, too.
  redis.call('EXPIRE', answer_key, ARGV[3])
  return { head(), earlier[2] }
end

local function refuse(error) return { head(), cjson.encode(error) } end

local latest = redis.call('HGET', prompt_key(name), 'latest')
if not latest and operation.kind ~= 'register' then return refuse({ error = 'PROMPT_NOT_FOUND' }) end
if request.expected_etag then
  local etag = redis.call('HGET', prompt_key(name), 'etag') or '0'
  if etag ~= request.expected_etag then return refuse({ error = 'ETAG_CONFLICT', actual = etag }) end
end

-- Each kind of operation: `check` returns a refusal or nothing and writes nothing; `apply` writes, and returns the change for
-- the log and what the answer adds. Numbers travel as strings: Lua's would lose digits past 2^53.
local kinds = {}

local function missing_version(version)
  if redis.call('EXISTS', version_key(name, version)) == 0 then
    return { error = 'VERSION_NOT_FOUND', latest = latest }
  end
end

local function unexpected_target(current)
  if operation.expected_version and operation.expected_version ~= current then
    return { error = 'ALIAS_CONFLICT', actual = current }
  end
end

kinds.register = {
  check = function() end,
  apply = function(revision, time)
    local version = string.format('%.0f', tonumber(latest or '0') + 1)
    if not latest then
      redis.call('HSET', prompt_key(name), 'author', request.actor, 'created', time)
      redis.call('ZADD', NAMES, 0, name)
    end
    redis.call('HSET', prompt_key(name), 'latest', version)
    redis.call('HSET', version_key(name, version), 'text', operation.text, 'response_format', operation.response_format,
      'model_config', operation.model_config, 'digest', operation.digest, 'message', operation.commit_message,
      'author', request.actor, 'created', time, 'etag', revision)
    for key, value in pairs(operation.tags) do
      redis.call('HSET', version_tags_key(name, version), key, value)
    end
    return { kind = 'version_registered', name = name, version = version }, { version = version }
  end,
}

kinds.set_alias = {
  check = function()
    local current = redis.call('HGET', aliases_key(name), operation.alias)
    if not current and redis.call('HLEN', aliases_key(name)) >= tonumber(operation.aliases_max) then
      return { error = 'TOO_MANY_ALIASES' }
    end
    return missing_version(operation.version) or unexpected_target(current or '0')
  end,
  apply = function()
    local previous = redis.call('HGET', aliases_key(name), operation.alias) or '0'
    redis.call('HSET', aliases_key(name), operation.alias, operation.version)
    return { kind = 'alias_set', name = name, alias = operation.alias, version = operation.version, previous = previous },
      { previous = previous }
  end,
}

kinds.delete_alias = {
  check = function()
    local current = redis.call('HGET', aliases_key(name), operation.alias)
    if not current then
      if operation.allow_missing then return { nothing = true } end
      return { error = 'ALIAS_NOT_FOUND', known = redis.call('HKEYS', aliases_key(name)) }
    end
    return unexpected_target(current)
  end,
  apply = function()
    local previous = redis.call('HGET', aliases_key(name), operation.alias)
    redis.call('HDEL', aliases_key(name), operation.alias)
    return { kind = 'alias_deleted', name = name, alias = operation.alias, previous = previous }, { previous = previous }
  end,
}

local function operation_tags_key()
  if operation.version then return version_tags_key(name, operation.version) end
  return tags_key(name)
end

local function touch_version(revision)
  if operation.version then redis.call('HSET', version_key(name, operation.version), 'etag', revision) end
end

kinds.set_tags = {
  check = function()
    local refusal = operation.version and missing_version(operation.version)
    if refusal then return refusal end
    local key = operation_tags_key()
    local count = redis.call('HLEN', key)
    for tag in pairs(operation.tags) do
      if redis.call('HEXISTS', key, tag) == 0 then count = count + 1 end
    end
    if count > tonumber(operation.tags_max) then return { error = 'TOO_MANY_TAGS' } end
  end,
  apply = function(revision)
    for tag, value in pairs(operation.tags) do redis.call('HSET', operation_tags_key(), tag, value) end
    touch_version(revision)
    return { kind = 'tags_set', name = name, version = operation.version, tags = operation.tags }, {}
  end,
}

kinds.delete_tags = {
  check = function() return operation.version and missing_version(operation.version) end,
  apply = function(revision)
    for _, tag in ipairs(operation.keys) do redis.call('HDEL', operation_tags_key(), tag) end
    touch_version(revision)
    return { kind = 'tags_deleted', name = name, version = operation.version, keys = operation.keys }, {}
  end,
}

local kind = kinds[operation.kind]
local now = redis.call('TIME')
local time = string.format('%.0f', now[1] * 1000 + math.floor(now[2] / 1000))
local answer

local refusal = kind.check()
if refusal and refusal.error then return refuse(refusal) end
if refusal and refusal.nothing then
  answer = { previous = '0' }
else
  redis.call('HSETNX', META, 'id', ARGV[2])
  local revision = string.format('%.0f', redis.call('HINCRBY', META, 'revision', 1))
  local change
  change, answer = kind.apply(revision, time)
  redis.call('HSET', prompt_key(name), 'updated', time, 'etag', revision)
  redis.call('XADD', LOG, 'MAXLEN', '~', ARGV[4], revision .. '-0', 'time', time, 'actor', request.actor,
    'reason', request.reason, 'request_id', request.request_id, 'changes', cjson.encode({ change }))
  redis.call(ARGV[5], BELL, revision)
end

local at = head()
answer.revision = at
answer.time = time
answer.actor = request.actor
local encoded = cjson.encode(answer)
redis.call('HSET', answer_key, 'fingerprint', request.fingerprint, 'answer', encoded)
redis.call('EXPIRE', answer_key, ARGV[3])
return { at, encoded }
