
-- Part of release and stay over several nodes: deletes a lock if it holds a token of the same
-- lease, of this attempt or an earlier one. Returns why not.
local function freed(lock, held, token)
  -- Law: Ownership
  if held ~= token then
    if not held then return 'gone' end
    if type(held) == 'table' then
      return string.find(held.err, 'WRONGTYPE', 1, true) and 'taken' or held.err
    end
    local prefix, attempt = string.match(token, '^(.*:)(%d+)$')
    local other = string.sub(held, 1, #prefix) == prefix
      and string.match(held, '^%d+$', #prefix + 1)
    if not other or tonumber(other) > tonumber(attempt) then return 'taken' end
  end
  local done = pcall('DEL', lock)
  if type(done) == 'table' then return done.err end
end
