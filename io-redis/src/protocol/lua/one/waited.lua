
-- Part of wait, behind the functions that hand on: enters and keeps places.
  local floor = math.floor
  time = time or redis.call('TIME')
  now = time[1] * 1000 + floor(time[2] / 1000)

  -- Whether a lock was handed on in this call. The dead that were before its next holder are gone,
  -- and one of them may ask further behind.
  local handed = false

  local function enter_for(i, queue)
    local place = ARGV[4 * i - 1]
    if handed then kept[i] = pcall('ZMSCORE', queue, place, 'B' .. sub(place, 3, 18)) end
    return enter(queue, place, tonumber(ARGV[4 * i - 2]), tonumber(ARGV[4 * i]), kept[i])
  end

  local function waiting(i, queue, left, held)
    local ahead = pcall('ZRANK', queue, ARGV[4 * i - 1])
    if type(ahead) == 'table' then return '-' .. ahead.err end
    local digits, is_token = fingerprint(held)
    return format('waiting %.0f %.0f %d %s', ahead or 0, left, is_token and 1 or 0, digits)
  end

  -- The lock was free, and is set; but somebody waits for it. Returns nothing if it stays set.
  local function free(i, lock, queue)
    local why = enter_for(i, queue)
    local asker = why and '' or ARGV[4 * i - 1]
    if why and why ~= 'full' then
      pcall('DEL', lock)
      return why
    end
    handed = true
    local place, id, till = hand_on(lock, queue, asker)
    if place == asker then return 'granted ' .. id end
    if place then
      if why then return why end
      local length = tonumber(sub(place, 19, 21)) or 0
      return waiting(i, queue, till - now, sub(place, 22, 21 + length))
    end
    if id then
      pcall('DEL', lock)
      return id
    end
    -- So many are dead that not all were looked at. A key that is free may go to anybody.
    kept[i][1] = true
  end

  -- Returns nothing if the lock is set.
  local function look(i, lock, queue, why)
    if why.ok then return free(i, lock, queue) end
    local token, ttl = ARGV[4 * i - 3], ARGV[4 * i - 2]
    -- Behind each SET NX, as in acquire.
    local held = pcall('GETEX', lock)
    local is_wrong = type(held) == 'table' and find(held.err, 'WRONGTYPE', 1, true)
    if type(held) == 'table' and not is_wrong then return '-' .. held.err end
    if why.answer then return why.answer end
    if is_wrong then return 'wrong key ' .. (pcall('TYPE', lock).ok or '') end
    local left = pcall('PTTL', lock)
    if type(left) == 'table' then return '-' .. left.err end
    local prefix, attempt = match(token, '^(.*:)(%d+)$')
    local other = held and sub(held, 1, #prefix) == prefix and match(held, '^%d+$', #prefix + 1)
    if other then
      -- Law: Ownership
      if tonumber(other) > tonumber(attempt) then return 'taken' end
      if quarantined then return refusal end
      -- It stays as it is until there is a fence.
      own = own or {}
      own[i] = left >= tonumber(ttl) and 'KEEPTTL' or 'PX'
      return
    end
    local scores = kept[i]
    if scores.err then
      if not find(scores.err, 'WRONGTYPE', 1, true) then return '-' .. scores.err end
      return 'wrong queue ' .. (pcall('TYPE', queue).ok or '')
    end
    if not held then
      if quarantined then return refusal end
      return '-' .. (why.err or 'TRYAGAIN the lock vanished')
    end
    if quarantined then
      if left < 0 then return 'foreign' end
      local stamp = format('%.0f', time[1] * 1000000 + time[2])
      return format('held %.0f %s %s', left, stamp, (fingerprint(held)))
    end
    if why.err then return '-' .. why.err end
    return enter_for(i, queue) or waiting(i, queue, left, held)
  end

  for i = 1, count do
    local why = refused[i]
    if why then
      answers[i] = look(i, KEYS[2 * i - 1], KEYS[2 * i], why)
      if not answers[i] then taken = true end
    end
  end
end
