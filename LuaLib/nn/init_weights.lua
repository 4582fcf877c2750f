-- First values of weights, as PyTorch's defaults.
--
-- Kaiming uniform with a = sqrt(5) comes to a bound of 1 / sqrt(fan_in) for weights, and biases have the same bound.
-- Source: torch.nn.Linear.reset_parameters.
local internals = require "_tensor"

local init = {}

--- Uniform in -1/sqrt(fan_in) .. 1/sqrt(fan_in).
function init.kaiming(shape, fan_in)
  local bound = fan_in > 0 and 1 / math.sqrt(fan_in) or 0
  return internals.uniform(shape, -bound, bound, "f32")
end

return init
