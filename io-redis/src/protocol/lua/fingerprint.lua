
-- Part of what answers that a lock is held: by which a waiter notices that another holds the lock
-- now, eight hexadecimal digits. Of a token they are the first of its secret, and the others stay
-- unknown; of anything else, a digest. Behind them the label of a token that has one. Needs `held`,
-- and leaves that text in `who`, and whether it is a token in `is_token`.
local who, is_token
-- Usually it is a token without a label.
if sub(held, 33, 33) == ':' and find(held, '^%x+:%d+$') then
  who, is_token = sub(held, 1, 8), true
else
  local colon = find(held, ':%d+$')
  if colon and colon > 32 then
    local digits = sub(held, colon - 32, colon - 25)
    is_token = not find(sub(held, colon - 32, colon - 1), '%X')
      and (colon == 33 or sub(held, colon - 33, colon - 33) == ':')
    if is_token and colon > 34 then
      who = digits .. ' ' .. sub(held, 1, colon - 34)
    elseif not find(digits, '%X') then
      who = digits
    end
  end
  if not who then
    who, is_token = sub(redis.sha1hex(sub(held, -64)), 1, 8), false
  end
end
