#!lua flags=no-writes
-- ARGV: [1] name, [2] the number that all are below, [3] most rows, [4] most bytes of text and tags once there is a row.
-- Returns {head, rows}, newest first, without deleted ones.
local name, most, budget = ARGV[1], tonumber(ARGV[3]), tonumber(ARGV[4])
local latest = tonumber(redis.call('HGET', prompt_key(name), 'latest') or '0')
local rows, bytes = {}, 0
local function size(flat)
  local sum = 0
  for _, text in ipairs(flat) do sum = sum + #text end
  return sum
end
for number = math.min(latest, tonumber(ARGV[2]) - 1), 1, -1 do
  if #rows == most then break end
  local version = string.format('%.0f', number)
  local row = redis.call('HEXISTS', deleted_key(name), version) == 0 and version_row(name, version)
  if row then
    bytes = bytes + size(row[3]) + size(row[4])
    if #rows > 0 and bytes > budget then break end
    rows[#rows + 1] = row
  end
end
return { head(), rows }
