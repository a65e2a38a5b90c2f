
-- Part of what hands a lock on over one node: does it.
  failed = failed or trouble
  local removed
  if failed then
    next = nil
  elseif next then
    removed = pcall('ZREM', queue, next, 'B' .. sub(next, 3, 18), unpack(gone))
  elseif gone[1] then
    removed = pcall('ZREM', queue, unpack(gone))
  end
  failed = failed or type(removed) == 'table' and '-' .. removed.err
  if next and not failed then
    till = floor(kept / 64)
    local set = pcall('SET', lock, sub(next, 22, 21 + length), 'PXAT',
      format('%d%06d', floor(till / 1000000), till % 1000000))
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
