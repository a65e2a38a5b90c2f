
-- Part of what hands a lock on over one node: does it.
  failed = failed or trouble
  if next and not failed then
    gone[#gone + 1] = next
    gone[#gone + 1] = 'B' .. sub(next, 3, 18)
  end
  if gone[1] and not failed then
    local removed = pcall('ZREM', queue, unpack(gone))
    failed = type(removed) == 'table' and '-' .. removed.err
  end
  if next and not failed then
    local length = tonumber(sub(next, 19, 21)) or 0
    till = floor(kept / 64)
    local set = pcall('SET', lock, sub(next, 22, 21 + length), 'PXAT', format('%.0f', till))
    if set.err then
      failed = '-' .. set.err
    else
      heir = next
      local channel = sub(next, 22 + length)
      if channel ~= '' and next ~= asker then
        -- Last, so that nobody is told of what was refused.
        pcall('PUBLISH', channel, sub(next, 3, 18) .. ' ' .. kept % 64 .. ' ' .. id)
      end
    end
  end
end
