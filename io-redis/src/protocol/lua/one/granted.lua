
-- Part of acquire: answers for the locks that were taken. Without a fence they are given back.
local granted = not failed and taken and 'granted ' .. id
for i = 1, count do
  if not answers[i] then
    answers[i] = granted or failed
    -- Law: No orphan
    if failed then pcall('DEL', KEYS[i]) end
  end
end
return answers
