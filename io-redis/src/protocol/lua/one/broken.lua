
end
-- Who cannot be handed the lock, for whatever reason, finds it free.
-- Law: Fairness
if hand_on and hand_on(lock, queue, '') then return 'handed' end
local done = pcall('DEL', lock)
if type(done) == 'table' then return done end
return 'deleted'
