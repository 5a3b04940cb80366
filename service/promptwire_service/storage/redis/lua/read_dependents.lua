#!lua flags=no-writes
-- What includes versions of a prompt and is not deleted. ARGV: [1] name, [2] and [3] members to look at as ZRANGEBYLEX takes
-- them, [4] how many at most, [5] whose own versions to leave out, or empty. Returns {head, members, the last one looked at or
-- empty when that was all}.
local most = tonumber(ARGV[4])
local members = redis.call('ZRANGEBYLEX', dependents_key(ARGV[1]), ARGV[2], ARGV[3], 'LIMIT', 0, most)
local found = {}
for _, member in ipairs(members) do
  local by_name, by_version = string.match(member, '^%d+:([^%z]*)%z(%d+)$')
  if by_name ~= ARGV[5] and is_live(by_name, string.format('%.0f', tonumber(by_version))) then found[#found + 1] = member end
end
return { head(), found, #members == most and members[most] or '' }
