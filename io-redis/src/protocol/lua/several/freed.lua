
-- Part of `freed` in release and stay over several nodes, behind what says whether it is the
-- owner's: deletes the lock. Returns why not.
if why then return why end
local done = pcall('DEL', lock)
if type(done) == 'table' then return done.err end
