
-- Part of release over one node, behind what says whether it is the owner's.
  local left = leaver and why
  if not why and queued then
    local asker, members = '', head
