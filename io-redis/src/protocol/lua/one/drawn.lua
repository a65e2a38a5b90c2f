
-- Part of wait and release: ends the function that draws.
if failed and string.sub(failed, 1, 1) == '-' then failed = 'stream ' .. failed end
return id, failed
end
