
-- Part of acquire: draws the fences of the locks that were taken. A fence is twice a time in
-- microseconds.
-- Law: Fencing
time = time or redis.call('TIME')
local micros = time[1] * 1000000 + time[2]
local now = 2 * micros
-- A number becomes a text once, not for each lock: a client proposes the same fence for many.
local format, before, text, keep = string.format, nil, nil, nil
for i = 1, count do
  if not answers[i] then
    local fence, proposal = now, tonumber(ARGV[3 * i])
    if last[i] >= fence then fence = last[i] + 1 end
    -- A proposal more than a minute ahead of this server's time is ignored: the counter would keep
    -- it.
    if proposal > fence and proposal <= now + 120000000 then fence = proposal end
    if fence ~= before then
      before, text = fence, format('%.0f', fence)
      -- The counter is kept for a day after the time that its value stands for.
      -- Law: No orphan
      keep = format('%.0f', 86400000 + math.ceil((fence - now) / 2000))
    end
    local stored = pcall('SET', KEYS[2 * i], text, 'PX', keep)
    answers[i] = fence
    if stored.err then
      -- Law: No orphan
      pcall('DEL', KEYS[2 * i - 1])
      answers[i] = '-' .. stored.err
    end
  end
end
answers[count + 1] = micros
return answers
