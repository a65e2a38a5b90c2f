
-- Part of acquire over several nodes: enters or keeps the place of a lock that another lease has.
-- Returns how many are ahead of it; or nothing if there is no place.
  line = function(i)
    local queue, place = KEYS[3 * i], ARGV[4 * i]
    if place == '' then return end
    if not now then
      time = time or redis.call('TIME')
      now = time[1] * 1000 + math.floor(time[2] / 1000)
    end
    local before = pcall('ZMSCORE', queue, place, 'B' .. sub(place, 3, 18))
    if before.err then return end
    local ttl = tonumber(ARGV[4 * i - 2])
    if enter(queue, place, ttl, 0, before, order(queue)) then return end
    local ahead = pcall('ZRANK', queue, place)
    return type(ahead) == 'number' and ahead
  end
