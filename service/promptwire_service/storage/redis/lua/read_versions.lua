#!lua flags=no-writes
-- The versions of ARGV's pairs of name and number, in order: {head, rows}, a missing one as false.
local rows = {}
for index = 1, #ARGV, 2 do rows[#rows + 1] = version_row(ARGV[index], ARGV[index + 1]) end
return { head(), rows }
