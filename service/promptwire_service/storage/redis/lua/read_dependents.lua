#!lua flags=no-writes
-- Who includes versions of a prompt. ARGV: [1] name, then version numbers. Returns {head, lists of `name:version`}, without
-- those that are deleted.
local lists = {}
for index = 2, #ARGV do
  local found = {}
  for _, member in ipairs(redis.call('HKEYS', dependents_key(ARGV[1], ARGV[index]))) do
    local name, version = string.match(member, '^(.*):(%d+)$')
    if not redis.call('HGET', prompt_key(name), 'deleted') and redis.call('HEXISTS', deleted_key(name), version) == 0 then
      found[#found + 1] = member
    end
  end
  lists[#lists + 1] = found
end
return { head(), lists }
