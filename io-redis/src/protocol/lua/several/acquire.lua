-- Takes locks that are free or held by an earlier attempt of the same lease, and draws their
-- fences. Where another lease holds the lock, a place is entered or kept that is not empty.
-- KEYS: lock, fence counter, queue for each [, marker]
-- ARGV: token, TTL ms, proposed fence (0: none), place for each
--       [, end of quarantine (server ms), text of the marker]
-- Answers for each lock its fence, as a number, or why it is not granted, as a string, in which an
-- error of the server begins with "-"; and last the server's time. No error is raised after a
-- write, so that the outcome of one lock does not depend on the others. A free key, the usual case,
-- takes three calls to the server: a call costs more than everything else here.
local keys_each, args_each, count = 3, 4, math.floor(#KEYS / 3)
local marker = KEYS[3 * count + 1]
