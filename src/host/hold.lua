-- Holds a request inside HAProxy until a dyno of its app is up (architecture, decision 6), so that it survives the daemon and
-- the host process. Leaves a code in txn.code when it must be answered by HAProxy after all.
local HOLD_SECONDS = 75 -- spec 3.2: then H20
local HELD_MAX_APP = 1000 -- more of one app: H11
local HELD_MAX = tonumber(os.getenv("STATOR_HELD_MAX"))
local CODES = { crashed = "H10", ["no-web"] = "H14", maintenance = "H80", blank = "H81" }

local states = Map.new(os.getenv("STATOR_STATES"), Map._str)
local backends = Map.new(os.getenv("STATOR_BACKENDS"), Map._str)
local last = 0 -- number of the latest waiter
local all = 0 -- waiters
local count = {} -- waiters of an app
local app_of = {} -- waiter -> app
local seen_at = {} -- waiter -> when it was last awake

local function seconds()
  local now = core.now()
  return now.sec + now.usec / 1000000
end

local function leave(waiter)
  local app = app_of[waiter]
  if not app then return end
  app_of[waiter], seen_at[waiter] = nil, nil
  all = all - 1
  count[app] = count[app] > 1 and count[app] - 1 or nil
end

-- HAProxy ends the action in the middle of a pause, without a word, when the client leaves: such waiters just stop waking up.
core.register_task(function()
  while true do
    core.msleep(500)
    local stale = seconds() - 2
    local gone = {}
    for waiter, at in pairs(seen_at) do
      if at < stale then gone[#gone + 1] = waiter end
    end
    for _, waiter in ipairs(gone) do leave(waiter) end
  end
end)

core.register_action("hold", { "http-req" }, function(txn)
  local app, backend = txn:get_var("txn.app"), txn:get_var("txn.backend")
  if (count[app] or 0) >= HELD_MAX_APP or all >= HELD_MAX then
    return txn:set_var("txn.code", "H11")
  end
  last = last + 1
  local waiter = last
  app_of[waiter], count[app], all = app, (count[app] or 0) + 1, all + 1
  txn:set_var("txn.held", "1") -- for the counts
  txn:set_var("txn.code", "H27") -- stands when the client leaves
  local now = seconds()
  local deadline = now + HOLD_SECONDS
  local code = "H20"
  while now < deadline do
    seen_at[waiter] = now
    core.msleep(math.max(10, all // 10)) -- few look often; many share 10,000 looks a second
    backend = backends:lookup(app) or backend -- another one, when the app's options changed
    if txn.f:nbsrv(backend) > 0 or txn.f:stopping() ~= 0 then
      code = nil -- up; or this worker makes way for a new one, which goes on holding
      break
    end
    local state = states:lookup(app)
    if state ~= "serve" then
      code = CODES[state] or "H20"
      break
    end
    now = seconds()
  end
  leave(waiter)
  txn:set_var("txn.backend", backend)
  if code then txn:set_var("txn.code", code) else txn:unset_var("txn.code") end
end, 0)
