
-- Part of both acquires: by the marker of the call, why this node grants nothing, as `refusal`; and
-- whether quarantine is the only reason. Then no lock is set: `blocked` stands for what SET would
-- have said.
-- Law: Exclusion
local refusal, quarantined, blocked, time
if marker then
  local run_id, replication_id, max_ttl, nodes, name = unpack(ARGV, args_each * count + 1)
  local marked = redis.pcall('GET', marker)
  if type(marked) == 'table' then
    refusal = string.find(marked.err, 'WRONGTYPE', 1, true) and 'misuse' or '-' .. marked.err
  elseif not marked then
    refusal = 'unmarked'
  else
    local run, replication, _, since, ttl, of, called =
      string.match(marked, '^(%S+) (%S+) ([01]) (%d+) (%d+) (%d+) (.*)$')
    if not run then
      refusal = 'misuse'
    elseif ttl ~= max_ttl or of ~= nodes or called ~= name then
      refusal = 'misuse ' .. ttl .. ' ' .. of .. ' ' .. called
    elseif run ~= run_id or replication ~= replication_id then
      refusal = 'unmarked'
    else
      -- After a server clock was set back, the marker begins in the future. The wait is bounded
      -- here; the link soon reads the node's identity again and writes a marker that begins now.
      time = redis.call('TIME')
      local left = since + ttl - (time[1] * 1000 + math.floor(time[2] / 1000))
      if left > 0 then
        refusal = string.format('quarantine %.0f', math.min(left, tonumber(ttl)))
        quarantined = true
      end
    end
  end
  if refusal then blocked = {answer = not quarantined and refusal} end
end
