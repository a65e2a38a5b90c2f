
-- Part of `hint` in release over several nodes, behind what finds the next.
if trouble then return end
if gone[1] then pcall('ZREM', queue, unpack(gone)) end
if not next then return end
pcall('ZADD', queue, 'XX', tail(queue), next)
if not heard then return end
-- The token of an earlier attempt of that lease: its acquire takes it over.
-- Law: No orphan
local moment = math.min(50, floor(kept / 64) - now)
pcall('SET', lock, sub(next, 22, 21 + length), 'NX', 'PX', moment)
pcall('PUBLISH', sub(next, 22 + length), sub(next, 3, 18))
