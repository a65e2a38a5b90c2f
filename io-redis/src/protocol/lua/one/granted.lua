
-- Part of acquire: answers for the locks that were taken. Without a fence they are given back, and
-- what the lease had before stays: it may hold it.
local granted = not failed and taken and 'granted ' .. id
if failed and string.sub(failed, 1, 1) == '-' then failed = 'stream ' .. failed end
for i = 1, count do
  if not answers[i] then
    answers[i] = granted or failed
    if own and own[i] then
      -- Law: Ownership
      local set = granted and pcall('SET', KEYS[i], ARGV[2 * i - 1], 'PX', ARGV[2 * i])
      if set and set.err then answers[i] = '-' .. set.err end
    elseif failed then
      -- Law: No orphan
      pcall('DEL', KEYS[i])
    end
  end
end
return answers
