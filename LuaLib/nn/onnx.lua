-- Networks from and to ONNX files.
local tensor = require "tensor"
local module = require "nn.module"

local onnx = {}

--- The network as the bytes of an ONNX file (opset 17), at rest (no dropout, learned statistics), for inputs of any batch.
-- Options: shape (of an input, batch first), dtype ("f32"). An error (UNSUPPORTED) names all ops that ONNX cannot hold.
---@name nn.export_onnx(net, opts)
function onnx.export(net, opts)
  if not module.is(net) then fail("export_onnx: a network is needed, got " .. type(net)) end
  return net:trace(opts, "export_onnx"):to_onnx()
end

local imported = module.define("onnx", {
  is_private = true,
  forward = function(self, x)
    local weights = {}
    for own, name in pairs(self.names) do weights[name] = self[own] end
    return self.traced:run_with(x, weights)
  end,
  graph = function()
    fail("a network from an ONNX file is kept as one: nn.export_onnx writes it", "NOT_A_GRAPH")
  end,
  describe = function(self)
    local shape = self.traced:shape()
    return ("%d ops, input (%s)"):format(#self.traced:ops(), table.concat(shape, ", "))
  end,
})

--- A layer of the bytes of an ONNX file (opsets 7 to 21, one input, one output), for inputs of any batch. Its float weights
-- are parameters and can be trained; batch norms keep the file's statistics, dropout rests. Options: shape (of an input, batch
-- first) for files that leave more than the batch open.
---@name nn.from_onnx(bytes, opts)
function onnx.import(bytes, opts)
  local o = module.options("from_onnx", opts, { shape = true })
  local self = imported.new {}
  self.traced, self.names = tensor.from_onnx(bytes, { shape = o.shape }), {}
  for _, weight in ipairs(self.traced:weights()) do
    -- A weight called like something that every layer has gets another name here.
    local own = weight.name
    while self[own] ~= nil do own = own .. "_" end
    self.names[own] = weight.name
    if weight.trains then self:add_parameter(own, weight.tensor) else self:add_buffer(own, weight.tensor) end
  end
  return self
end

return onnx
