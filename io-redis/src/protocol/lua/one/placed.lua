
-- Part of wait: the answer to who waits.
      if quarantined then
        answer = format('held %.0f %.0f %s', left, time[1] * 1000000 + time[2], who)
      else
        local kind = is_token and 1 or 0
        -- `%d` has 32 bits on some machines, and is faster.
        local text = left < 2147483648 and 'waiting %d %d %d %s' or 'waiting %d %.0f %d %s'
        answer = format(text, ahead or 0, left, kind, who)
      end
      break
    end
    answers[i] = answer
    if why and not answer then
      taken = true
      sizes[i] = 1
    end
  end
end
