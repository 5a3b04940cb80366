#!lua flags=no-writes
-- ARGV: [1] lower bound and [2] upper bound of names as ZRANGEBYLEX takes them, [3] most rows. Returns {head, rows, 1 when some
-- were left out}; ends early at WEIGHT_MAX.
local rows, sum = {}, 0
local names = redis.call('ZRANGEBYLEX', NAMES, ARGV[1], ARGV[2], 'LIMIT', 0, ARGV[3])
for index, name in ipairs(names) do
  rows[index] = prompt_row(name)
  sum = sum + weight(rows[index])
  if sum > WEIGHT_MAX and index < #names then return { head(), rows, 1 } end
end
return { head(), rows, 0 }
