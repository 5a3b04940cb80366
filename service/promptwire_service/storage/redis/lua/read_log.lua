#!lua flags=no-writes
-- ARGV: [1] the revision to read after, [2] most entries, [3] most bytes once there is an entry.
-- Returns {head, floor, entries, request id of the entry at ARGV[1]}; floor is the oldest revision from which the log is
-- complete.
local at = head()
local first = redis.call('XRANGE', LOG, '-', '+', 'COUNT', 1)[1]
local floor = first and string.format('%.0f', tonumber(string.match(first[1], '^%d+')) - 1) or at[2]
local here = redis.call('XRANGE', LOG, ARGV[1] .. '-0', ARGV[1] .. '-0')[1]
local cursor_request_id = ''
if here then
  for index = 1, #here[2], 2 do
    if here[2][index] == 'request_id' then cursor_request_id = here[2][index + 1] end
  end
end
local entries, bytes = {}, 0
local cursor = '(' .. ARGV[1] .. '-0'
while #entries < tonumber(ARGV[2]) do
  -- Entries may carry megabytes of tags, so a few at a time.
  local some = redis.call('XRANGE', LOG, cursor, '+', 'COUNT', math.min(16, tonumber(ARGV[2]) - #entries))
  if #some == 0 then break end
  for _, entry in ipairs(some) do
    for _, text in ipairs(entry[2]) do bytes = bytes + #text end
    if #entries > 0 and bytes > tonumber(ARGV[3]) then
      return { at, floor, entries, cursor_request_id }
    end
    entries[#entries + 1] = entry
    cursor = '(' .. entry[1]
  end
end
return { at, floor, entries, cursor_request_id }
