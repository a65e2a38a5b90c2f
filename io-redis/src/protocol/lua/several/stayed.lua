
-- First all places, since a server that is out of memory refuses none any more once something was
-- written.
local sub, floor, format = string.sub, math.floor, string.format
local failures, full = {}, {}
for i = 1, count do
  local queue, place, ttl, serial = KEYS[2 * i], ARGV[3 * i], tonumber(ARGV[3 * i - 1]), 0
  local size, failed, ahead = pcall('ZCARD', queue), nil, nil
  if type(size) == 'table' then
    failed = size.err
  else
    local order = order(queue)
