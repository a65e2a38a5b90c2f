
-- Part of what hands a lock on over one node, with what finds the next behind it. Needs `lock`,
-- `queue`, `asker`, and what `now` is if it is known; `members`, with the first of the queue, and
-- `leaver`, if there are any. It leaves the member that has the lock now in `heir`, the id that was
-- drawn in `id`, and until when the lock is its in `till`; or what went wrong in `failed`. If
-- nobody waits it changes nothing but that the dead and the leaver are gone.
local heir, id, till, failed, ms
members = members or pcall('ZRANGE', queue, '0', '0')
if leaver and members[1] == leaver then
  pcall('ZREM', queue, leaver, 'B' .. sub(leaver, 3, 18))
  members = pcall('ZRANGE', queue, '0', '0')
end
if members[1] or members.err then
  -- The id says what time it is, or a later one if the clock was set back.
  if not members.err then id, failed, ms = draw() end
  if failed then members = nil end
  now = now or ms
