#!lua flags=no-writes
-- The prompts named in ARGV, in order: {head, rows}, a missing one as false.
local rows = {}
for index, name in ipairs(ARGV) do rows[index] = prompt_row(name) end
return { head(), rows }
