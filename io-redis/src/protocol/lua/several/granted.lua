
-- Part of acquire: draws the fences of the locks that were taken. A fence is twice a time in
-- microseconds.
-- Law: Fencing
local time = redis.call('TIME')
local micros = time[1] * 1000000 + time[2]
local now = 2 * micros
for i = 1, count do
  if not answers[i] then
    local fence, text, proposal = now, now, tonumber(ARGV[3 * i])
    if last[i] >= fence then
      fence = last[i] + 1
      text = fence
    end
    -- A proposal more than a minute ahead of this server's time is ignored: the counter would keep
    -- it.
    if proposal > fence and proposal <= now + 120000000 then
      fence, text = proposal, ARGV[3 * i]
    end
    -- The counter is kept for a day after the time that its value stands for.
    -- Law: No orphan
    local keep = '86400000'
    if fence > now then keep = 86400000 + math.ceil((fence - now) / 2000) end
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
