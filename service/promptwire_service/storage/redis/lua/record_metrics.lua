#!lua
-- Adds observations up, once per request id. ARGV: [1] {request_id, fingerprint, groups} as JSON, each group {name, version,
-- series, folded, hour, sketches: metric -> {count, mean, m2, least, greatest, buckets: {number, count, ...}}}, [2] how long an
-- answer is kept for repeats and [3] how long observations are, in seconds, [4] most series of a prompt within an hour, and as
-- many again that are folded, [5] most names of metrics of a prompt. Returns {head, answer as JSON: {refused: {{index of a
-- group, why, how many there are} ...}} or {error}}. Calls some ten commands for each value, and as many for each group.
local request = cjson.decode(ARGV[1])
-- First of all keys: on a slot that is moving away it is absent, and the script ends here before it has written anything.
local answer_key = root .. 'request:' .. request.request_id
local earlier = redis.call('HMGET', answer_key, 'fingerprint', 'answer')
if earlier[1] then
  if earlier[1] ~= request.fingerprint then return { head(), cjson.encode({ error = 'REQUEST_ID_REUSED' }) } end
  redis.call('EXPIRE', answer_key, ARGV[2])
  return { head(), earlier[2] }
end

local series_max, names_max = tonumber(ARGV[4]), tonumber(ARGV[5])
local hours_kept = tonumber(ARGV[3]) / 3600

local function number(value) return string.format('%.17g', value) end
local function integer(value) return string.format('%.0f', value) end

-- The number of a series within an hour, of its folded one when there are too many, or false when there are too many of those.
local function series_in(key, text, folded)
  local found = redis.call('ZSCORE', key, text)
  if found then return found end
  local size = redis.call('ZCARD', key)
  if size >= series_max and text ~= folded then return series_in(key, folded, folded) end
  if size >= 2 * series_max then return false end
  redis.call('ZADD', key, size, text)
  return integer(size)
end

local checked = {}

-- The names that a group would add to its prompt's, and how many the prompt has if that is too many.
local function new_names(group)
  local key, added = root .. 'mn:' .. group.name, {}
  checked[key] = checked[key] or {}
  for metric in pairs(group.sketches) do
    if not checked[key][metric] then
      local used = tonumber(redis.call('ZSCORE', key, metric) or '-1')
      if used < 0 then added[#added + 1] = metric end
      if used >= group.hour then checked[key][metric] = true end
    end
  end
  if #added == 0 then return added end
  -- A name makes room for another one once all that was observed under it is gone.
  redis.call('ZREMRANGEBYSCORE', key, '-inf', '(' .. integer(group.hour - hours_kept))
  local size = redis.call('ZCARD', key)
  return added, size + #added > names_max and size
end

local function use_names(group)
  local key = root .. 'mn:' .. group.name
  for metric in pairs(group.sketches) do
    if not checked[key][metric] then
      redis.call('ZADD', key, 'GT', group.hour, metric)
      checked[key][metric] = true
    end
  end
  redis.call('EXPIRE', key, ARGV[3])
end

local function add(key, sketch)
  local held = redis.call('HMGET', key, 'count', 'mean', 'm2', 'least', 'greatest')
  local before = tonumber(held[1] or '0')
  local count, mean, m2, least, greatest = before + sketch.count, sketch.mean, sketch.m2, sketch.least, sketch.greatest
  if before > 0 then
    local delta = sketch.mean - tonumber(held[2])
    m2 = tonumber(held[3]) + sketch.m2 + delta * delta * before * sketch.count / count
    mean = tonumber(held[2]) + delta * sketch.count / count
    least, greatest = math.min(least, tonumber(held[4])), math.max(greatest, tonumber(held[5]))
  end
  redis.call('HSET', key, 'count', number(count), 'mean', number(mean), 'm2', number(m2), 'least', number(least),
    'greatest', number(greatest))
  for index = 1, #sketch.buckets, 2 do
    redis.call('HINCRBY', key, 'b' .. integer(sketch.buckets[index]), integer(sketch.buckets[index + 1]))
  end
  return before == 0
end

local function record(group)
  if not is_live(group.name, group.version) or redis.call('EXISTS', version_key(group.name, group.version)) == 0 then
    return 'missing', 0
  end
  local _, names = new_names(group)
  if names then return 'names', names end
  local hour = integer(group.hour)
  local all = root .. 'ms:' .. group.name .. ':' .. hour
  local series = series_in(all, group.series, group.folded)
  if not series then return 'series', 2 * series_max end
  use_names(group)
  redis.call('EXPIRE', all, ARGV[3])
  local index = root .. 'mi:' .. group.name .. ':' .. hour
  for metric, sketch in pairs(group.sketches) do
    local key = root .. 'm:' .. group.name .. ':' .. hour .. ':' .. metric .. ':' .. series
    if add(key, sketch) then
      redis.call('EXPIRE', key, ARGV[3])
      redis.call('ZADD', index, 0, metric .. '\0' .. group.version .. '\0' .. series)
      redis.call('EXPIRE', index, ARGV[3])
    end
  end
  local hours = root .. 'mh:' .. group.name
  redis.call('ZADD', hours, hour, hour)
  redis.call('ZREMRANGEBYSCORE', hours, '-inf', '(' .. integer(group.hour - hours_kept))
  redis.call('EXPIRE', hours, ARGV[3])
end

local refused = {}
for index, group in ipairs(request.groups) do
  local why, count = record(group)
  if why then refused[#refused + 1] = { index - 1, why, count } end
end
local answer = cjson.encode({ refused = #refused > 0 and refused or nil })
redis.call('HSET', answer_key, 'fingerprint', request.fingerprint, 'answer', answer)
redis.call('EXPIRE', answer_key, ARGV[2])
return { head(), answer }
