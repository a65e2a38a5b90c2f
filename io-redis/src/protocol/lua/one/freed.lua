
-- Part of what breaks a lock of one node. Who cannot be handed the lock, for whatever reason, finds
-- it free.
-- Law: Fairness
if heir then return 'handed' end
end
local done = pcall('DEL', lock)
if type(done) == 'table' then return done end
return 'deleted'
