
-- Part of what draws: if `taken`, an id of the stream, which is larger than all before, in `id` and
-- its milliseconds in `ms`; or in `failed` why there is none.
-- Law: Fencing
local id, ms, failed
if taken then
  local find, sub = string.find, string.sub
  id = redis.pcall('XADD', stream, 'NOMKSTREAM', 'MAXLEN', '0', '*', '', '')
  if not id then
    -- It is missing. A stream that is created later, even within this millisecond, begins with a
    -- larger id: in the next millisecond, at the microseconds within this one.
    local time = redis.call('TIME')
    ms = time[1] * 1000 + math.floor(time[2] / 1000) + 1
    id = redis.pcall('XADD', stream, 'MAXLEN', '0', ms .. '-' .. time[2] % 1000, '', '')
    -- Law: No orphan
    local kept = type(id) == 'string' and redis.pcall('PEXPIREAT', stream, ms + 172800000)
    if type(kept) == 'table' then
      redis.pcall('DEL', stream)
      id = kept
    end
  end
  if type(id) == 'string' then
    local dash = find(id, '-', 1, true)
    ms = sub(id, 1, dash - 1) + 0
    if ms > 4503599627369 then
      -- Its number would not be exact.
      failed = 'wrong stream stream'
    elseif #id - dash > 3 and tonumber(sub(id, dash + 1)) >= 1800 then
      -- The clock was set back, and many were drawn since. A number has room for fewer than 2,000
      -- of one millisecond.
      ms = ms + 1
      id = redis.pcall('XADD', stream, 'MAXLEN', '0', ms .. '-0', '', '')
    end
  end
  if type(id) == 'table' then
    failed = '-' .. id.err
    -- A stream whose last id is the largest that there is draws no more.
    if find(id.err, 'WRONGTYPE', 1, true) or find(id.err, 'exhausted', 1, true) then
      failed = 'wrong stream ' .. (redis.pcall('TYPE', stream).ok or '')
    end
  end
end
