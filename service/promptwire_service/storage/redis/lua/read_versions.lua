#!lua flags=no-writes
-- The versions of ARGV's pairs of name and number, in order: {head, rows}, a missing one as false. Ends early at WEIGHT_MAX.
local rows, sum = {}, 0
for index = 1, #ARGV, 2 do
  if sum > WEIGHT_MAX then break end
  local row = version_row(ARGV[index], ARGV[index + 1])
  rows[#rows + 1] = row
  sum = sum + weight(row)
end
return { head(), rows }
