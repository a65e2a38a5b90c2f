
-- Part of wait: sets the locks that are free, if their queue is no key of another type. All are
-- tried before anything else is written, since after a write a server that is out of memory refuses
-- nothing more. Those that need another look are in `refused`, each with what SET said.
local pcall = redis.pcall
local answers, taken, refused, sizes, own = {}, false, nil, {}, nil
for i = 1, count do
  local size, set = pcall('ZCARD', KEYS[2 * i]), nil
  sizes[i] = size
  -- Law: Ownership
  if type(size) == 'number' then
    set = blocked
      or pcall('SET', KEYS[2 * i - 1], ARGV[4 * i - 3], 'NX', 'PX', ARGV[4 * i - 2])
  end
  if set and set.ok and size == 0 then
    taken = true
  else
    if set and set.err and string.find(set.err, 'OOM', 1, true) then blocked = set end
    refused = refused or {}
    refused[i] = set or blocked or {}
  end
end
