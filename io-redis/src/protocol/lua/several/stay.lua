-- Deletes each lock that holds a token of the same lease, of this attempt or an earlier one, and
-- stays in line: enters the place in its queue, or keeps the one that is there.
-- Answers the failures only: index, why, index, why, …
-- KEYS: lock, queue for each
-- ARGV: token, TTL ms, place for each
local pcall = redis.pcall
local count, time = math.floor(#KEYS / 2), redis.call('TIME')
local now = time[1] * 1000 + math.floor(time[2] / 1000)
