-- What a script may see: the functions that Redis 7.0 leaves it, all read-only, and nothing else.
-- Runs once per Lua state; gives back the scripts' environment and the function that runs one.
-- `host` holds what only the server can do.
local host = ...

local error, pcall, xpcall, rawget, rawset, setfenv = error, pcall, xpcall, rawget, rawset, setfenv
local type, tostring, select, setmetatable = type, tostring, select, setmetatable

local frozen = {}

local function refuse_write()
  error("Attempt to modify a readonly table", 2)
end

-- A table that can be read but not changed: what one script did must not reach the next.
local function freeze(real)
  local face = setmetatable({}, { __index = real, __newindex = refuse_write, __metatable = false })
  frozen[face] = real
  return face
end

local env = {}
for _, name in ipairs({
  "assert", "error", "getmetatable", "ipairs", "next", "pairs", "rawequal", "select",
  "setmetatable", "tonumber", "tostring", "type", "unpack", "collectgarbage", "gcinfo", "_VERSION",
}) do
  env[name] = _G[name]
end

local globals = setmetatable({}, {
  __index = function(_, name)
    local value = env[name]
    if value == nil then
      error("Script attempted to access nonexistent global variable '" .. tostring(name) .. "'", 2)
    end
    return value
  end,
  __newindex = refuse_write,
  __metatable = false,
})
frozen[globals] = env
env._G = globals

-- An error of redis.call arrives as a host value; scripts know it as a table {err = ...}.
-- Redis' own pcall gives them the text alone.
-- A script that took too many steps is not to be saved by catching that error.
local function caught(ok, ...)
  if ok then return true, ... end
  local problem = host.unwrap((...))
  if host.exhausted() then error(problem, 0) end
  if type(problem) == "table" and type(rawget(problem, "err")) == "string" then
    problem = problem.err
  end
  return false, problem
end

function env.pcall(...)
  return caught(pcall(...))
end

function env.xpcall(f, handler)
  local function handle(ok, ...)
    if not ok and host.exhausted() then error((...), 0) end
    return ok, ...
  end
  return handle(xpcall(f, function(problem) return handler(host.unwrap(problem)) end))
end

function env.rawset(t, key, value)
  if frozen[t] then error("Attempt to modify a readonly table", 0) end
  return rawset(t, key, value)
end

function env.rawget(t, key)
  return rawget(frozen[t] or t, key)
end

local loadstring = loadstring
function env.loadstring(text, name)
  if text:byte(1) == 27 then error("attempt to load chunk with wrong mode", 2) end
  local f, problem = loadstring(text, name)
  if f then setfenv(f, globals) end
  return f, problem
end

math.random, math.randomseed = host.random, host.randomseed
env.string, env.table, env.math = freeze(string), freeze(table), freeze(math)

local resume = coroutine.resume
local function resumed(ok, ...)
  if not ok and host.exhausted() then error((...), 0) end
  if ok then return true, ... end
  return false, host.unwrap((...))
end
function coroutine.resume(...)
  return resumed(resume(...))
end
env.coroutine = freeze(coroutine)

local redis = {
  sha1hex = host.sha1hex,
  error_reply = host.error_reply,
  status_reply = host.status_reply,
  log = host.log,
  setresp = host.setresp,
  replicate_commands = function() return true end,
  set_repl = function() end,
  breakpoint = function() return false end,
  debug = function() end,
  REPL_NONE = 0, REPL_SLAVE = 2, REPL_REPLICA = 2, REPL_AOF = 1, REPL_ALL = 3,
  LOG_DEBUG = 0, LOG_VERBOSE = 1, LOG_NOTICE = 2, LOG_WARNING = 3,
  REDIS_VERSION = host.version, REDIS_VERSION_NUM = host.version_num,
}
env.redis = freeze(redis)

-- Through the metatable of strings a script could reach the real string library.
getmetatable("").__metatable = false

local function handler(problem)
  problem = host.unwrap(problem)
  if type(problem) ~= "table" then
    problem = { err = "ERR " .. tostring(problem) }
  end
  local line = host.line()
  if line then
    problem.source, problem.line = "@user_script", line
  end
  return problem
end

local function run(script, keys, argv, call, protected_call)
  env.KEYS, env.ARGV = keys, argv
  redis.call, redis.pcall = call, protected_call
  return xpcall(script, handler)
end

return globals, run
