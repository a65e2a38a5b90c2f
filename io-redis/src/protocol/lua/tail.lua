
-- Part of what enters and moves places: the order behind all that are in a queue.
local function tail(queue)
  local last = redis.pcall('ZRANGE', queue, '10000000000000', '-inf', 'BYSCORE', 'REV',
    'LIMIT', 0, 1, 'WITHSCORES')
  return tonumber(last[2] or 0) + 1
end
