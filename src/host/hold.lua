-- Holds a request inside HAProxy until a dyno of its app is up (architecture, decision 6), so that it survives the daemon and
-- the host process. Leaves a code in txn.code when it must be answered by HAProxy after all.
local HOLD_SECONDS = tonumber(os.getenv("STATOR_HOLD_MS")) / 1000 -- 75 (spec 3.2): then H20
local HELD_MAX_APP = 1000 -- more of one app: H11
local HELD_MAX = tonumber(os.getenv("STATOR_HELD_MAX"))
local CODES = { crashed = "H10", ["no-web"] = "H14", maintenance = "H80", blank = "H81" }

local states = Map.new(os.getenv("STATOR_STATES"), Map._str)
local backends = Map.new(os.getenv("STATOR_BACKENDS"), Map._str)
local wake_socket = os.getenv("STATOR_WAKE")
local told_at = {} -- app that sleeps -> when the daemon was told that somebody waits
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
  seen_at[waiter] = nil
  if not app then return end
  app_of[waiter] = nil
  all = all - 1
  count[app] = count[app] > 1 and count[app] - 1 or nil
  if not count[app] then told_at[app] = nil end
end

-- Every second, until it is awake: a daemon that is dead hears of it when it is back.
local function wake(app, now)
  if told_at[app] and now - told_at[app] < 1 then return end
  told_at[app] = now
  local socket = core.tcp()
  socket:settimeout(1)
  if socket:connect(wake_socket) then socket:send(app .. "\n") end
  socket:close()
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
  local code
  while now < deadline do
    seen_at[waiter] = now
    if states:lookup(app) == "serve-asleep" then wake(app, now) end
    core.msleep(math.min(1000, math.max(10, all // 10))) -- few look often; many share 10,000 looks a second
    backend = backends:lookup(app) or backend -- another one, when the app's options changed
    if txn.f:nbsrv(backend) > 0 or txn.f:stopping() ~= 0 then
      code = nil -- up; or this worker makes way for a new one, which goes on holding
      break
    end
    local state = states:lookup(app)
    -- "serve-up": there are dynos, but each refused lately
    code = CODES[state] or (state == "serve-up" and "H34" or "H20")
    if CODES[state] or not state then break end
    now = seconds()
  end
  leave(waiter)
  txn:set_var("txn.backend", backend)
  if code then txn:set_var("txn.code", code) else txn:unset_var("txn.code") end
end, 0)

-- More than one line of X-Forwarded-For is one list (spec 7.4); HAProxy itself would keep but the last.
core.register_action("join_forwarded", { "http-req" }, function(txn)
  local values = txn.http:req_get_headers()["x-forwarded-for"]
  local all = {}
  for i = 0, #values do all[#all + 1] = values[i] end
  txn.http:req_set_header("x-forwarded-for", table.concat(all, ", "))
end, 0)

-- When a dyno closes without an answer to a request that was not the first on its client's connection, HAProxy 2.6 tells nobody: no
-- page, no line, and in HTTP/2 the lie that nothing was processed, upon which clients send it again. So it is answered here.
local page_file = assert(io.open(os.getenv("STATOR_PAGE"), "r"))
local page = page_file:read("a")
page_file:close()
local pages = Map.new(os.getenv("STATOR_PAGES"), Map._str)

core.register_action("no_answer", { "tcp-res" }, function(txn)
  if txn.res:may_recv() then return end -- garbage came: HAProxy's own H17
  if not txn.req:may_recv() then return end -- the client left: HAProxy's own H27
  -- Nothing came in time, or the dyno closed; after a long body that is not known, and a closed connection is less likely.
  local waited, limit = txn.f:date(0, "ms") - txn:get_var("txn.start"), txn.f:cur_server_timeout()
  txn:set_var("txn.code", waited >= limit - 50 and "H12" or "H13")
  local own = pages:lookup(txn:get_var("txn.app") .. ".error") -- spec 7.8; in base64
  local body = own and page:gsub("<body>.*</body>", function() return "<body>" .. txn.c:b64dec(own) .. "</body>" end) or page
  txn:done(txn:reply{ status = 503, body = body, headers = {
    ["content-type"] = { "text/html; charset=utf-8" }, ["cache-control"] = { "no-cache, no-store" } } })
end, 0)
