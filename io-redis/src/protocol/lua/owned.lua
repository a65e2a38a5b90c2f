
-- Part of all that gives a lock back: leaves in `why` why it is not to be, unless `held` is a token
-- of the same lease as `token`, of this attempt or an earlier one.
-- Law: Ownership
if held ~= token then
  if not held then
    why = 'gone'
  elseif type(held) == 'table' then
    why = string.find(held.err, 'WRONGTYPE', 1, true) and 'taken' or held.err
  else
    local prefix, attempt = string.match(token, '^(.*:)(%d+)$')
    local other = string.sub(held, 1, #prefix) == prefix
      and string.match(held, '^%d+$', #prefix + 1)
    if not other or tonumber(other) > tonumber(attempt) then why = 'taken' end
  end
end
