-- How an alias moved (a stream, for ever), and its undo stack: a sorted set of `<revision>:<target>`, scored by the revision at
-- which the alias came to lead there. Moves push, going back pops; what was left by going back is in it nowhere. It has a bounded
-- number of entries, so a script may read all of it. A split stands in it by its digest; the history has it at that revision.

local function fields_of(flat)
  local fields = {}
  for index = 1, #flat, 2 do fields[flat[index]] = flat[index + 1] end
  return fields
end

local function history_entry(row)
  if not row then return false end
  local fields = fields_of(row[2])
  fields.id, fields.revision, fields.time = row[1], tonumber(string.match(row[1], '^%d+')), tonumber(fields.time)
  return fields
end

-- The newest entry of an alias's history at a revision or before; false when there is none.
local function history_upto(name, alias, revision)
  local upto = string.format('%.0f', revision)
  return history_entry(redis.call('XREVRANGE', history_key(name, alias), upto, '-', 'COUNT', 1)[1])
end

-- The newest entry of a time or before, in milliseconds; false when there is none. By halving: its work hardly grows with the
-- history. Where the server's clock went back there may be several moments of one time, and this is one of them.
local function history_at(name, alias, at)
  local key = history_key(name, alias)
  local newest = history_entry(redis.call('XREVRANGE', key, '+', '-', 'COUNT', 1)[1])
  if not newest or newest.time <= at then return newest end
  local oldest = history_entry(redis.call('XRANGE', key, '-', '+', 'COUNT', 1)[1])
  if oldest.time > at then return false end
  -- Up to `low` the newest entry is not after that time, up to `high` it is.
  local low, high = oldest.revision, newest.revision
  while high - low > 1 do
    local middle = math.floor((low + high) / 2)
    local entry = history_upto(name, alias, middle)
    if entry.time <= at then low = middle else high = entry.revision end
  end
  return history_upto(name, alias, low)
end

-- A target as the stack has it.
local function stack_target(target)
  return string.sub(target, 1, 1) == '{' and redis.sha1hex(target) or target
end

local function parsed(member)
  local revision, target = string.match(member, '^(%d+):(.*)$')
  return tonumber(revision), target
end

-- The revision of the newest entry of an alias's undo stack whose target `matches`; nil when there is none.
local function stack_entry(name, alias, matches)
  for _, member in ipairs(redis.call('ZRANGE', stack_key(name, alias), 0, -1, 'REV')) do
    local revision, target = parsed(member)
    if matches(target) then return revision end
  end
end

-- After a move {from, to, since} at a revision. With `since` it went back: what it left is taken out wherever it stands, and
-- with it all from the revision `since` on.
local function keep_in_stack(key, move, at, most)
  if move.since then
    local abandoned = {}
    for _, member in ipairs(redis.call('ZRANGE', key, 0, -1)) do
      local revision, target = parsed(member)
      if revision >= move.since or (target == stack_target(move.from) and move.from ~= move.to) then
        abandoned[#abandoned + 1] = member
      end
    end
    if #abandoned > 0 then redis.call('ZREM', key, unpack(abandoned)) end
  end
  if move.to == '0' then return end
  local top = redis.call('ZRANGE', key, 0, 0, 'REV')[1]
  if top and select(2, parsed(top)) == stack_target(move.to) then return end
  redis.call('ZADD', key, at, at .. ':' .. stack_target(move.to))
  if redis.call('ZCARD', key) > most then redis.call('ZPOPMIN', key) end
end
