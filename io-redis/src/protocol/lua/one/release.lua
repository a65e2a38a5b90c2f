-- Gives back each lock that holds a token of the same lease, of this attempt or an earlier one:
-- hands it on to the first place in its queue, or deletes it if nobody waits. A place of the lease
-- itself, which is empty if there is none, is removed in any case.
-- Answers the failures only: index, why, index, why, …
-- KEYS: lock, queue for each, fence stream
-- ARGV: token, place for each
local pcall = redis.pcall
local count, stream = math.floor(#KEYS / 2), KEYS[#KEYS]
local queues = {}
for i = 1, count do queues[i] = KEYS[2 * i] end
local hand_on
-- Usually no key has a queue, and none is looked at.
if pcall('EXISTS', unpack(queues)) ~= 0 then
