#!lua flags=no-writes
-- Members of indexes. ARGV: [1] as JSON: {limit, covers}, each cover a list of legs {key, lower, upper, expands}, bounds as
-- ZRANGEBYLEX takes them. Takes the cover with fewest members, the last one while there are no indexes yet, and returns
-- {head, whether there are, number of the cover from 1, its members in all, for each leg its first `limit` members}. Of a leg
-- that expands, prompts to versions, each name is followed by the highest number it ever had.
local request = cjson.decode(ARGV[1])
local indexed = redis.call('HGET', META, 'index') == INDEXED
local chosen, fewest
for number = indexed and 1 or #request.covers, #request.covers do
  local sum = 0
  for _, leg in ipairs(request.covers[number]) do
    sum = sum + redis.call('ZLEXCOUNT', root .. leg.key, leg.lower, leg.upper)
  end
  if not fewest or sum < fewest then chosen, fewest = number, sum end
end
local lists = {}
for index, leg in ipairs(request.covers[chosen]) do
  local members = redis.call('ZRANGEBYLEX', root .. leg.key, leg.lower, leg.upper, 'LIMIT', 0, request.limit)
  lists[index] = members
  if leg.expands then
    lists[index] = {}
    for _, name in ipairs(members) do
      table.insert(lists[index], name)
      table.insert(lists[index], redis.call('HGET', prompt_key(name), 'latest') or '0')
    end
  end
end
return { head(), indexed and 1 or 0, chosen, fewest, lists }
