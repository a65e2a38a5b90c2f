
-- Part of wait: answers for those whose lock was not set, or whose queue is not empty.
if refused then
  local find, match, sub, format = string.find, string.match, string.sub, string.format
  local floor = math.floor
  time = time or redis.call('TIME')
  local now, exact = time[1] * 1000 + floor(time[2] / 1000), true
  for i = 1, count do
    local why, answer = refused[i], nil
    -- Left as soon as there is an answer; without one if the lock is set.
    while why do
      local lock, queue, place = KEYS[2 * i - 1], KEYS[2 * i], ARGV[4 * i - 1]
      local token, ttl, serial = ARGV[4 * i - 3], ARGV[4 * i - 2] + 0, ARGV[4 * i] + 0
      local held, left, failed, ahead, order
      if not why.ok then
        -- Behind each SET NX, as in acquire.
        held = pcall('GETEX', lock)
        local wrong = type(held) == 'table' and held.err
        answer = wrong and not find(wrong, 'WRONGTYPE', 1, true) and '-' .. wrong or why.answer
        if answer then break end
        if wrong then
          answer = 'wrong key ' .. (pcall('TYPE', lock).ok or '')
          break
        end
        left = pcall('PTTL', lock)
        if type(left) == 'table' then
          answer = '-' .. left.err
          break
        end
        -- Usually it is of another lease, and that shows in the beginning.
        if held and sub(held, 1, 32) == sub(token, 1, 32) then
          local prefix, attempt = match(token, '^(.*:)(%d+)$')
          local other = sub(held, 1, #prefix) == prefix and match(held, '^%d+$', #prefix + 1)
          if other then
            -- Law: Ownership
            answer = tonumber(other) > tonumber(attempt) and 'taken' or quarantined and refusal
            if not answer then
              -- It stays as it is until there is a fence.
              own = own or {}
              own[i] = left >= ttl and 'KEEPTTL' or 'PX'
            end
            break
          end
        end
        wrong = type(sizes[i]) == 'table' and sizes[i].err
        if wrong then
          local is_wrong = find(wrong, 'WRONGTYPE', 1, true)
          answer = is_wrong and 'wrong queue ' .. (pcall('TYPE', queue).ok or '') or '-' .. wrong
        elseif not held then
          answer = quarantined and refusal or '-' .. (why.err or 'TRYAGAIN the lock vanished')
        elseif quarantined then
          answer = left < 0 and 'foreign'
        elseif why.err then
          answer = '-' .. why.err
        end
        if answer then break end
      end
      if not quarantined then
        -- Another of this call may be in the queue by now.
        local size = count == 1 and sizes[i] or pcall('ZCARD', queue)
