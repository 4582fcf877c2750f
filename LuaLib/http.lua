-- What Lua does better than Swift for `http`: the loop that runs handlers, each as a coroutine, so that the requests of
-- several clients can wait together in a batcher. Swift never yields; all yields are in this file.
local _, native = ...
local inner = require "_http"

local resume, yield, running = coroutine.resume, coroutine.yield, coroutine.running

local Response = { __name = "HttpResponse" }
local DONE, PARKED = {}, {}     -- what a handler's coroutine yields: it is free again, or it waits in a batcher

local current                   -- the job whose coroutine runs now, nil outside of handlers

--- An answer with a status and headers of its own. body: a table becomes JSON, a string is sent as it is, nil is no body.
---@param status integer
---@param body? table|string|number|boolean
---@param headers? table<string, string>
---@return HttpResponse
function native.response(status, body, headers)
  if math.type(status) ~= "integer" or status < 200 or status > 599 then
    fail(("http.response: the status is an integer from 200 to 599, got %s"):format(tostring(status)))
  end
  if headers ~= nil and type(headers) ~= "table" then
    fail(("http.response: headers are a table of names and strings, got %s"):format(type(headers)))
  end
  return setmetatable({ status = status, body = body, headers = headers }, Response)
end

-- ---- batches ----------------------------------------------------------------------------------------------------------

local Batcher = { __name = "HttpBatcher" }
Batcher.__index = Batcher

--- Collects what concurrent requests ask for into lists. fn gets a list and returns a list of the same length and order.
--- A batch runs as soon as nothing else is on its way, at the latest wait_ms after its first item, or with max items.
---@param opts? {max?: integer, wait_ms?: number}
---@param fn fun(items: any[]): any[]
---@return HttpBatcher
function native.batcher(opts, fn)
  if fn == nil and type(opts) == "function" then opts, fn = {}, opts end
  if opts == nil then opts = {} end
  if type(opts) ~= "table" then fail("http.batcher: options are a table, got " .. type(opts)) end
  if type(fn) ~= "function" then fail("http.batcher: the last argument is a function over a list, got " .. type(fn)) end
  for name in pairs(opts) do
    if name ~= "max" and name ~= "wait_ms" then
      fail(("http.batcher has no option '%s'; options are: max, wait_ms"):format(tostring(name)))
    end
  end
  local max, wait = opts.max or 32, opts.wait_ms or 2
  if math.type(max) ~= "integer" or max < 1 then
    fail("http.batcher: max is an integer of at least 1, got " .. tostring(max))
  end
  if type(wait) ~= "number" or not (wait >= 0 and wait <= 60000) then
    fail("http.batcher: wait_ms is a number from 0 to 60000, got " .. tostring(wait))
  end
  return setmetatable(
    { max = max, wait = wait / 1000, fn = fn, jobs = {}, items = {}, due = 0, largest = 0, batches = 0 }, Batcher)
end

-- One call of fn on one item, outside of a batch.
local function alone(batcher, item)
  local answers = batcher.fn({ item })
  if type(answers) ~= "table" then
    fail(("the batch function must return a list, got %s"):format(type(answers)))
  end
  if #answers ~= 1 then fail(("the batch function returned %d answers for 1 item"):format(#answers)) end
  return answers[1]
end

--- The answer for one item. In a handler it waits for others to share its batch.
function Batcher:call(item)
  local job = current
  if not job or job.thread ~= running() then return alone(self, item) end
  if item == nil then fail "batch:call needs an item" end
  local jobs = self.jobs
  local n = #jobs + 1
  jobs[n], self.items[n] = job, item
  if n == 1 then
    self.due = inner.now() + self.wait
    job.parked[self] = true
  end
  local ok, answer = yield(PARKED)
  if not ok then error(answer, 0) end
  return answer
end

function Batcher:__tostring()
  return ("HttpBatcher (max %d, %d batches so far, largest %d)"):format(self.max, self.batches, self.largest)
end

-- ---- the loop ---------------------------------------------------------------------------------------------------------

-- A coroutine that runs one handler after the other; an error ends it.
local function work(handler, request)
  while true do handler, request = yield(DONE, handler(request)) end
end

-- The reason of a failure as text. It comes from a script: its metamethods may fail in turn.
local function describe(reason)
  local ok, text = pcall(tostring, reason)
  if not ok then text = "an error object that cannot be shown" end
  local place = type(reason) == "table" and rawget(reason, "where")
  if type(place) == "string" and place ~= "" and not text:find(place, 1, true) then text = place .. ": " .. text end
  return text
end

-- Writes why requests failed: ten lines a second at most, then how many more there were.
local function reporter(server)
  local second, shown, hidden = -1, 0, 0
  return function(number, reason)
    local now = math.floor(inner.now())
    if now ~= second then
      if hidden > 0 then print(("http: %d more requests failed"):format(hidden)) end
      second, shown, hidden = now, 0, 0
    end
    if shown < 10 then
      shown = shown + 1
      print(("http: %s failed: %s"):format(inner.label(server, number), describe(reason)))
    else
      hidden = hidden + 1
    end
  end
end

-- Runs handlers until the service has ended.
local function serve(server)
  local free = {}               -- idle coroutines
  local parked = {}             -- batchers with waiting items -> true
  local report = reporter(server)

  local function failed(job, reason)
    local status, code
    if type(reason) == "table" then status, code = rawget(reason, "status"), rawget(reason, "code") end
    if math.type(status) == "integer" and status >= 400 and status <= 599 and type(code) == "string" then
      if status >= 500 then report(job.number, reason) end
      inner.fail(server, job.number, status, code, rawget(reason, "message"))
    else
      report(job.number, reason)
      inner.fail(server, job.number)
    end
  end

  local function answer(job, result)
    local ok, reason
    if getmetatable(result) == Response then
      ok, reason = pcall(inner.answer, server, job.number, result.status, result.body, result.headers)
    elseif result == nil then
      ok, reason = pcall(inner.answer, server, job.number, 204)
    else
      ok, reason = pcall(inner.answer, server, job.number, 200, result)
    end
    if not ok then failed(job, reason) end
  end

  local function step(job, ...)
    current = job
    local ok, tag, result = resume(job.thread, ...)
    current = nil
    if not ok then
      failed(job, tag)
    elseif tag == DONE then
      free[#free + 1] = job.thread
      answer(job, result)
    elseif tag ~= PARKED then
      coroutine.close(job.thread)
      failed(job, "a handler must not yield; only batch:call may wait")
    end
  end

  local function flush(batcher)
    local jobs, items, n = {}, {}, 0
    local left_jobs, left_items = {}, {}
    for i, job in ipairs(batcher.jobs) do
      if not inner.wanted(server, job.number) then      -- its client has left, or its time is over: no work for nobody
        inner.drop(server, job.number)
        coroutine.close(job.thread)
      elseif n < batcher.max then
        n = n + 1
        jobs[n], items[n] = job, batcher.items[i]
      else
        left_jobs[#left_jobs + 1], left_items[#left_items + 1] = job, batcher.items[i]
      end
    end
    batcher.jobs, batcher.items = left_jobs, left_items
    if #left_jobs == 0 then parked[batcher] = nil end
    if n == 0 then return end
    batcher.batches = batcher.batches + 1
    if n > batcher.largest then batcher.largest = n end

    local ok, answers = pcall(batcher.fn, items)
    if ok and type(answers) == "table" and #answers == n then
      for i = 1, n do step(jobs[i], true, answers[i]) end
    elseif ok then
      local got = type(answers) == "table" and #answers .. " answers" or "a " .. type(answers)
      local reason = ("the batch function returned %s for %d items"):format(got, n)
      for i = 1, n do step(jobs[i], false, reason) end
    elseif n == 1 then
      step(jobs[1], false, answers)
    else                                            -- one bad item must not fail the others
      for i = 1, n do step(jobs[i], pcall(alone, batcher, items[i])) end
    end
  end

  while true do
    local batcher = next(parked)
    if batcher then
      for other in pairs(parked) do
        if other.due < batcher.due then batcher = other end
      end
    end
    local handler, request, number
    if not batcher then
      handler, request, number = inner.take(server, 1, false)
      if handler == false then return end
    else
      local wait = batcher.due - inner.now()
      if #batcher.jobs < batcher.max and wait > 0 then
        handler, request, number = inner.take(server, 0, false)
        if not handler then handler, request, number = inner.take(server, wait, true) end
      end
    end
    if handler then
      local n = #free
      local thread = free[n] or coroutine.create(work)
      free[n] = nil
      step({ thread = thread, number = number, server = server, parked = parked }, handler, request)
    elseif batcher then
      flush(batcher)
    end
  end
end

extend("HttpServer", {
  --- Answers requests until the task is cancelled or the server closed: then it stops accepting, answers what has begun
  --- and returns.
  wait = function(self)
    inner.begin(self)
    local ok, reason = pcall(serve, self)
    current = nil
    inner.finish(self)
    if not ok then error(reason, 0) end
  end,
})

return native
