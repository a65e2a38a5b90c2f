
-- Part of both acquires: by the marker of the call, why this node grants nothing, as `refusal`; and
-- whether quarantine is the only reason. Then no lock is set: `blocked` stands for what SET would
-- have said.
-- Law: Exclusion
local refusal, quarantined, blocked, time
if marker then
  local over, ours = ARGV[args_each * count + 1], ARGV[args_each * count + 2]
  local marked = redis.pcall('GET', marker)
  time = redis.call('TIME')
  -- Usually it is what the client knows, to the letter, and its quarantine is over by this server's
  -- clock. Only else its parts are read.
  if marked ~= ours or time[1] * 1000 + time[2] / 1000 < tonumber(over) then
    if type(marked) == 'table' then
      refusal = string.find(marked.err, 'WRONGTYPE', 1, true) and 'misuse' or '-' .. marked.err
    elseif not marked then
      refusal = 'unmarked'
    else
      local parts = '^(%S+ %S+) [01] (%d+) ((%d+) %d+ .*)$'
      local ids, since, set, ttl = string.match(marked, parts)
      local our_ids, _, our_set = string.match(ours, parts)
      if not ids then
        refusal = 'misuse'
      elseif set ~= our_set then
        refusal = 'misuse ' .. set
      elseif ids ~= our_ids then
        refusal = 'unmarked'
      else
        -- After a server clock was set back, the marker begins in the future. The wait is bounded
        -- here; the link soon reads the node's identity again and writes a marker that begins now.
        local left = since + ttl - (time[1] * 1000 + math.floor(time[2] / 1000))
        if left > 0 then
          refusal = string.format('quarantine %.0f', math.min(left, tonumber(ttl)))
          quarantined = true
        end
      end
    end
  end
  if refusal then blocked = {answer = not quarantined and refusal} end
end
