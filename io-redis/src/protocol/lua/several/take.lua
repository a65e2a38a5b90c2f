
-- Part of acquire: sets the locks that are free, and reads their counters. The others are in
-- `refused`, each with why not.
local pcall, find = redis.pcall, string.find
local answers, last, taken, refused, line, now = {}, {}, false, nil, nil, nil
for i = 1, count do
  local counter = KEYS[3 * i - 1]
  local stored, set = pcall('GET', counter), nil
  if not stored then
    last[i] = 0
  elseif stored.err then
    if find(stored.err, 'WRONGTYPE', 1, true) then
      set = {answer = 'wrong counter ' .. (pcall('TYPE', counter).ok or '')}
    else
      answers[i] = '-' .. stored.err
    end
  else
    local number = not find(stored, '%D') and tonumber(stored) or 9007199254740991
    if number >= 9007199254740991 then set = {answer = 'wrong counter string'} end
    last[i] = number
  end
  if not answers[i] then
    -- SET NX comes before the lock is read: a replica refuses it as a write, and it leaves a key
    -- that exists as it is.
    -- Law: Ownership
    local token, ttl = ARGV[4 * i - 3], ARGV[4 * i - 2]
    set = set or blocked or pcall('SET', KEYS[3 * i - 2], token, 'NX', 'PX', ttl)
    if set and set.ok then
      taken = true
    else
      -- Out of memory, SET is refused before it sees the key. Whether the lock is held is still
      -- found out, and no further SET is tried.
      if set and set.err and find(set.err, 'OOM', 1, true) then blocked = set end
      refused = refused or {}
      refused[i] = set or {}
    end
  end
end
