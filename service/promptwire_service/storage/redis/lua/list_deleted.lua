#!lua flags=no-writes
-- What is deleted and not purged yet, oldest deletion first. ARGV: [1] how many to skip, [2] most rows. Returns {head, rows as a
-- flat list of member and time}.
return { head(), redis.call('ZRANGEBYSCORE', DELETED, '-inf', '+inf', 'WITHSCORES', 'LIMIT', ARGV[1], ARGV[2]) }
