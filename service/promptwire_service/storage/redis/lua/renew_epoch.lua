#!lua
-- Gives the data set another id if its epoch is still ARGV[1]; ARGV[2] is a fresh random id. Returns {head}.
if head()[1] == ARGV[1] then redis.call('HSET', META, 'id', ARGV[2]) end
return { head() }
