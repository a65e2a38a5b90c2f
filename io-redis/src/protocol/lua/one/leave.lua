
for i = 1, count do
  local lock, queue, token, place = KEYS[2 * i - 1], KEYS[2 * i], ARGV[2 * i - 1], ARGV[2 * i]
  local leaver = queued and place ~= '' and place
  local held, why = pcall('GETEX', lock), nil
  -- Law: Ownership
  if held ~= token then
    if not held then
      why = 'gone'
    elseif type(held) == 'table' then
      why = string.find(held.err, 'WRONGTYPE', 1, true) and 'taken' or held.err
    else
      local prefix, attempt = string.match(token, '^(.*:)(%d+)$')
      local other = sub(held, 1, #prefix) == prefix and string.match(held, '^%d+$', #prefix + 1)
      if not other or tonumber(other) > tonumber(attempt) then why = 'taken' end
    end
  end
  local left = leaver and why
  if not why and queued then
    local asker, members = '', head
