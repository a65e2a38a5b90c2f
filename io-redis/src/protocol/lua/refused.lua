
-- Part of both acquires: answers for the locks that were not set. Those that the same lease has
-- already, by this attempt or an earlier one, are in `own`. They stay as they are until there is a
-- fence.
local own
if refused then
  local find, match, sub, format = string.find, string.match, string.sub, string.format
  local stamp
  for i = 1, count do
    local why, answer = refused[i], nil
    -- Left as soon as there is an answer; without one if the lease has the lock.
    while why do
      local lock, token = KEYS[keys_each * (i - 1) + 1], ARGV[args_each * (i - 1) + 1]
      -- GETEX counts as a write, so a replica refuses it and never answers "no" itself. It comes
      -- behind each SET NX: once a script has written, the server no longer refuses further writes
      -- when it is out of memory.
      local held = pcall('GETEX', lock)
      local wrong = type(held) == 'table' and held.err
      answer = wrong and not find(wrong, 'WRONGTYPE', 1, true) and '-' .. wrong or why.answer
      if not (answer or held) then
        answer = quarantined and refusal or '-' .. (why.err or 'TRYAGAIN the lock vanished')
      end
      if answer then break end
      if wrong then
        answer = 'wrong key ' .. (pcall('TYPE', lock).ok or '')
        break
      end
      local prefix, attempt = match(token, '^(.*:)(%d+)$')
      local other = sub(held, 1, #prefix) == prefix and match(held, '^%d+$', #prefix + 1)
      if other then
        -- Law: Ownership
        if tonumber(other) > tonumber(attempt) then
          answer = 'taken'
        else
          answer = quarantined and refusal
        end
        break
      end
      local left = pcall('PTTL', lock)
      if type(left) == 'table' then
        answer = '-' .. left.err
        break
      end
      if left < 0 then
        answer = 'foreign'
        break
      end
      if not stamp then
        time = time or redis.call('TIME')
        stamp = format('%.0f', time[1] * 1000000 + time[2])
      end
