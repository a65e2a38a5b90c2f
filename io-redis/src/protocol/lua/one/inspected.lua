
if wrong then
  if not string.find(wrong, 'WRONGTYPE', 1, true) then return size end
  return 'wrong queue ' .. (pcall('TYPE', queue).ok or '')
end
local text, digest = shown(held)
return {'seen', text, redis.call('PTTL', KEYS[1]), math.floor(size / 2), places, digest}
