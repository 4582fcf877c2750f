import Core
package import LuaHost
import TensorKernels
import Tensors

/// `require "tensor"`: making tensors, functions of several tensors, random numbers, exchange.
package enum TensorFaces {
  package static let module = Module(
    "tensor", "N-dimensional arrays with gradients.",
    making + alike + random + joining + networks + layers + losses + exchange + foreign + watching + onnx,
    types: [Tensor.luaType])
  /// For LuaLib's nn and optim only.
  package static let internals = Module(
    "_tensor", "Fused steps for optimizers, the state of random numbers, and tracing.",
    steps + groupSteps + layerNames + graphs, types: [LuaGraph.luaType, LuaCompiledNetwork.luaType])
  /// What `Script` registers.
  package static let entries = [
    ModuleEntry("tensor", module), ModuleEntry("_tensor", internals), ModuleEntry("_checkpoint", CheckpointFaces.module),
    ModuleEntry("_batch", BatchFaces.module),
  ]

  private static let shapeOptions = "fun(...: integer|integer[]|{dtype?: string}): Tensor"

  /// (shape, dtype) of `zeros(2, 3, {dtype = "i64"})` or `zeros({2, 3}, {dtype = "i64"})`.
  private static func shapeAndType(_ call: borrowing Call, from first: Int32 = 1) throws(Failure) -> ([Int], DType) {
    let shape = try call.shape(first)
    let next = call.isTable(first) ? first + 1 : first + Int32(shape.count)
    if next <= call.count, !call.isNil(next) {
      guard call.isTable(next), next == call.count else { throw call.bad(next, "integers, then a table of options, expected") }
      return (shape, try call.options(next, known: ["dtype"]).dtype() ?? .f32)
    }
    return (shape, .f32)
  }

  private static let making: [Fn] = [
    Fn("zeros", shapeOptions, "All 0: zeros(2, 3) or zeros({2, 3}, {dtype = \"i64\"}).") { call in
      let (shape, type) = try shapeAndType(call)
      return try call.push(Tensor.zeros(shape, type))
    },
    Fn("ones", shapeOptions, "All 1.") { call in
      let (shape, type) = try shapeAndType(call)
      return try call.push(Tensor.full(shape, 1, type))
    },
    Fn("full", "fun(shape: integer[]|integer, value: number|boolean, opts?: {dtype?: string}): Tensor", "All of one value.") {
      call in
      let shape = call.isTable(1) ? try call.integers(1) : [try call.integer(1)]
      let isBoolean = call.isBoolean(2)
      let type = try call.options(3).dtype() ?? (isBoolean ? .bool : .f32)
      if call.isInteger(2) { return try call.push(Tensor.full(shape, integer: Int64(try call.integer(2)), type)) }
      let value = isBoolean ? (try call.boolean(2) ? 1 : 0) : try call.number(2)
      return try call.push(Tensor.full(shape, value, type))
    },
    Fn(
      "arange", "fun(first: number, last: number, step?: number, opts?: {dtype?: string}): Tensor",
      "first, first + step, ... up to and including last, as Lua's for. Whole numbers give i64."
    ) { call in
      let (first, last, step) = (try call.number(1), try call.number(2), try call.optionalNumber(3) ?? 1)
      let isWhole = call.isInteger(1) && call.isInteger(2) && (call.isNil(3) || call.isInteger(3))
      let type = try call.options(4).dtype()
      if isWhole {
        return try call.push(
          Tensor.arange(
            from: Int64(try call.integer(1)), through: Int64(try call.integer(2)),
            by: Int64(try call.optionalInteger(3) ?? 1), type ?? .i64))
      }
      // The end is included; half a step more keeps rounding from losing it.
      return try call.push(Tensor.arange(first, last + step / 2, step, type ?? .f32))
    },
    Fn("eye", "fun(n: integer, opts?: {dtype?: string}): Tensor", "The identity matrix.") { call in
      let n = try call.integer(1, in: 0...1_000_000)
      let t = try Tensor.zeros([n, n], call.options(2).dtype() ?? .f32)
      for i in 0..<n { Kernels.store(t.dtype, t.pointer, i * n + i, 1) }
      return try call.push(t)
    },
    Fn(
      "from_table", "fun(list: any, opts?: {dtype?: string, shape?: integer[]}): Tensor",
      "A tensor of nested lists. Numbers become f32 and booleans bool unless dtype says otherwise."
    ) { call in
      let options = try call.options(2)
      guard call.isTable(1) || call.isNumber(1) || call.isBoolean(1) else {
        throw call.bad(1, "list of numbers expected, got \(call.typeName(1))")
      }
      let t = try call.tensor(fromList: 1, dtype: options.dtype())
      return try call.push(options.integers("shape").map { (s) throws(Failure) in try t.reshaped(s) } ?? t)
    },
  ]

  private static let random: [Fn] = [
    Fn(
      "manual_seed", "fun(seed: integer)",
      "Starts the random numbers anew; equal seeds give equal numbers on any number of cores."
    ) { call in
      RandomState.seed(UInt64(bitPattern: Int64(try call.integer(1))))
      return 0
    },
    Fn("rand", shapeOptions, "Uniform in 0..1 (1 excluded).") { call in
      let (shape, type) = try shapeAndType(call)
      return try call.push(Tensor.uniform(shape, type))
    },
    Fn("randn", shapeOptions, "Normal with mean 0 and deviation 1.") { call in
      let (shape, type) = try shapeAndType(call)
      return try call.push(Tensor.normal(shape, type))
    },
    Fn(
      "randint", "fun(low: integer, high: integer, shape: integer[]|integer): Tensor",
      "Whole numbers low..high, both included (i64)."
    ) { call in
      let shape = call.isTable(3) ? try call.integers(3) : [try call.integer(3)]
      let (low, high) = (try call.integer(1), try call.integer(2))
      guard low <= high, high < Int.max else { throw call.bad(2, "\(low) to \(high) is no range") }
      return try call.push(Tensor.integers(shape, low: Int64(low), high: Int64(high) + 1))
    },
    Fn(
      "randperm", "fun(n: integer, opts?: {seed?: integer}): Tensor",
      "The positions 1..n in random order (i64); with a seed, of its own numbers."
    ) {
      call in
      let seed = try call.options(2).integer("seed")
      return try call.push(Tensor.permutation(call.integer(1), seed: seed.map { UInt64(bitPattern: Int64($0)) }).add(1))
    },
  ]

  /// A list of tensors; lists of numbers count as tensors, so that `stack` takes rows of a request.
  private static func tensors(_ call: borrowing Call, _ index: Int32) throws -> [Tensor] {
    var out: [Tensor] = []
    try call.forEachElement(index) { i in
      if let t = call.objectIfPresent(-1, as: Tensor.self) {
        out.append(t)
      } else if call.isTable(-1) || call.isNumber(-1) {
        out.append(try call.tensor(fromList: -1, dtype: nil))
      } else {
        throw call.bad(index, "element \(i) must be a Tensor or a list of numbers, got \(call.typeName(-1))")
      }
    }
    return out
  }

  private static let joining: [Fn] = [
    Fn("cat", "fun(tensors: Tensor[], dim?: integer): Tensor", "One after the other along a dim (1).") { call in
      try call.push(Tensor.cat(tensors(call, 1), call.optionalDim(2) ?? 0))
    },
    Fn("stack", "fun(tensors: any[], dim?: integer): Tensor", "Along a new dim (1). Lists of numbers may stand for tensors.") {
      call in
      try call.push(Tensor.stack(tensors(call, 1), call.optionalDim(2) ?? 0))
    },
    Fn(
      "where", "fun(condition: Tensor, yes: Tensor|number, no: Tensor|number): Tensor",
      "yes where the condition holds, else no."
    ) { call in
      let (a, b) = (call.objectIfPresent(2, as: Tensor.self), call.objectIfPresent(3, as: Tensor.self))
      return try call.push(Tensor.select(call.tensor(1), call.operand(2, like: b), call.operand(3, like: a)))
    },
    Fn("matmul", "fun(a: Tensor, b: Tensor): Tensor", "Matrix product; leading dims broadcast.") { call in
      try call.push(Tensor.matmul(call.tensor(1), call.tensor(2)))
    },
    Fn("no_grad", "fun(body: function): any", "Runs body without noting history; gives its results.") { call in
      let body = try call.function(1)
      let results = try GradMode.disabled {
        try body.call(call, results: -1) { inner in (0..<inner.count).map { inner.reference($0 + 1) } }
      }
      try call.reserve(results.count)
      for result in results { call.push(reference: result) }
      return Int32(results.count)
    },
    Fn("is_grad_enabled", "fun(): boolean", "Whether history is noted.") { call in call.push(GradMode.isEnabled) },
    Fn("is_tensor", "fun(value: any): boolean", "Whether a value is a tensor.") { call in
      call.push(call.objectIfPresent(1, as: Tensor.self) != nil)
    },
  ]

  private static let lossOptions = "opts?: {reduction?: string}): Tensor"
  private static let networks: [Fn] = [
    Fn(
      "linear", "fun(x: Tensor, weight: Tensor, bias?: Tensor, opts?: {activation?: string}): Tensor",
      "x W^T + b; weight is (out, in)."
    ) { call in
      let relu = try call.options(4).choice("activation", ["relu"]) != nil
      return try call.push(Tensor.linear(call.tensor(1), call.tensor(2), call.optionalTensor(3), relu: relu))
    },
    Fn(
      "conv2d",
      "fun(x: Tensor, weight: Tensor, bias?: Tensor, opts?: {stride?: any, padding?: any, dilation?: any, groups?: integer, activation?: string, max_pool?: boolean}): Tensor",
      "Convolution of x (batch, channels, height, width) with weight (out, in / groups, height, width). activation: \"relu\"; max_pool: after it, the largest of each 2 x 2."
    ) { call in
      let options = try call.options(4)
      var o = ConvOptions()
      o.stride = try options.pair("stride") ?? (1, 1)
      o.padding = try options.pair("padding") ?? (0, 0)
      o.dilation = try options.pair("dilation") ?? (1, 1)
      o.groups = try options.integer("groups") ?? 1
      o.relu = try options.choice("activation", ["relu"]) != nil
      o.maxPool = try options.boolean("max_pool") ?? false
      return try call.push(Tensor.conv2d(call.tensor(1), call.tensor(2), call.optionalTensor(3), o))
    },
    Fn(
      "max_pool2d", "fun(x: Tensor, opts: {kernel: any, stride?: any, padding?: any, ceil_mode?: boolean}): Tensor",
      "The largest of each window. ceil_mode: a last window may hang over the edge."
    ) { call in
      let (kernel, stride, padding) = try pool(call)
      let ceil = try call.options(2).boolean("ceil_mode") ?? false
      return try call.push(try call.tensor(1).maxPool2d(kernel: kernel, stride: stride, padding: padding, ceil: ceil))
    },
    Fn(
      "avg_pool2d",
      "fun(x: Tensor, opts: {kernel: any, stride?: any, padding?: any, ceil_mode?: boolean, count_include_pad?: boolean}): Tensor",
      "The mean of each window; padding counts as zeros unless count_include_pad is false."
    ) { call in
      let (kernel, stride, padding) = try pool(call)
      let o = try call.options(2)
      return try call.push(
        try call.tensor(1).averagePool2d(
          kernel: kernel, stride: stride, padding: padding, ceil: o.boolean("ceil_mode") ?? false,
          countsPadding: o.boolean("count_include_pad") ?? true))
    },
    Fn(
      "adaptive_avg_pool2d", "fun(x: Tensor, opts: {size: any}): Tensor",
      "Means over windows so that height and width become size."
    ) { call in
      guard let size = try call.options(2).pair("size") else { throw call.bad(2, "the option 'size' is needed") }
      return try call.push(try call.tensor(1).adaptiveAveragePool2d(out: size))
    },
    Fn(
      "batch_norm",
      "fun(x: Tensor, opts: {weight?: Tensor, bias?: Tensor, running_mean?: Tensor, running_var?: Tensor, training?: boolean, momentum?: number, eps?: number, relu?: boolean}): Tensor",
      "Each channel to mean 0 and variance 1, then weight x + bias; with relu, the larger of that and 0."
    ) { call in
      let o = try call.options(2)
      return try call.push(
        Tensor.batchNorm(
          call.tensor(1), gamma: o.object("weight", as: Tensor.self), beta: o.object("bias", as: Tensor.self),
          runningMean: o.object("running_mean", as: Tensor.self), runningVariance: o.object("running_var", as: Tensor.self),
          training: o.boolean("training") ?? false, momentum: o.number("momentum") ?? 0.1, epsilon: o.number("eps") ?? 1e-5,
          relu: o.boolean("relu") ?? false))
    },
    Fn(
      "layer_norm", "fun(x: Tensor, shape: integer[]|integer, opts?: {weight?: Tensor, bias?: Tensor, eps?: number}): Tensor",
      "The last dims to mean 0 and variance 1, then weight x + bias."
    ) { call in
      let o = try call.options(3)
      let shape = call.isTable(2) ? try call.integers(2) : [try call.integer(2)]
      return try call.push(
        Tensor.layerNorm(
          call.tensor(1), shape: shape, gamma: o.object("weight", as: Tensor.self), beta: o.object("bias", as: Tensor.self),
          epsilon: o.number("eps") ?? 1e-5))
    },
    Fn(
      "dropout", "fun(x: Tensor, p: number, training: boolean): Tensor",
      "Elements set to 0 with probability p, the rest divided by 1 - p."
    ) { call in
      try call.push(Tensor.dropout(call.tensor(1), p: call.number(2), training: call.boolean(3)))
    },
    Fn("embedding", "fun(weight: Tensor, ids: Tensor): Tensor", "The rows of weight at ids (from 0).") { call in
      try call.push(Tensor.embedding(call.tensor(1), call.tensor(2)))
    },
    Fn("mse", "fun(x: Tensor, y: Tensor, " + lossOptions, "Squared differences.") { call in
      try call.push(Tensor.mse(call.tensor(1), call.tensor(2), reduction: call.options(3).reduction()))
    },
    Fn("l1", "fun(x: Tensor, y: Tensor, " + lossOptions, "Absolute differences.") { call in
      try call.push(Tensor.l1(call.tensor(1), call.tensor(2), reduction: call.options(3).reduction()))
    },
    Fn(
      "huber", "fun(x: Tensor, y: Tensor, opts?: {reduction?: string, delta?: number}): Tensor",
      "Quadratic within delta (1), linear outside."
    ) {
      call in
      let o = try call.options(3)
      return try call.push(
        Tensor.huber(call.tensor(1), call.tensor(2), delta: o.number("delta") ?? 1, reduction: o.reduction()))
    },
  ]

  private static func pool(_ call: borrowing Call) throws(Failure) -> ((Int, Int), (Int, Int), (Int, Int)) {
    let o = try call.options(2)
    guard let kernel = try o.pair("kernel") else { throw call.bad(2, "the option 'kernel' is needed") }
    return (kernel, try o.pair("stride") ?? kernel, try o.pair("padding") ?? (0, 0))
  }

  private static let exchange: [Fn] = [
    Fn(
      "to_safetensors", "fun(tensors: table<string, Tensor>, opts?: {floats?: string}): string",
      "The bytes of a safetensors file, names in order. floats: \"f16\" or \"bf16\" writes them rounded to two bytes."
    ) {
      call in
      var all: [(name: String, tensor: Tensor)] = []
      try call.forEachPair(1) {
        guard call.isString(-2) else { throw call.bad(1, "names must be strings, got \(call.typeName(-2))") }
        all.append((try call.string(-2), try call.tensor(-1)))
      }
      all.sort { $0.name < $1.name }
      let half = try call.options(2).choice("floats", HalfFormat.allCases.map(\.rawValue)).flatMap { HalfFormat(rawValue: $0) }
      return call.push(bytes: try SafeTensors.encode(all, half: half))
    },
    Fn(
      "from_safetensors", "fun(bytes: string): table<string, Tensor>",
      "The tensors of a safetensors file by name; F16 and BF16 as f32."
    ) { call in
      let all = try call.withBytes(1) { try SafeTensors.decode($0) }
      return try call.pushTable(fields: all.count) { t in
        for (name, tensor) in all { try t.set(name) { try $0.push(tensor) } }
      }
    },
  ]

  private static let steps: [Fn] = [
    Fn(
      "clip_grad_norm", "fun(parameters: Tensor[], most: number): number",
      "Scales gradients to a joint length of at most most; gives the length before."
    ) {
      call in
      call.push(try Tensor.clipGradientNorm(tensors(call, 1), most: call.number(2)))
    },
    Fn("uniform", "fun(shape: integer[], low: number, high: number, dtype: string): Tensor", "Uniform in low..high.") { call in
      try call.push(
        Tensor.uniform(call.integers(1), low: call.number(2), high: call.number(3), call.dtype(call.string(4))))
    },
    Fn("random_state", "fun(): integer, integer", "Seed and position of the random numbers.") { call in
      let (seed, next) = RandomState.position
      _ = call.push(Int64(bitPattern: seed))
      _ = call.push(Int64(bitPattern: next))
      return 2
    },
    Fn("set_random_state", "fun(seed: integer, position: integer)", "Goes on where random_state said.") { call in
      RandomState.position = (UInt64(bitPattern: Int64(try call.integer(1))), UInt64(bitPattern: Int64(try call.integer(2))))
      return 0
    },
  ]
}
