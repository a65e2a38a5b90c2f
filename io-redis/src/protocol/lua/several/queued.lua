
-- Part of `line` in acquire over several nodes, which enters or keeps the place of a lock that
-- another lease has. Returns how many are ahead of it; or nothing if there is no place.
local sub, floor, format = string.sub, math.floor, string.format
local queue, place, serial = KEYS[3 * i], ARGV[4 * i], 0
if place == '' then return end
if not now then
  time = time or redis.call('TIME')
  now = time[1] * 1000 + floor(time[2] / 1000)
end
local size = pcall('ZCARD', queue)
if type(size) == 'table' then return end
local ttl, order, failed, ahead = tonumber(ARGV[4 * i - 2]), order(queue), nil, nil
