
-- Part of what inspects: what is told of the value of a lock, and the digest by which the lock can
-- be broken. No lock has a value of more than 1,024 bytes: of such a one the beginning is told, and
-- no digest.
local function shown(held)
  if not held then return held, held end
  -- Law: Bounded work
  if #held > 1024 then return string.sub(held, 1, 1024), false end
  -- Law: Ownership
  return held, redis.sha1hex(held)
end
