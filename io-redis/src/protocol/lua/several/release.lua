-- Deletes each lock that holds a token of the same lease, of this attempt or an earlier one. A
-- place of the lease itself, which is empty if there is none, is removed in any case. If it says
-- so, and the lock is free then, hints to the first place in the queue, and moves that to the end.
-- Answers the failures only: index, why, index, why, …
-- KEYS: lock, queue for each
-- ARGV: token, place, hints (1 or 0) for each
local pcall = redis.pcall
local count, queues = math.floor(#KEYS / 2), {}
for i = 1, count do queues[i] = KEYS[2 * i] end
local hint
-- Usually no key has a queue, and none is looked at.
if pcall('EXISTS', unpack(queues)) ~= 0 then
