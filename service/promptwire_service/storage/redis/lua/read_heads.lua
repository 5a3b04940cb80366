#!lua flags=no-writes,allow-cross-slot-keys
-- ARGV: the meta keys of many namespaces, which this server has. Declares none of them: on a Cluster, a script's declared keys
-- are of one slot. Returns {server's part of the epochs, for each namespace {id or false, revision or false, request id of the
-- newest write or false} or an error's text}.
local found = { server_id() }
for index, key in ipairs(ARGV) do
  local meta = redis.pcall('HMGET', key, 'id', 'revision', 'request_id')
  found[index + 1] = meta.err or meta
end
return found
