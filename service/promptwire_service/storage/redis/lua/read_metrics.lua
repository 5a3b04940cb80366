#!lua flags=no-writes
-- What was observed of a prompt, a part at a time. ARGV: [1] as JSON {name, first, last: hours; legs: {{lower, upper} ...},
-- ranges of an hour's index as ZRANGEBYLEX takes them; versions: those that count, as keys, absent for all; after: where to go
-- on, as this returned it}, [2] how much to look at: 1 for each member of an index, and each number of a sketch that counts.
-- Returns {head, {hour, metric, series, sketch ...}, where to go on, empty at the end}. Exceeds [2] by one sketch (5,600
-- numbers) at most.
local query, budget = cjson.decode(ARGV[1]), tonumber(ARGV[2])
local name, after, found, texts = query.name, query.after, {}, {}

local function series_of(hour, series)
  local key = root .. 'ms:' .. name .. ':' .. hour
  texts[key] = texts[key] or {}
  texts[key][series] = texts[key][series] or redis.call('ZRANGEBYSCORE', key, series, series)[1]
  return texts[key][series]
end

local function read(hour, member)
  local metric, version, series = string.match(member, '^([^%z]*)%z(%d+)%z(%d+)$')
  if query.versions and not query.versions[version] then return end
  local sketch = redis.call('HGETALL', root .. 'm:' .. name .. ':' .. hour .. ':' .. metric .. ':' .. series)
  budget = budget - #sketch / 2
  if #sketch == 0 or not series_of(hour, series) then return end
  for _, part in ipairs({ hour, metric, series_of(hour, series), sketch }) do found[#found + 1] = part end
end

local function stop(hour, leg, member) return { head(), found, cjson.encode({ hour = hour, leg = leg, member = member }) } end

local hours = redis.call('ZRANGEBYSCORE', root .. 'mh:' .. name, after and after.hour or query.first, query.last, 'LIMIT', 0, 100)
for _, hour in ipairs(hours) do
  local here = after and after.hour == hour and after
  for leg = here and here.leg or 1, #query.legs do
    local lower, upper = unpack(query.legs[leg])
    if here and here.leg == leg and here.member ~= '' then lower = '(' .. here.member end
    repeat
      local members = redis.call('ZRANGEBYLEX', root .. 'mi:' .. name .. ':' .. hour, lower, upper, 'LIMIT', 0, 100)
      budget = budget - 1
      for _, member in ipairs(members) do
        budget = budget - 1
        read(hour, member)
        if budget <= 0 then return stop(hour, leg, member) end
        lower = '(' .. member
      end
    until #members < 100
    if budget <= 0 then return stop(hour, leg + 1, '') end
  end
end
if #hours == 100 then return stop(hours[100], #query.legs + 1, '') end
return { head(), found, '' }
