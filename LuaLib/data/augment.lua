-- Pictures changed at random, as the `transform` of a loader: shifted, turned, zoomed, mirrored, cut, partly erased,
-- normalized.
--
--   local augment = require("data").augment
--   local train = loader({ image = images, label = labels }, { batch_size = 64, shuffle = true, seed = 1,
--     transform = augment.compose { augment.rotate(10), augment.shift(2), augment.normalize(127.5, 127.5) } })
-- Pictures are u8 or f32, (rows, channels, height, width) or (rows, height, width); the result is f32. The steps run in their
-- order as native code, one pass for each picture. Picture number n of a training always gets the random numbers number n of
-- the seed: results depend neither on threads, nor on prefetching, nor on where a training was cut and resumed.
local tensor = require "tensor"
local batches = require "_batch"
local options = require "_options".check

local augment = {}

local Step = { __name = "AugmentStep", __tostring = function(self) return "augment step " .. self.kind end }

local function step(kind, fields)
  fields.kind = kind
  return setmetatable(fields, Step)
end

-- A number m as {-m, m}, or {low, high} as it is.
local function range(where, what, value, around)
  if type(value) == "number" and value >= 0 and value < math.huge then return { around - value, around + value } end
  local low, high
  if type(value) == "table" and #value == 2 then low, high = value[1], value[2] end
  if type(low) == "number" and type(high) == "number" and low <= high then return { low, high } end
  fail(("%s: %s must be a number from 0 or {low, high}, got %s"):format(where, what, tostring(value)))
end

local function whole(where, what, value, least)
  if math.type(value) ~= "integer" or value < least then
    fail(("%s: %s must be a whole number of at least %d, got %s"):format(where, what, least, tostring(value)))
  end
  return value
end

local function share(where, what, value)
  if type(value) ~= "number" or not (value >= 0 and value <= 1) then
    fail(("%s: %s must be a number of 0 to 1, got %s"):format(where, what, tostring(value)))
  end
  return value
end

--- Turned by up to `degrees` either way, or within {low, high}; positive is against the clock. Bilinear. Options: fill (0).
function augment.rotate(degrees, opts)
  local o = options("augment.rotate", opts, { fill = true })
  return step("warp", { degrees = range("augment.rotate", "degrees", degrees, 0), fill = o.fill })
end

--- Zoomed around the middle by a factor within {low, high}. Bilinear. Options: fill (0).
function augment.scale(low, high, opts)
  local o = options("augment.scale", opts, { fill = true })
  return step("warp", { zoom = range("augment.scale", "the factors", { low, high }, 1), fill = o.fill })
end

--- Turned, zoomed and moved in one pass. Options: degrees, scale = {low, high}, shift (pixels, also fractions), each as in the
-- step of that name; fill (0).
function augment.affine(opts)
  local o = options("augment.affine", opts, { degrees = true, scale = true, shift = true, fill = true })
  local shift = o.shift and range("augment.affine", "shift", o.shift, 0)
  return step("warp", {
    degrees = o.degrees and range("augment.affine", "degrees", o.degrees, 0),
    zoom = o.scale and range("augment.affine", "scale", o.scale, 1), down = shift, right = shift, fill = o.fill,
  })
end

--- Moved by up to `most` whole pixels either way ({down, right} for two limits). Options: fill (0).
function augment.shift(most, opts)
  local o = options("augment.shift", opts, { fill = true })
  local both = type(most) == "table" and most or { most, most }
  return step("shift", {
    down = whole("augment.shift", "pixels", both[1], 0), right = whole("augment.shift", "pixels", both[2], 0), fill = o.fill,
  })
end

--- Left and right swapped with probability p (0.5).
function augment.hflip(p) return step("hflip", { p = share("augment.hflip", "p", p or 0.5) }) end
--- Top and bottom swapped with probability p (0.5).
function augment.vflip(p) return step("vflip", { p = share("augment.vflip", "p", p or 0.5) }) end

--- A part of `size` pixels ({height, width} or one number for both) from anywhere.
-- Options: padding (0) put around before, fill (0).
function augment.crop(size, opts)
  local o = options("augment.crop", opts, { padding = true, fill = true })
  local both = type(size) == "table" and size or { size, size }
  return step("crop", {
    height = whole("augment.crop", "size", both[1], 1), width = whole("augment.crop", "size", both[2], 1),
    padding = whole("augment.crop", "padding", o.padding or 0, 0), fill = o.fill,
  })
end

--- With probability p (0.5) a rectangle is overwritten.
-- Options: p, area = {0.02, 0.33} of the picture, ratio = {0.3, 3.3} of height to width, value (0).
function augment.erase(opts)
  local o = options("augment.erase", opts, { p = true, area = true, ratio = true, value = true })
  return step("erase", {
    p = share("augment.erase", "p", o.p or 0.5), area = range("augment.erase", "area", o.area or { 0.02, 0.33 }, 0),
    ratio = range("augment.erase", "ratio", o.ratio or { 0.3, 3.3 }, 0), fill = o.value,
  })
end

--- (x - mean) / std; numbers, or lists with one for each channel.
function augment.normalize(mean, std)
  if mean == nil or std == nil then fail "augment.normalize: mean and std are needed" end
  return step("normalize", { mean = mean, std = std })
end

local Augment = {}
Augment.__index = Augment
Augment.__name = "Augment"

--- Steps in their order, as a loader's transform, or to be called with a batch or a tensor of pictures.
-- Named fields: column ("image"), seed (the loader's; else 0), size = {channels, height, width} of pictures that are flat rows.
function augment.compose(steps)
  if type(steps) ~= "table" then fail("augment.compose: a list of steps is needed, got " .. type(steps)) end
  local self = setmetatable({ steps = {}, column = "image", count = 0 }, Augment)
  for key, value in pairs(steps) do
    if math.type(key) == "integer" then
      if type(value) ~= "table" or getmetatable(value) ~= Step then
        fail(("augment.compose: step %d must be a step such as augment.rotate(10), got %s"):format(key, type(value)))
      end
    elseif key == "seed" then
      if math.type(value) ~= "integer" then fail("augment.compose: seed must be a whole number, got " .. tostring(value)) end
      self.seed = value
    elseif key == "column" then
      if type(value) ~= "string" then fail("augment.compose: column must be a name, got " .. type(value)) end
      self.column = value
    elseif key == "size" then
      if type(value) ~= "table" then fail "augment.compose: size must be {channels, height, width} or {height, width}" end
      self.size = value
    else
      fail(("augment.compose: unknown option '%s'; options are: column, seed, size"):format(tostring(key)))
    end
  end
  for i, given in ipairs(steps) do
    local copy = {}
    for key, value in pairs(given) do copy[key] = value end
    self.steps[i] = copy
  end
  if #self.steps == 0 then fail "augment.compose: at least one step is needed" end
  return self
end

--- Whether a value was made by `augment.compose`.
function augment.is(value) return type(value) == "table" and getmetatable(value) == Augment end

-- What the native code needs to know of the pictures.
function Augment:pictures() return { column = self.column, size = self.size, steps = self.steps } end

-- A batch (a table with the column) or a tensor of pictures; each call goes on with the next random numbers.
Augment.__call = function(self, batch)
  local is_tensor = tensor.is_tensor(batch)
  local pictures = is_tensor and batch or type(batch) == "table" and batch[self.column]
  if not tensor.is_tensor(pictures) then
    fail(("augment: a tensor or a batch with the column '%s' is needed, got %s"):format(self.column, type(batch)))
  end
  local recipe = batches.recipe({ [self.column] = pictures }, self:pictures())
  local out = batches.make(recipe, nil, 1, #pictures, self.seed or 0, self.count)[self.column]
  self.count = self.count + #pictures
  if is_tensor then return out end
  batch[self.column] = out
  return batch
end

--- How many pictures went through by calls. Under a loader nothing needs to be remembered: its own state says which is next.
function Augment:state_dict() return { count = self.count, seed = self.seed } end
--- Goes on where a state says.
function Augment:load_state_dict(state)
  self.count, self.seed = state.count, state.seed
  return self
end

return augment
