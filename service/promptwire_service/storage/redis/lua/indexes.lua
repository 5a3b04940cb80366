-- The indexes that searches look into; precedes the scripts that write them. A field of a hash is in 1 index, or 2; an alias in
-- 1 and one more for each version of its split. Each is a sorted set whose scores are all 0, so
-- that its members are in byte order. `x:<sha1 of a term>` has who has it: names of prompts, or `<name> NUL <15 digits>` for
-- versions, newest first within a name. `x:newest:<what>` has all of them, before that 15 digits, newest first. They only say
-- where to look: a search matches what it finds there against the whole filter, and leaves out what is deleted.
local function version_member(name, version) return name .. '\0' .. turned(version) end

local terms = {}
local function term_key(...)
  local term = table.concat({ ... }, '\0')
  terms[term] = terms[term] or root .. 'x:' .. redis.sha1hex(term)
  return terms[term]
end
local function newest_key(what) return root .. 'x:newest:' .. what end

-- By kind of hash, the first letters of its key: {index, member, ...} that a value of a field is listed under.
local LISTED = {}

function LISTED.t(name, tag, value) return { term_key('prompt', 'tag', tag, value), name } end

function LISTED.vt(rest, tag, value)
  local name, version = string.match(rest, '^(.*):(%d+)$')
  return { term_key('version', 'tag', tag, value), version_member(name, version) }
end

function LISTED.a(name, alias, target)
  local listed = { term_key('prompt', 'alias', alias), name }
  for _, version in ipairs(versions_in(target)) do
    listed[#listed + 1] = term_key('version', 'alias', alias)
    listed[#listed + 1] = version_member(name, version)
  end
  return listed
end

function LISTED.p(name, field, value)
  if field == 'author' then return { term_key('prompt', 'author', value), name } end
  if field == 'created' then return { newest_key('prompt:created_at'), turned(value) .. '\0' .. name } end
  if field == 'updated' then return { newest_key('prompt:updated_at'), turned(value) .. '\0' .. name } end
  return {}
end

function LISTED.v(rest, field, value)
  if field ~= 'author' and field ~= 'created' then return {} end
  local name, version = string.match(rest, '^(.*):(%d+)$')
  local member = version_member(name, version)
  if field == 'author' then return { term_key('version', 'author', value), member } end
  return { newest_key('version:created_at'), turned(value) .. '\0' .. member }
end

local function kind_of(key) return string.match(key, '^(%a+):(.*)$', #root + 1) end

-- Of these kinds, only these fields are listed.
local FIELDS = { p = { author = true, created = true, updated = true }, v = { author = true, created = true } }
local EVERY = setmetatable({}, { __index = function() return true end })
local NONE = {}
-- Which fields of a hash are listed.
local function listed_fields(key)
  local kind = kind_of(key)
  return LISTED[kind or ''] and (FIELDS[kind] or EVERY) or NONE
end

local additions, removals = {}, {}

local function note(lists, key, member)
  lists[key] = lists[key] or {}
  table.insert(lists[key], member)
end

-- Calls a command with a key and any number of arguments, a few at a time: unpack has a limit.
local function call_in_parts(command, key, arguments)
  for first = 1, #arguments, 1000 do
    redis.call(command, key, unpack(arguments, first, math.min(first + 999, #arguments)))
  end
end

-- The one place that changes indexes: a field of a hash goes from one value to another; false is none. `write_indexes` carries
-- it out, one command for each index: a member is of one field of one hash, so that their order does not matter.
local function reindex(key, field, old, new)
  if old == new then return end
  local kind, rest = kind_of(key)
  local listed = LISTED[kind]
  local from, to = old and listed(rest, field, old) or {}, new and listed(rest, field, new) or {}
  for index = 1, #from, 2 do note(removals, from[index], from[index + 1]) end
  for index = 1, #to, 2 do note(additions, to[index], to[index + 1]) end
end

local function write_indexes()
  for key, members in pairs(removals) do call_in_parts('ZREM', key, members) end
  for key, members in pairs(additions) do
    local scored = {}
    for _, member in ipairs(members) do
      scored[#scored + 1] = 0
      scored[#scored + 1] = member
    end
    call_in_parts('ZADD', key, scored)
  end
  additions, removals = {}, {}
end

-- Takes a version away with all that says it is there, but for its prompt's tombstone. Returns about how many elements it
-- touched: 1, its tags (100 at most) and what it includes (100 at most).
local function remove_version(name, version)
  local key, tags = version_key(name, version), version_tags_key(name, version)
  local fields = redis.call('HMGET', key, 'author', 'created', 'includes_of')
  reindex(key, 'author', fields[1], false)
  reindex(key, 'created', fields[2], false)
  local flat = redis.call('HGETALL', tags)
  for index = 1, #flat, 2 do reindex(tags, flat[index], flat[index + 1], false) end
  local includes = fields[3] and cjson.decode(fields[3]) or {}
  for _, include in ipairs(includes) do
    redis.call('ZREM', dependents_key(include.name), dependent_member(include.version, name, version))
  end
  redis.call('UNLINK', key, tags)
  redis.call('ZREM', DELETED, 'v:' .. name .. ':' .. version)
  return 1 + #flat / 2 + #includes
end
