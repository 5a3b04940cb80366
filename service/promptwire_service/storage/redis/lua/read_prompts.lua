#!lua flags=no-writes
-- The prompts named in ARGV, in order: {head, rows}, a missing one as false. Ends early at WEIGHT_MAX.
local rows, sum = {}, 0
for index, name in ipairs(ARGV) do
  if sum > WEIGHT_MAX then break end
  rows[index] = prompt_row(name)
  sum = sum + weight(rows[index])
end
return { head(), rows }
