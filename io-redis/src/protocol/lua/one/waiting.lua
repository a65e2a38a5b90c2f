
-- Part of wait: sets the locks that are free, if their queue is no key of another type. All are
-- tried before anything else is written, since after a write a server that is out of memory refuses
-- nothing more. Those that need another look are in `refused`, each with what SET said.
local pcall = redis.pcall
local answers, taken, refused, kept = {}, false, nil, {}
for i = 1, count do
  local lock, queue = KEYS[2 * i - 1], KEYS[2 * i]
  local place = ARGV[4 * i - 1]
  local scores, set = pcall('ZMSCORE', queue, place, 'B' .. string.sub(place, 3, 18)), nil
  kept[i] = scores
  -- Law: Ownership
  if not scores.err then
    set = blocked or pcall('SET', lock, ARGV[4 * i - 3], 'NX', 'PX', ARGV[4 * i - 2])
  end
  if set and set.ok and not scores[1] and not scores[2] and pcall('ZCARD', queue) == 0 then
    taken = true
  else
    if set and set.err and string.find(set.err, 'OOM', 1, true) then blocked = set end
    refused = refused or {}
    refused[i] = set or blocked or {}
  end
end
local hand_on
