
-- Part of wait and release: begins a function that draws, which `draw.lua` is the body of.
local function draw()
  local taken = true
