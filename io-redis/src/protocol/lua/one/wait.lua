-- Takes locks as acquire does. Who finds a lock held, or others waiting for it, enters a place in
-- its queue, or keeps the one that is there; and a lock that is free goes to the first in line. A
-- key may be in a call for several leases, of which one gets it at most.
-- KEYS: lock, queue for each, fence stream [, marker]
-- ARGV: token, TTL ms, place, serial for each
--       [, end of quarantine (server ms), text of the marker]
-- Answers one string for each lock, as acquire does. No error is raised after a write.
local keys_each, args_each, count = 2, 4, math.floor((#KEYS - 1) / 2)
local stream, marker = KEYS[2 * count + 1], KEYS[2 * count + 2]
