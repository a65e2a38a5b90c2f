
-- Part of `line` in acquire over several nodes, behind what enters the place.
if failed then return end
ahead = pcall('ZRANK', queue, place)
return type(ahead) == 'number' and ahead
