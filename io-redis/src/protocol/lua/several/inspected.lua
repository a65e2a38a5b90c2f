
-- A queue of another type is none: the lock is served without.
if wrong then size = 0 end
return {'seen', held, redis.call('PTTL', KEYS[1]), fence, math.floor(size / 2), places}
