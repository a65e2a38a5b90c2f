
-- Part of wait: the answer to who waits.
      if quarantined then
        answer = format('held %d %d %s', left, time[1] * 1000000 + time[2], who)
      else
        answer = 'waiting ' .. (ahead or 0) .. ' ' .. left .. (is_token and ' 1 ' or ' 0 ') .. who
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
