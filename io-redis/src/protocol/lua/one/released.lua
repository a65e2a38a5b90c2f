
-- Part of release, behind what hands a lock on.
    left = leaver and failed
    why = heir and 'handed'
  end
  -- Who cannot be handed the lock, for whatever reason, finds it free.
  if not why then
    local done = pcall('DEL', lock)
    if type(done) == 'table' then why = done.err end
  elseif why == 'handed' then
    why = nil
  end
  -- Law: No orphan
  if left then
    local removed = pcall('ZREM', queue, leaver, 'B' .. sub(leaver, 3, 18))
    if type(removed) == 'table' and not string.find(removed.err, 'WRONGTYPE', 1, true) then
      why = removed.err
    end
  end
  if why then
    failures[#failures + 1] = i
    failures[#failures + 1] = why
  end
end
return failures
