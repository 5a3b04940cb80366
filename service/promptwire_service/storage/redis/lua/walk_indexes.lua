#!lua flags=no-writes
-- Members of indexes. ARGV: [1] as JSON: {limit, covers}, each cover a list of legs {key, lower, upper, expands}, bounds as
-- ZRANGEBYLEX takes them. Takes the cover with fewest members and returns {head, number of the cover from 1, its members in
-- all, for each leg its first members, how many that are at most}: `limit`, or fewer where there are many legs. Of a leg
-- that expands, prompts to versions, each name is followed by the highest number it ever had.
local request = cjson.decode(ARGV[1])
local chosen, fewest
for number, cover in ipairs(request.covers) do
  local sum = 0
  for _, leg in ipairs(cover) do
    sum = sum + redis.call('ZLEXCOUNT', root .. leg.key, leg.lower, leg.upper)
  end
  if not fewest or sum < fewest then chosen, fewest = number, sum end
end
-- 20,000 members of all legs together.
local limit = math.max(1, math.min(request.limit, math.floor(20000 / #request.covers[chosen])))
local lists = {}
for index, leg in ipairs(request.covers[chosen]) do
  local members = redis.call('ZRANGEBYLEX', root .. leg.key, leg.lower, leg.upper, 'LIMIT', 0, limit)
  lists[index] = members
  if leg.expands then
    lists[index] = {}
    for _, name in ipairs(members) do
      table.insert(lists[index], name)
      table.insert(lists[index], redis.call('HGET', prompt_key(name), 'latest') or '0')
    end
  end
end
return { head(), chosen, fewest, lists, limit }
