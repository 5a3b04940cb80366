#!lua flags=no-writes
-- ARGV: [1] lower bound and [2] upper bound of names as ZRANGEBYLEX takes them, [3] most rows. Returns {head, rows}.
local rows = {}
for index, name in ipairs(redis.call('ZRANGEBYLEX', NAMES, ARGV[1], ARGV[2], 'LIMIT', 0, ARGV[3])) do
  rows[index] = prompt_row(name)
end
return { head(), rows }
