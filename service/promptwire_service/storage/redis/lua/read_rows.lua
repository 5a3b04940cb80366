#!lua flags=no-writes
-- Versions with their prompts, or prompts alone. ARGV: [1] how much of the content: `none`, `text` or `all`, [2] most bytes
-- once there is a row, then pairs of name and version, which is empty for the prompt alone. Returns {head, prompts, rows} for
-- as many of the pairs as the bytes allow; each prompt once, and a row false for what is not there or deleted.
local content, budget = ARGV[1], tonumber(ARGV[2])
local fields = { 'digest', 'message', 'author', 'created', 'etag', 'updated' }
if content == 'text' then
  fields[#fields + 1] = 'text'
  fields[#fields + 1] = 'messages'
end

local function row_of(name, version)
  if redis.call('HEXISTS', deleted_key(name), version) == 1 then return false end
  if content == 'all' then return version_row(name, version) end
  local values, flat = redis.call('HMGET', version_key(name, version), unpack(fields)), {}
  if not values[1] then return false end
  for index, value in ipairs(values) do
    if value then
      flat[#flat + 1] = fields[index]
      flat[#flat + 1] = value
    end
  end
  return { name, version, flat, redis.call('HGETALL', version_tags_key(name, version)) }
end

local prompts, known, rows, bytes = {}, {}, {}, 0
for index = 3, #ARGV, 2 do
  local name, version = ARGV[index], ARGV[index + 1]
  local prompt = known[name]
  if prompt == nil then prompt = prompt_row(name) end
  local there = prompt and redis.call('HEXISTS', prompt_key(name), 'deleted') == 0
  local row = there and version ~= '' and row_of(name, version)
  bytes = bytes + weight(row) + (known[name] == nil and weight(prompt) or 0)
  if #rows > 0 and bytes > budget then break end
  if known[name] == nil and there then prompts[#prompts + 1] = prompt end
  known[name] = prompt
  rows[#rows + 1] = row
end
return { head(), prompts, rows }
