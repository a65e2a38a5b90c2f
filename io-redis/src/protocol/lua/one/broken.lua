
-- Part of what breaks a lock of one node: hands it on.
local sub, floor, format = string.sub, math.floor, string.format
local now, exact, asker, members, leaver = nil, nil, '', nil, nil
