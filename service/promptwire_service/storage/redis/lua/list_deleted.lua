#!lua flags=no-writes
-- What is deleted and not purged yet, oldest deletion first. ARGV: [1] rank of the first row and [2] of the
-- last one, found without counting through those before. Returns {head, rows as a flat list of member and time}.
return { head(), redis.call('ZRANGE', DELETED, ARGV[1], ARGV[2], 'WITHSCORES') }
