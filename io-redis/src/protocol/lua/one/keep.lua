-- Creates the fence stream if it is missing, or draws from it, and lets it expire two days after
-- that. Answers the id, or why there is none.
-- KEYS: fence stream
local stream, taken = KEYS[1], true
