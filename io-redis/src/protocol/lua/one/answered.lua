
-- Part of wait, behind what hands a lock on.
        if failed then
          pcall('DEL', lock)
          answer = failed
          break
        end
        if heir == asker then
          answer = 'granted ' .. id
          break
        end
        -- So many are dead that not all were looked at. A key that is free may go to anybody.
        if not heir then break end
        if full then
          answer = full
          break
        end
        ahead, left = nil, till - now
        held = sub(heir, 22, 21 + (tonumber(sub(heir, 19, 21)) or 0))
      end
      if not quarantined then
        ahead = ahead or pcall('ZRANK', queue, place)
        if type(ahead) == 'table' then
          answer = '-' .. ahead.err
          break
        end
      end
