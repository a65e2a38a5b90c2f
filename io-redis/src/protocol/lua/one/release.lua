-- Gives back each lock that holds a token of the same lease, of this attempt or an earlier one:
-- hands it on to the first place in its queue, or deletes it if nobody waits. A place of the lease
-- itself, which is empty if there is none, is removed in any case.
-- Answers the failures only: index, why, index, why, …
-- KEYS: lock, queue for each, fence stream
-- ARGV: token, place for each
local pcall, sub, floor, format = redis.pcall, string.sub, math.floor, string.format
local count, stream, failures, now, exact = floor(#KEYS / 2), KEYS[#KEYS], {}, nil, nil
-- Usually no key has a queue, and none is looked at.
local head, queued
if count == 1 then
  head = pcall('ZRANGE', KEYS[2], '0', '0')
  queued = head[1] or head.err
else
  local queues = {}
  for i = 1, count do queues[i] = KEYS[2 * i] end
  queued = pcall('EXISTS', unpack(queues)) ~= 0
end
