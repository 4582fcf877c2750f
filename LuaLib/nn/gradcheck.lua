-- Checks gradients against finite differences, in f64.
local tensor = require "tensor"

--- Compares the gradient of `fn(...inputs)` (any shape; its sum is taken) with finite differences.
-- Gives the largest error; raises when it is above `tolerance` (1e-5), naming input and element.
return function(fn, inputs, opts)
  opts = opts or {}
  local step, tolerance = opts.step or 1e-6, opts.tolerance or 1e-5
  local given = {}
  for i, x in ipairs(inputs) do
    given[i] = x
    if x:dtype() == "f32" or x:dtype() == "f64" then given[i] = x:detach():to("f64"):clone():requires_grad_() end
  end
  fn(table.unpack(given)):sum():backward()
  local worst = 0
  for i, x in ipairs(given) do
    if x.requires_grad then
      local analytic = x.grad and x.grad:reshape(-1):totable() or {}
      local flat = x:detach():reshape(-1)
      for k = 1, #flat do
        local slope = tensor.no_grad(function()
          local was = flat[k]:item()
          flat[k] = was + step
          local above = fn(table.unpack(given)):sum():item()
          flat[k] = was - step
          local below = fn(table.unpack(given)):sum():item()
          flat[k] = was
          return (above - below) / (2 * step)
        end)
        local wrong = math.abs(slope - (analytic[k] or 0)) / math.max(1, math.abs(slope))
        worst = math.max(worst, wrong)
        if wrong > tolerance then
          fail(("gradcheck: input %d, element %d: gradient %.6g, finite difference %.6g"):format(i, k, analytic[k] or 0, slope))
        end
      end
    end
  end
  return worst
end
