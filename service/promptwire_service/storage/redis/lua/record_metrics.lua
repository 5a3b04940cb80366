#!lua
-- Adds observations up, once per request id. ARGV: [1] {request_id, fingerprint, groups} as JSON, each group {name, version,
-- series, folded, hour, sketches: metric -> {count, mean, m2, least, greatest, buckets: {number, count, ...}}}, [2] how long an
-- answer is kept for repeats and [3] how long observations are, in seconds, [4] most series of a prompt within an hour. Returns
-- {head, answer as JSON: {refused: indexes of groups whose version is not there} or {error}}.
local request = cjson.decode(ARGV[1])
-- First of all keys: on a slot that is moving away it is absent, and the script ends here before it has written anything.
local answer_key = root .. 'request:' .. request.request_id
local earlier = redis.call('HMGET', answer_key, 'fingerprint', 'answer')
if earlier[1] then
  if earlier[1] ~= request.fingerprint then return { head(), cjson.encode({ error = 'REQUEST_ID_REUSED' }) } end
  redis.call('EXPIRE', answer_key, ARGV[2])
  return { head(), earlier[2] }
end

local function is_there(name, version)
  return redis.call('HEXISTS', version_key(name, version), 'etag') == 1
    and redis.call('HEXISTS', deleted_key(name), version) == 0
    and redis.call('HEXISTS', prompt_key(name), 'deleted') == 0
end

local function number(value) return string.format('%.17g', value) end

local function add(key, field, sketch)
  local held = redis.call('HMGET', key, field .. 'count', field .. 'mean', field .. 'm2', field .. 'least', field .. 'greatest')
  local before = tonumber(held[1] or '0')
  local count, mean, m2, least, greatest = before + sketch.count, sketch.mean, sketch.m2, sketch.least, sketch.greatest
  if before > 0 then
    local delta = sketch.mean - tonumber(held[2])
    m2 = tonumber(held[3]) + sketch.m2 + delta * delta * before * sketch.count / count
    mean = tonumber(held[2]) + delta * sketch.count / count
    least, greatest = math.min(least, tonumber(held[4])), math.max(greatest, tonumber(held[5]))
  end
  redis.call('HSET', key, field .. 'count', number(count), field .. 'mean', number(mean), field .. 'm2', number(m2),
    field .. 'least', number(least), field .. 'greatest', number(greatest))
  for index = 1, #sketch.buckets, 2 do
    redis.call('HINCRBY', key, field .. 'b' .. string.format('%.0f', sketch.buckets[index]),
      string.format('%.0f', sketch.buckets[index + 1]))
  end
end

local refused = {}
for index, group in ipairs(request.groups) do
  if not is_there(group.name, group.version) then
    refused[#refused + 1] = index - 1
  else
    local key, hours = root .. 'm:' .. group.name .. ':' .. group.hour, root .. 'mh:' .. group.name
    local known = root .. 'ms:' .. group.name .. ':' .. group.hour
    local series = group.series
    if redis.call('SISMEMBER', known, series) == 0 then
      if redis.call('SCARD', known) >= tonumber(ARGV[4]) then series = group.folded end
      redis.call('SADD', known, series)
    end
    for metric, sketch in pairs(group.sketches) do add(key, series .. '\0' .. metric .. '\0', sketch) end
    redis.call('EXPIRE', key, ARGV[3])
    redis.call('EXPIRE', known, ARGV[3])
    redis.call('ZADD', hours, group.hour, group.hour)
    redis.call('ZREMRANGEBYSCORE', hours, '-inf', '(' .. string.format('%.0f', group.hour - tonumber(ARGV[3]) / 3600))
    redis.call('EXPIRE', hours, ARGV[3])
  end
end
local answer = cjson.encode({ refused = #refused > 0 and refused or nil })
redis.call('HSET', answer_key, 'fingerprint', request.fingerprint, 'answer', answer)
redis.call('EXPIRE', answer_key, ARGV[2])
return { head(), answer }
