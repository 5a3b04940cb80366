#!lua flags=no-writes
-- ARGV: [1] name, [2] the number that all are below, [3] most rows, [4] most bytes of text and tags once there is a row.
-- Returns {head, rows}, newest first, without deleted ones, of which there are DELETED_VERSIONS_MAX at most: a hundred tombstones at a time.
local name, most, budget = ARGV[1], tonumber(ARGV[3]), tonumber(ARGV[4])
local prompt = redis.call('HMGET', prompt_key(name), 'latest', 'swept')
local number = prompt[2] and 0 or math.min(tonumber(prompt[1] or '0'), tonumber(ARGV[2]) - 1)
local rows, sum = {}, 0
while number > 0 and #rows < most do
  local numbers = {}
  for one = number, math.max(1, number - 99), -1 do numbers[#numbers + 1] = string.format('%.0f', one) end
  for index, deleted in ipairs(redis.call('HMGET', deleted_key(name), unpack(numbers))) do
    if not deleted and #rows < most then
      local row = version_row(name, numbers[index])
      sum = sum + weight(row)
      if #rows > 0 and sum > budget then return { head(), rows } end
      rows[#rows + 1] = row
    end
  end
  number = number - #numbers
end
return { head(), rows }
