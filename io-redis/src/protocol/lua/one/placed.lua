
-- Part of wait: the answer to who waits.
      if quarantined then
        answer = format('held %.0f %.0f %s', left, time[1] * 1000000 + time[2], who)
      else
        local kind = is_token and 1 or 0
        answer = format('waiting %d %d %d %s', ahead or 0, left, kind, who)
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
