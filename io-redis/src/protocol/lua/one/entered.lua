
-- Part of wait: what follows from a place that was entered or kept, or not.
        if failed and not (why.ok and failed == 'full') then
          if why.ok then pcall('DEL', lock) end
          answer = failed
          break
        end
      end
      local full = failed
      -- The lock was free, and is set; but somebody waits for it.
      if why.ok then
        local asker, members, leaver = full and '' or place, nil, nil
