
-- Part of acquire: draws the fences of the locks that were taken. A fence is twice a time in
-- microseconds.
-- Law: Fencing
time = time or redis.call('TIME')
local micros = time[1] * 1000000 + time[2]
local now = 2 * micros
-- A number becomes a text once, not for each lock: a client proposes the same fence for many.
local before, text, keep
-- Who gets the lock waits no longer. Usually no key has a queue, and none is looked at.
local queues, waits = {}, false
for i = 1, count do
  if not answers[i] and ARGV[4 * i] ~= '' then queues[#queues + 1] = KEYS[3 * i] end
end
if #queues > 0 then waits = pcall('EXISTS', unpack(queues)) ~= 0 end
for i = 1, count do
  if not answers[i] then
    local fence, proposal = now, ARGV[4 * i - 1]
    if last[i] >= fence then fence = last[i] + 1 end
    if proposal ~= '0' then
      -- A proposal more than a minute ahead of this server's time is ignored: the counter would
      -- keep it.
      proposal = tonumber(proposal)
      if proposal > fence and proposal <= now + 120000000 then fence = proposal end
    end
    if fence ~= before then
      -- The counter is kept for a day after the time that its value stands for.
      -- Law: No orphan
      before, text, keep = fence, string.format('%.0f', fence), '86400000'
      if fence > now then
        keep = string.format('%.0f', 86400000 + math.ceil((fence - now) / 2000))
      end
    end
    local lock, has = KEYS[3 * i - 2], own and own[i]
    local stored = pcall('SET', KEYS[3 * i - 1], text, 'PX', keep)
    if has and not stored.err then
      -- Law: Ownership
      stored = pcall('SET', lock, ARGV[4 * i - 3], 'PX', ARGV[4 * i - 2])
    end
    answers[i] = fence
    local place = ARGV[4 * i]
    if waits and place ~= '' and not stored.err then
      pcall('ZREM', KEYS[3 * i], place, 'B' .. string.sub(place, 3, 18))
    end
    if stored.err then
      -- What the lease had before stays: it may hold it.
      -- Law: No orphan
      if not has then pcall('DEL', lock) end
      answers[i] = '-' .. stored.err
    end
  end
end
answers[count + 1] = micros
return answers
