
-- Part of wait: answers for the locks that were taken. Without a fence they are given back, but not
-- those that the lease had before. Who has the lock needs no place.
local id, failed
if taken then id, failed = draw() end
local granted = not failed and taken and 'granted ' .. id
for i = 1, count do
  if not answers[i] then
    local lock, place, keeps = KEYS[2 * i - 1], ARGV[4 * i - 1], own and own[i]
    answers[i] = granted or failed
    -- Law: No orphan
    if failed then
      if not keeps then pcall('DEL', lock) end
    else
      local set
      if keeps == 'PX' then
        set = pcall('SET', lock, ARGV[4 * i - 3], 'PX', ARGV[4 * i - 2])
      elseif keeps then
        set = pcall('SET', lock, ARGV[4 * i - 3], keeps)
      end
      if set and set.err then
        answers[i] = '-' .. set.err
      elseif sizes[i] ~= 0 then
        pcall('ZREM', KEYS[2 * i], place, 'B' .. string.sub(place, 3, 18))
      end
    end
  end
end
return answers
