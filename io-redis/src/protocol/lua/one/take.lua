
-- Part of acquire: sets the locks that are free. The others are in `refused`, each with why not.
local pcall = redis.pcall
local answers, taken, refused, line = {}, false, nil, nil
for i = 1, count do
  -- SET NX comes before the lock is read: a replica refuses it as a write, and it leaves a key that
  -- exists as it is.
  -- Law: Ownership
  local set = blocked or pcall('SET', KEYS[i], ARGV[2 * i - 1], 'NX', 'PX', ARGV[2 * i])
  if set and set.ok then
    taken = true
  else
    -- Out of memory, SET is refused before it sees the key. Whether the lock is held is still found
    -- out, and no further SET is tried.
    if set and set.err and string.find(set.err, 'OOM', 1, true) then blocked = set end
    refused = refused or {}
    refused[i] = set or {}
  end
end
