
-- Part of both acquires: the answer to who finds the lock held by another.
      -- Whoever gives a lock of ours back hints to those in its queue, which are entered only where
      -- the server has memory for it.
      local ahead = line and is_token and not (quarantined or why.err) and line(i)
      if ahead then
        answer = format('queued %.0f %.0f %s %s', ahead, left, stamp, who)
      else
        answer = format('held %.0f %s %s', left, stamp, who)
      end
      break
    end
    if why then
      answers[i] = answer or nil
      if not answer then
        taken, own = true, own or {}
        own[i] = true
      end
    end
  end
end
