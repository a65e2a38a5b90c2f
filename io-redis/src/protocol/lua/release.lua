-- Deletes each lock that holds a token of the same lease, of this attempt or an earlier one.
-- Answers the failures only: index, why, index, why, …
-- KEYS: lock for each
-- ARGV: token for each
local pcall = redis.pcall
local failures = {}
for i = 1, #KEYS do
  local lock, token = KEYS[i], ARGV[i]
  local held, why = pcall('GETEX', lock), nil
