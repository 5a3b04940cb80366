-- The indexes that searches look into; precedes the scripts that write them. Each is a sorted set whose scores are all 0, so
-- that its members are in byte order. `x:<sha1 of a term>` has who has it: names of prompts, or `<name> NUL <15 digits>` for
-- versions, newest first within a name. `x:newest:<what>` has all of them, before that 15 digits, newest first. They only say
-- where to look: a search matches what it finds there against the whole filter, and leaves out what is deleted.
local TURNED = 999999999999999
local function turned(number) return string.format('%015.0f', TURNED - tonumber(number)) end
local function version_member(name, version) return name .. '\0' .. turned(version) end

local function term_key(...) return root .. 'x:' .. redis.sha1hex(table.concat({ ... }, '\0')) end
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
local function is_listed(key) 
  local kind = kind_of(key)
  return kind and LISTED[kind] ~= nil
end

-- The one place that changes indexes: a field of a hash goes from one value to another; false is none.
local function reindex(key, field, old, new)
  local kind, rest = kind_of(key)
  local listed = LISTED[kind]
  if old == new then return end
  local from, to = old and listed(rest, field, old) or {}, new and listed(rest, field, new) or {}
  for index = 1, #from, 2 do redis.call('ZREM', from[index], from[index + 1]) end
  for index = 1, #to, 2 do redis.call('ZADD', to[index], 0, to[index + 1]) end
end
