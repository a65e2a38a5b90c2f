
-- Part of what enters and moves places: the order behind all that are in a queue. Of a queue whose
-- size is said it is usually found by that. Then two more are returned: how many places there are,
-- and the end that comes first, or a fraction of a millisecond later; 0 if there is none.
local function tail(queue, size)
  local pcall, sub = redis.pcall, string.sub
  if size == 0 then return 1, 0, 0 end
  if size then
    -- Half of the members, and the first half, are those with the orders.
    local half = math.floor(size / 2)
    local middle = pcall('ZRANGE', queue, half - 1, half, 'WITHSCORES')
    local last, other = middle[1], middle[3]
    if last and other and sub(last, 1, 1) == 'A' and sub(other, 1, 1) == 'B' then
      return middle[2] + 1, half, middle[4] / 64
    end
  end
  local last = pcall('ZRANGE', queue, '10000000000000', '-inf', 'BYSCORE', 'REV', 'LIMIT', '0', '1',
    'WITHSCORES')
  return tonumber(last[2] or 0) + 1
end
