
-- Part of the acquires and of wait: begins what is done for the locks that were not set.
local own
if refused then
  local find, match, sub, format = string.find, string.match, string.sub, string.format

  -- By which a waiter notices that another holds the lock now: eight hexadecimal digits. Of a token
  -- they are the first of its secret, and the others stay unknown; of anything else, a digest.
  -- Behind them the label of a token that has one. Whether it is a token is told too.
  local function fingerprint(held)
    local colon = find(held, ':%d+$')
    if colon and colon > 32 then
      local digits = sub(held, colon - 32, colon - 25)
      local is_token = not find(sub(held, colon - 32, colon - 1), '%X')
        and (colon == 33 or sub(held, colon - 33, colon - 33) == ':')
      if is_token and colon > 34 then return digits .. ' ' .. sub(held, 1, colon - 34), true end
      if not find(digits, '%X') then return digits, is_token end
    end
    return sub(redis.sha1hex(sub(held, -64)), 1, 8), false
  end

