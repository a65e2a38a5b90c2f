-- Writes the marker of the node: who it is, and since when it has lost nothing. Refreshes one that
-- is there.
-- KEYS: marker
-- ARGV: run id, replication id, durable (1 or 0), max TTL ms, number of nodes, name of the set
-- The marker: run id, replication id, durable, since (server ms), max TTL ms, nodes, name.
-- Answers since when it is, and so which text is there.
local marker = redis.pcall('GETEX', KEYS[1])
if type(marker) == 'table' then
  if string.find(marker.err, 'WRONGTYPE', 1, true) then return {'misuse'} end
  return marker
end
local time = redis.call('TIME')
local now = time[1] * 1000 + math.floor(time[2] / 1000)
local since = now
if marker then
  local run, replication, durable, from, ttl, nodes, name =
    string.match(marker, '^(%S+) (%S+) ([01]) (%d+) (%d+) (%d+) (.*)$')
  if not run then return {'misuse'} end
  if ttl ~= ARGV[4] or nodes ~= ARGV[5] or name ~= ARGV[6] then
    return {'misuse', ttl, nodes, name}
  end
  -- Other ids mean a restart or a failover. That counts as a loss of data, unless the node is known
  -- to have had every acknowledged write on its disk, before and now.
  -- Law: Exclusion
  if (run == ARGV[1] and replication == ARGV[2]) or (durable == '1' and ARGV[3] == '1') then
    since = math.min(tonumber(from), now)
  end
end
since = string.format('%.0f', since)
local text = table.concat({ARGV[1], ARGV[2], ARGV[3], since, ARGV[4], ARGV[5], ARGV[6]}, ' ')
redis.call('SET', KEYS[1], text, 'PX', string.format('%.0f', 86400000 + 10 * ARGV[4]))
return {'marked', since}
