#!lua
-- Carries out one write whole or not at all, once per request id. ARGV: [1] the request as JSON, [2] a fresh random id for a
-- data set that has none yet, [3] how long an answer is kept for repeats, in seconds, [4] about how many log entries to keep,
-- [5] the channel of notifications, [6] most entries of an alias's undo stack. Returns {head, answer as JSON: {revision, time,
-- results, ...} or {error, ...}}. Redis refuses the script before its first line when it is out of memory, read-only or unable to
-- persist, and never stops it half way.
local request = cjson.decode(ARGV[1])
local answer_key = root .. 'request:' .. request.request_id

-- First of all keys: on a slot that is moving away it is absent, and the script ends here before it has written anything.
local earlier = redis.call('HMGET', answer_key, 'fingerprint', 'answer')
if earlier[1] then
  if earlier[1] ~= request.fingerprint then return { head(), cjson.encode({ error = 'REQUEST_ID_REUSED' }) } end
  -- A write, so that whoever waits for replicas now waits for the one that is repeated, too.
  redis.call('EXPIRE', answer_key, ARGV[3])
  return { head(), earlier[2] }
end

-- Operations read through what is staged and write to it; nothing is written to the store before all of them agreed. What was
-- read is held: the steps of a release ask for much the same. Numbers travel as strings: Lua's would lose digits past 2^53.
local staged, held, later = {}, {}, {}
-- Hashes that this write begins, so that there is nothing in them yet, and by how much others have grown.
local fresh, grown = {}, {}

local function read(key, field)
  if fresh[key] then return false end
  held[key] = held[key] or {}
  if held[key][field] == nil then held[key][field] = redis.call('HGET', key, field) end
  return held[key][field]
end

-- Reads some fields at once that will be asked for.
local function prefetch(key, ...)
  if held[key] then return end
  held[key] = {}
  local values = redis.call('HMGET', key, ...)
  for index, field in ipairs({ ... }) do held[key][field] = values[index] end
end

local function get(key, field)
  local value = staged[key] and staged[key][field]
  if value ~= nil then return value end
  return read(key, field)
end

local function set(key, field, value)
  staged[key] = staged[key] or {}
  staged[key][field] = value
end

-- Sets a field of a hash whose fields are counted.
local function put(key, field, value)
  grown[key] = (grown[key] or 0) + (value and 1 or 0) - (get(key, field) and 1 or 0)
  set(key, field, value)
end

local function count(key)
  held[key] = held[key] or {}
  held[key][''] = held[key][''] or redis.call('HLEN', key)
  return held[key][''] + (grown[key] or 0)
end

local function all(key)
  local fields, flat = {}, redis.call('HGETALL', key)
  held[key] = held[key] or {}
  for index = 1, #flat, 2 do
    fields[flat[index]] = flat[index + 1]
    held[key][flat[index]] = flat[index + 1]
  end
  for field, value in pairs(staged[key] or {}) do fields[field] = value or nil end
  return fields
end

local function clear(key)
  for field in pairs(all(key)) do set(key, field, false) end
end

local function sorted(fields)
  local names = {}
  for name in pairs(fields) do names[#names + 1] = name end
  table.sort(names)
  return names
end

local function defer(...) later[#later + 1] = { ... } end

local function flush()
  for key, fields in pairs(staged) do
    local sets, removed, listed = {}, {}, listed_fields(key)
    for field, value in pairs(fields) do
      if listed[field] then reindex(key, field, read(key, field), value) end
      if value then
        sets[#sets + 1] = field
        sets[#sets + 1] = value
      else
        removed[#removed + 1] = field
      end
    end
    call_in_parts('HSET', key, sets)
    call_in_parts('HDEL', key, removed)
  end
  for _, command in ipairs(later) do
    if type(command[1]) == 'function' then
      command[1](unpack(command, 2))
    else
      redis.call(unpack(command))
    end
  end
  write_indexes()
end

local undoing = false
local now = redis.call('TIME')
local time = string.format('%.0f', now[1] * 1000 + math.floor(now[2] / 1000))
local revision = string.format('%.0f', tonumber(redis.call('HGET', META, 'revision') or '0') + 1)
local changes = {}

local function changed(kind, name, change)
  change.kind = kind
  change.name = name
  changes[#changes + 1] = change
  if kind ~= 'prompt_purged' then
    set(prompt_key(name), 'updated', time)
    set(prompt_key(name), 'etag', revision)
  end
end

local function leads_to(target, version)
  for _, one in ipairs(versions_in(target)) do
    if one == version then return true end
  end
  return false
end

-- The newest version that is not deleted, '0' when all are; the prompt keeps its number.
local function latest_of(name) return get(prompt_key(name), 'newest') or '0' end

-- The newest one below a number. Reads a hundred tombstones at a time; there are DELETED_VERSIONS_MAX at most. Numbers up to
-- `before` were of a prompt of this name that is purged.
local function newest_below(name, version)
  local number, before = tonumber(version) - 1, tonumber(get(prompt_key(name), 'before') or '0')
  while number > before do
    local numbers = {}
    for one = number, math.max(before + 1, number - 99), -1 do numbers[#numbers + 1] = string.format('%.0f', one) end
    for index, deleted in ipairs(redis.call('HMGET', deleted_key(name), unpack(numbers))) do
      if not deleted then return numbers[index] end
    end
    number = number - #numbers
  end
  return '0'
end

local function missing_version(name, version)
  if get(deleted_key(name), version) then return { error = 'VERSION_DELETED', version = version } end
  if not get(version_key(name, version), 'etag') then
    return { error = 'VERSION_NOT_FOUND', version = version, latest = latest_of(name) }
  end
end

local function missing_target(name, target)
  for _, version in ipairs(versions_in(target)) do
    local missing = missing_version(name, version)
    if missing then return missing end
  end
end

local function unexpected_target(operation, current)
  if operation.expected and operation.expected ~= current then
    return { error = 'ALIAS_CONFLICT', actual = current }
  end
end

-- Aliases that this write moves, by the key of their undo stack: {from, to, since}. What a write does in between was never live.
local moved = {}

-- `going_back` is {since, kind}: what the alias came to lead to at revision `since` or later is abandoned, and so is what it leads
-- to now.
local function move_alias(name, alias, to, going_back)
  local from = get(aliases_key(name), alias) or '0'
  if not going_back and undoing then going_back = { since = tonumber(request.undoes), kind = 'undo' } end
  put(aliases_key(name), alias, to ~= '0' and to)
  defer('XADD', history_key(name, alias), revision .. '-*', 'time', time, 'actor', request.actor, 'reason', request.reason,
    'request_id', request.request_id, 'from', from, 'to', to, 'back', going_back and going_back.kind or '',
    'undoes', request.undoes or '')
  local key = stack_key(name, alias)
  moved[key] = { from = moved[key] and moved[key].from or from, to = to, since = going_back and going_back.since }
  if to ~= '0' then
    changed('alias_set', name, { alias = alias, version = to, previous = from })
  else
    changed('alias_deleted', name, { alias = alias, previous = from })
  end
  return { target = to, previous = from }
end

-- A refusal when others include what is to be deleted. Looking for them may take many steps, so the service does it first:
-- `dependents` are some that it found, `looked` is {epoch, number} from before it looked. Nobody can have come to include it
-- since, unless by a registration, which the prompt keeps as `included`, or by an undeletion.
local function included(operation)
  local found = {}
  for _, member in ipairs(operation.dependents) do
    local by_name, by_version = string.match(member, '^(.*):(%d+)$')
    if is_live(by_name, by_version) then found[#found + 1] = member end
  end
  if #found > 0 then return { error = 'INCLUDED', dependents = found } end
  local since = tonumber(operation.looked[2])
  if #operation.dependents > 0 or operation.looked[1] ~= head()[1]
    or tonumber(get(prompt_key(operation.name), 'included') or '0') > since
    or tonumber(get(META, 'undeleted') or '0') > since then
    return { error = 'LOOK_AGAIN' }
  end
end

-- Each kind of operation stages what it does and returns its result, or a refusal; `true` for "nothing to do".
local kinds = {}

function kinds.register(operation)
  local name = operation.name
  for _, include in ipairs(operation.includes) do
    local missing = get(prompt_key(include.name), 'deleted') and { error = 'PROMPT_DELETED' }
      or missing_version(include.name, include.version)
    if not missing and get(version_key(include.name, include.version), 'digest') ~= include.digest then
      missing = { error = 'VERSION_NOT_FOUND', latest = latest_of(include.name) }
    end
    if missing then
      missing.name, missing.version = include.name, include.version
      return missing
    end
  end
  local last = get(prompt_key(name), 'latest')
  if operation.expected_latest then
    local latest = last and latest_of(name) or '0'
    if latest ~= operation.expected_latest then return { error = 'LATEST_CONFLICT', actual = latest } end
  end
  local version = string.format('%.0f', tonumber(last or get(NUMBERS, name) or '0') + 1)
  if not last then
    set(prompt_key(name), 'author', request.actor)
    set(prompt_key(name), 'created', time)
    set(prompt_key(name), 'before', get(NUMBERS, name))
    defer(note, additions, NAMES, name)
  end
  set(prompt_key(name), 'latest', version)
  set(prompt_key(name), 'newest', version)
  local key = version_key(name, version)
  fresh[key], fresh[version_tags_key(name, version)] = true, true
  for field, text in pairs(operation.content) do set(key, field, text) end
  set(key, 'digest', operation.digest)
  set(key, 'message', operation.commit_message)
  set(key, 'author', request.actor)
  set(key, 'created', time)
  set(key, 'etag', revision)
  for tag, value in pairs(operation.tags) do set(version_tags_key(name, version), tag, value) end
  if #operation.includes > 0 then set(key, 'includes_of', cjson.encode(operation.includes)) end
  for _, include in ipairs(operation.includes) do
    defer(note, additions, dependents_key(include.name), dependent_member(include.version, name, version))
    set(prompt_key(include.name), 'included', revision)
  end
  changed('version_registered', name, { version = version })
  return { version = version }
end

function kinds.set_alias(operation)
  local name, alias = operation.name, operation.alias
  local current = get(aliases_key(name), alias)
  if not current and count(aliases_key(name)) >= tonumber(operation.aliases_max) then return { error = 'TOO_MANY_ALIASES' } end
  local target = operation.target or latest_of(name)
  if target == '0' then return { error = 'NO_VERSION_LEFT' } end
  return missing_target(name, target) or unexpected_target(operation, current or '0') or move_alias(name, alias, target)
end

function kinds.delete_alias(operation)
  local name, alias = operation.name, operation.alias
  local current = get(aliases_key(name), alias)
  if not current then
    if operation.allow_missing then return {} end
    return { error = 'ALIAS_NOT_FOUND', known = sorted(all(aliases_key(name))) }
  end
  return unexpected_target(operation, current) or move_alias(name, alias, '0')
end

function kinds.rollback_alias(operation)
  local name, alias = operation.name, operation.alias
  local current = get(aliases_key(name), alias) or '0'
  local conflict = unexpected_target(operation, current)
  if conflict then return conflict end
  local to, since = operation.to, math.huge
  if operation.at then
    local entry = history_at(name, alias, tonumber(operation.at))
    if entry then to, since = entry.to, entry.revision + 1 end
  else
    local below = stack_entry(name, alias, function(target)
      if to then return target == stack_target(to) end
      return target ~= stack_target(current)
    end)
    if below then to, since = history_upto(name, alias, below).to, below + 1 end
  end
  if not to or to == '0' then return { error = 'NOTHING_TO_ROLL_BACK' } end
  if to == current then return { target = current, previous = current } end
  if current == '0' and count(aliases_key(name)) >= tonumber(operation.aliases_max) then
    return { error = 'TOO_MANY_ALIASES' }
  end
  return missing_target(name, to) or move_alias(name, alias, to, { since = since, kind = 'rollback' })
end

local function operation_tags_key(operation)
  if operation.version then return version_tags_key(operation.name, operation.version) end
  return tags_key(operation.name)
end

local function touch_version(operation)
  if not operation.version then return end
  set(version_key(operation.name, operation.version), 'etag', revision)
  set(version_key(operation.name, operation.version), 'updated', time)
end

function kinds.set_tags(operation)
  local missing = operation.version and missing_version(operation.name, operation.version)
  if missing then return missing end
  local key = operation_tags_key(operation)
  local after = all(key)
  for tag, value in pairs(operation.tags) do after[tag] = value end
  local sum, bytes = 0, 0
  for tag, value in pairs(after) do
    sum = sum + 1
    bytes = bytes + #tag + #value
  end
  if sum > tonumber(operation.tags_max) then return { error = 'TOO_MANY_TAGS' } end
  if bytes > tonumber(operation.tags_max_bytes) then return { error = 'TAGS_TOO_LARGE' } end
  for tag, value in pairs(operation.tags) do set(key, tag, value) end
  touch_version(operation)
  changed('tags_set', operation.name, { version = operation.version, tags = operation.tags })
  return {}
end

function kinds.delete_tags(operation)
  local missing = operation.version and missing_version(operation.name, operation.version)
  if missing then return missing end
  for _, tag in ipairs(operation.keys) do set(operation_tags_key(operation), tag, false) end
  touch_version(operation)
  changed('tags_deleted', operation.name, { version = operation.version, keys = operation.keys })
  return {}
end

function kinds.delete_version(operation)
  local name, version = operation.name, operation.version
  local missing = missing_version(name, version)
  if missing then return missing end
  local refusal = included(operation)
  if refusal then return refusal end
  local aliases = {}
  for _, alias in ipairs(sorted(all(aliases_key(name)))) do
    if leads_to(get(aliases_key(name), alias), version) then aliases[#aliases + 1] = alias end
  end
  if #aliases > 0 and not operation.drop_aliases then return { error = 'ALIASED', aliases = aliases } end
  if count(deleted_key(name)) >= tonumber(operation.deleted_max) then return { error = 'TOO_MANY_DELETED' } end
  for _, alias in ipairs(aliases) do move_alias(name, alias, '0') end
  set(deleted_key(name), version, time)
  if version == latest_of(name) then set(prompt_key(name), 'newest', newest_below(name, version)) end
  defer('ZADD', DELETED, time, 'v:' .. name .. ':' .. version)
  changed('version_deleted', name, { version = version })
  return {}
end

function kinds.undelete_version(operation)
  local name, version = operation.name, operation.version
  if not get(version_key(name, version), 'etag') then
    return { error = 'VERSION_NOT_FOUND', version = version, latest = latest_of(name) }
  end
  if not get(deleted_key(name), version) then return { error = 'NOT_DELETED' } end
  set(deleted_key(name), version, false)
  set(META, 'undeleted', revision)
  if tonumber(version) > tonumber(latest_of(name)) then set(prompt_key(name), 'newest', version) end
  defer('ZREM', DELETED, 'v:' .. name .. ':' .. version)
  changed('version_undeleted', name, { version = version })
  return {}
end

function kinds.delete_prompt(operation)
  local name = operation.name
  local refusal = included(operation)
  if refusal then return refusal end
  set(prompt_key(name), 'deleted', time)
  defer('ZREM', NAMES, name)
  defer('ZADD', DELETED, time, 'p:' .. name)
  changed('prompt_deleted', name, {})
  return {}
end

function kinds.undelete_prompt(operation)
  local name = operation.name
  if not get(prompt_key(name), 'deleted') then return { error = 'NOT_DELETED' } end
  -- Its purge has begun: versions are gone.
  if get(prompt_key(name), 'swept') then return { error = 'PROMPT_NOT_FOUND' } end
  set(prompt_key(name), 'deleted', false)
  set(META, 'undeleted', revision)
  defer(note, additions, NAMES, name)
  defer('ZREM', DELETED, 'p:' .. name)
  changed('prompt_undeleted', name, {})
  return {}
end

-- A prompt without its versions, which sweep.lua has taken away.
local function purge_prompt(name)
  set(NUMBERS, name, get(prompt_key(name), 'latest'))
  local aliases = sorted(all(aliases_key(name)))
  for _, alias in ipairs(aliases) do move_alias(name, alias, '0') end
  clear(tags_key(name))
  clear(prompt_key(name))
  defer('UNLINK', deleted_key(name))
  changed('prompt_purged', name, {})
  return 1 + #aliases
end

-- How many aliases and versions one purge removes, and up to a prompt's more.
local PURGED_AT_ONCE = 1000

function kinds.purge(operation)
  local due = redis.call('ZRANGEBYSCORE', DELETED, '-inf', '(' .. operation.before, 'LIMIT', 0, tonumber(operation.limit))
  local purged, touched = 0, 0
  for _, member in ipairs(due) do
    if touched >= PURGED_AT_ONCE then break end
    local kind, rest = string.match(member, '^(.):(.*)$')
    if kind == 'v' then
      local name, version = string.match(rest, '^(.*):(%d+)$')
      defer('ZREM', DELETED, member)
      defer(remove_version, name, version)
      changed('version_purged', name, { version = version })
      purged, touched = purged + 1, touched + 1
    elseif request.dry_run or tonumber(get(prompt_key(rest), 'swept') or '0') >= tonumber(get(prompt_key(rest), 'latest')) then
      defer('ZREM', DELETED, member)
      touched = touched + purge_prompt(rest)
      purged = purged + 1
    end
  end
  return { purged = purged }
end

local UNDELETES = { undelete_prompt = true, purge = true }

local function carry_out(operation, expected_etag)
  local name = operation.name
  if operation.kind ~= 'purge' then
    prefetch(prompt_key(name), 'latest', 'newest', 'etag', 'deleted', 'updated')
    local latest = get(prompt_key(name), 'latest')
    if not latest and operation.kind ~= 'register' then return { error = 'PROMPT_NOT_FOUND' } end
    local etag = get(prompt_key(name), 'etag') or '0'
    if expected_etag and etag ~= expected_etag then return { error = 'ETAG_CONFLICT', actual = etag } end
    if get(prompt_key(name), 'deleted') and not UNDELETES[operation.kind] then return { error = 'PROMPT_DELETED' } end
  end
  return kinds[operation.kind](operation)
end

-- The changes without long tags, for what is kept for ever.
local function for_ever(encoded)
  local kept, shortened = {}, false
  for index, change in ipairs(changes) do
    kept[index] = change
    if change.tags then
      local tags = {}
      shortened = true
      for tag, value in pairs(change.tags) do
        tags[tag] = #value <= 256 and value or ('<' .. #value .. ' bytes>')
      end
      kept[index] = { kind = change.kind, name = change.name, version = change.version, tags = tags }
    end
  end
  return shortened and cjson.encode(kept) or encoded
end

local function refuse(error) return { head(), cjson.encode(error) } end

if request.undoes then
  local release = redis.call('XRANGE', RELEASES, request.undoes .. '-0', request.undoes .. '-0')[1]
  if not release then return refuse({ error = 'RELEASE_NOT_FOUND', index = 0 }) end
  local by = get(UNDONE, request.undoes)
  if by then return refuse({ error = 'RELEASE_UNDONE', index = 0, by = by }) end
  set(UNDONE, request.undoes, revision)
  -- To undo an undoing is no undoing: what it leaves was not found wanting.
  undoing = fields_of(release[2]).abandons ~= '1'
end
local results = {}
for index, operation in ipairs(request.operations) do
  local result = carry_out(operation, index == 1 and request.expected_etag)
  if result.error then
    result.index = index - 1
    if not request.dry_run then return refuse(result) end
  end
  results[index] = result
end
if request.dry_run then
  return { head(), cjson.encode({ revision = head(), time = time, actor = request.actor, results = results }) }
end

if #changes > 0 then
  set(META, 'revision', revision)
  set(META, 'request_id', request.request_id)
  if not get(META, 'id') then set(META, 'id', ARGV[2]) end
  local encoded = cjson.encode(changes)
  local entry = { 'time', time, 'actor', request.actor, 'reason', request.reason, 'request_id', request.request_id }
  defer('XADD', LOG, 'MAXLEN', '~', ARGV[4], 'LIMIT', 1000, revision .. '-0', 'changes', encoded, unpack(entry))
  for field, value in pairs({ release = request.release, undoes = request.undoes, abandons = undoing and '1' or nil }) do
    entry[#entry + 1] = field
    entry[#entry + 1] = value
  end
  local kept = for_ever(encoded)
  defer('XADD', AUDIT, revision .. '-0', 'changes', kept, unpack(entry))
  if request.release then defer('XADD', RELEASES, revision .. '-0', 'changes', kept, unpack(entry)) end
  defer('PUBLISH', ARGV[5], string.match(root, '^pw:{(.*)}:$') .. ' notify ' .. revision)
  flush()
  for key, move in pairs(moved) do keep_in_stack(key, move, revision, tonumber(ARGV[6])) end
end

local at = head()
local encoded = cjson.encode({ revision = at, time = time, actor = request.actor, results = results })
redis.call('HSET', answer_key, 'fingerprint', request.fingerprint, 'answer', encoded)
redis.call('EXPIRE', answer_key, ARGV[3])
return { at, encoded }
