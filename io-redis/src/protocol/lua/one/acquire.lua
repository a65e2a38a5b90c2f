-- Takes locks that are free or held by an earlier attempt of the same lease, and draws one fence
-- for all that it takes: no key may be in a call twice.
-- KEYS: lock for each, fence stream [, marker]
-- ARGV: token, TTL ms for each
--       [, end of quarantine (server ms), text of the marker]
-- Answers one string for each lock; an error of the server begins with "-". No error is raised
-- after a write, so that the outcome of one lock does not depend on the others. A free key, the
-- usual case, takes one call to the server: a call costs more than everything else here.
local keys_each, args_each, count = 1, 2, #KEYS - 1
-- The text of a marker is no number, as a TTL is.
if count > 0 and not tonumber(ARGV[#ARGV]) then count = count - 1 end
local stream, marker = KEYS[count + 1], KEYS[count + 2]
