
-- Part of what enters places at one of several nodes: the order of a new place. Those that come in
-- the same second have the same one, so that their names decide, which are the same at all nodes.
-- If the first in line is not the same one everywhere, several are hinted, and none gets a quorum.
local function order(queue)
  return math.max(tail(queue) - 1, math.floor(now / 1000))
end
