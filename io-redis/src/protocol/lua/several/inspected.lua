
-- A queue of another type is none: the lock is served without.
if wrong then size = 0 end
local text, digest = shown(held)
local left = redis.call('PTTL', KEYS[1])
return {'seen', text, left, fence, math.floor(size / 2), places, digest}
