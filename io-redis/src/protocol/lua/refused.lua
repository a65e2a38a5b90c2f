
-- Part of both acquires, behind the beginning of what is done for those that were refused: answers
-- for the locks that were not set. Those that the same lease has already, by this attempt or an
-- earlier one, are in `own`. They stay as they are until there is a fence.
  local stamp

  -- Returns nothing if the lease has the lock.
  local function look(i, lock, token, why)
    -- GETEX counts as a write, so a replica refuses it and never answers "no" itself. It comes
    -- behind each SET NX: once a script has written, the server no longer refuses further writes
    -- when it is out of memory.
    local held = pcall('GETEX', lock)
    local is_wrong = type(held) == 'table' and find(held.err, 'WRONGTYPE', 1, true)
    if type(held) == 'table' and not is_wrong then return '-' .. held.err end
    if why.answer then return why.answer end
    if not held then
      if quarantined then return refusal end
      return '-' .. (why.err or 'TRYAGAIN the lock vanished')
    end
    if is_wrong then return 'wrong key ' .. (pcall('TYPE', lock).ok or '') end
    if held ~= token then
      local prefix, attempt = match(token, '^(.*:)(%d+)$')
      local other = sub(held, 1, #prefix) == prefix and match(held, '^%d+$', #prefix + 1)
      if not other then
        local left = pcall('PTTL', lock)
        if type(left) == 'table' then return '-' .. left.err end
        if left < 0 then return 'foreign' end
        if not stamp then
          time = time or redis.call('TIME')
          stamp = format('%.0f', time[1] * 1000000 + time[2])
        end
        local who, is_token = fingerprint(held)
      -- Whoever gives a lock of ours back hints to those in its queue, which are entered only where
      -- the server has memory for it.
      local ahead = line and is_token and not (quarantined or why.err) and line(i)
      if ahead then return format('queued %.0f %.0f %s %s', ahead, left, stamp, who) end
      return format('held %.0f %s %s', left, stamp, who)
      end
      -- Law: Ownership
      if tonumber(other) > tonumber(attempt) then return 'taken' end
    end
    if quarantined then return refusal end
  end

  for i = 1, count do
    local why = refused[i]
    if why then
      answers[i] = look(i, KEYS[keys_each * (i - 1) + 1], ARGV[args_each * (i - 1) + 1], why)
      if not answers[i] then
        taken, own = true, own or {}
        own[i] = true
      end
    end
  end
end
