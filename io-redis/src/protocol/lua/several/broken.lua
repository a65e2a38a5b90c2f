
local done = pcall('DEL', lock)
if type(done) == 'table' then return done end
-- Law: Progress
if hint then hint(lock, queue) end
return 'deleted'
