import Core
import LuaHost
import TensorKernels
import Tensors

/// `tensor.conv1d`, `conv_transpose1d`, `conv_transpose2d`, pooling of lines, `group_norm`, `upsample`, `pad` and other functions of layers.
extension TensorFaces {
  static let layers: [Fn] = [
    Fn(
      "conv1d",
      "fun(x: Tensor, weight: Tensor, bias?: Tensor, opts?: {stride?: integer, padding?: integer, dilation?: integer, groups?: integer}): Tensor",
      "Convolution of x (batch, channels, length) with weight (out, in / groups, length)."
    ) { call in
      let o = try call.options(4)
      return try call.push(
        Tensor.conv1d(
          call.tensor(1), call.tensor(2), call.optionalTensor(3), stride: o.integer("stride") ?? 1,
          padding: o.integer("padding") ?? 0, dilation: o.integer("dilation") ?? 1, groups: o.integer("groups") ?? 1))
    },
    Fn(
      "conv_transpose1d",
      "fun(x: Tensor, weight: Tensor, bias?: Tensor, opts?: {stride?: integer, padding?: integer, output_padding?: integer, dilation?: integer, groups?: integer}): Tensor",
      "Transposed convolution of x (batch, channels, length) with weight (in, out / groups, length)."
    ) { call in
      let o = try call.options(4)
      return try call.push(
        Tensor.convTranspose1d(
          call.tensor(1), call.tensor(2), call.optionalTensor(3), stride: o.integer("stride") ?? 1,
          padding: o.integer("padding") ?? 0, outputPadding: o.integer("output_padding") ?? 0,
          dilation: o.integer("dilation") ?? 1, groups: o.integer("groups") ?? 1))
    },
    Fn(
      "conv_transpose2d",
      "fun(x: Tensor, weight: Tensor, bias?: Tensor, opts?: {stride?: any, padding?: any, output_padding?: any, dilation?: any, groups?: integer}): Tensor",
      "Transposed convolution of x (batch, channels, height, width) with weight (in, out / groups, height, width): H' = (H - 1) stride - 2 padding + dilation (kernel - 1) + output_padding + 1."
    ) { call in
      let options = try call.options(4)
      var o = ConvTransposeOptions()
      o.stride = try options.pair("stride") ?? (1, 1)
      o.padding = try options.pair("padding") ?? (0, 0)
      o.outputPadding = try options.pair("output_padding") ?? (0, 0)
      o.dilation = try options.pair("dilation") ?? (1, 1)
      o.groups = try options.integer("groups") ?? 1
      return try call.push(Tensor.convTranspose2d(call.tensor(1), call.tensor(2), call.optionalTensor(3), o))
    },
    Fn(
      "max_pool1d", "fun(x: Tensor, opts: {kernel: integer, stride?: integer, padding?: integer}): Tensor",
      "The largest of each window of x (batch, channels, length)."
    ) { call in
      let (kernel, stride, padding) = try window(call)
      return try call.push(try call.tensor(1).maxPool1d(kernel: kernel, stride: stride, padding: padding))
    },
    Fn(
      "avg_pool1d", "fun(x: Tensor, opts: {kernel: integer, stride?: integer, padding?: integer}): Tensor",
      "The mean of each window of x (batch, channels, length)."
    ) { call in
      let (kernel, stride, padding) = try window(call)
      return try call.push(try call.tensor(1).averagePool1d(kernel: kernel, stride: stride, padding: padding))
    },
    Fn(
      "adaptive_avg_pool1d", "fun(x: Tensor, opts: {size: integer}): Tensor",
      "Means over windows so that the length becomes size."
    ) { call in
      guard let size = try call.options(2).integer("size") else { throw call.bad(2, "the option 'size' is needed") }
      return try call.push(try call.tensor(1).adaptiveAveragePool1d(size: size))
    },
    Fn(
      "adaptive_max_pool1d", "fun(x: Tensor, opts: {size: integer}): Tensor",
      "Maxima over windows so that the length becomes size."
    ) { call in
      guard let size = try call.options(2).integer("size") else { throw call.bad(2, "the option 'size' is needed") }
      return try call.push(try call.tensor(1).adaptiveMaxPool1d(size: size))
    },
    Fn(
      "adaptive_max_pool2d", "fun(x: Tensor, opts: {size: any}): Tensor",
      "Maxima over windows so that height and width become size."
    ) { call in
      guard let size = try call.options(2).pair("size") else { throw call.bad(2, "the option 'size' is needed") }
      return try call.push(try call.tensor(1).adaptiveMaxPool2d(out: size))
    },
    Fn(
      "group_norm", "fun(x: Tensor, groups: integer, opts?: {weight?: Tensor, bias?: Tensor, eps?: number}): Tensor",
      "Every group of channels of every sample to mean 0 and variance 1, then weight x + bias per channel."
    ) { call in
      let o = try call.options(3)
      return try call.push(
        Tensor.groupNorm(
          call.tensor(1), groups: call.integer(2), gamma: o.object("weight", as: Tensor.self),
          beta: o.object("bias", as: Tensor.self), epsilon: o.number("eps") ?? 1e-5))
    },
    Fn(
      "instance_norm", "fun(x: Tensor, opts?: {weight?: Tensor, bias?: Tensor, eps?: number}): Tensor",
      "Every channel of every sample to mean 0 and variance 1, then weight x + bias per channel."
    ) { call in
      let o = try call.options(2)
      return try call.push(
        Tensor.instanceNorm(
          call.tensor(1), gamma: o.object("weight", as: Tensor.self), beta: o.object("bias", as: Tensor.self),
          epsilon: o.number("eps") ?? 1e-5))
    },
    Fn(
      "upsample",
      "fun(x: Tensor, opts: {size?: any, scale?: any, mode?: string, align_corners?: boolean}): Tensor",
      "Images (batch, channels, height, width) or lines (batch, channels, length) at another size, or at `scale` times theirs; mode: \"nearest\", \"bilinear\" or \"linear\"."
    ) { call in
      let o = try call.options(2)
      let (x, dims) = (try call.tensor(1), max(0, try call.tensor(1).rank - 2))
      var size = try o.integers("size")
      if let one = size, one.count == 1, dims > 0 { size = [Int](repeating: one[0], count: dims) }
      var scale: [Double]?
      if let given = try o.json("scale") {
        scale = given.doubleValue.map { [Double](repeating: $0, count: dims) } ?? given.arrayValue?.compactMap(\.doubleValue)
        guard scale != nil else { throw o.bad("scale", "must be a number or a list of numbers") }
      }
      let mode = try o.choice("mode", ["nearest", "linear", "bilinear"]) ?? "nearest"
      return try call.push(
        x.upsampled(
          size: size, scale: scale, linear: mode != "nearest", alignsCorners: o.boolean("align_corners") ?? false))
    },
    Fn(
      "pad", "fun(x: Tensor, amounts: integer[], opts?: {mode?: string, value?: number}): Tensor",
      "Positions added before and after dims, in pairs from the last dim on: {left, right, top, bottom}. mode: \"constant\" (value, 0), \"reflect\", \"replicate\" or \"circular\"."
    ) { call in
      let o = try call.options(3)
      let mode = try o.choice("mode", PadMode.allCases.map(\.rawValue)).flatMap { PadMode(rawValue: $0) } ?? .constant
      return try call.push(try call.tensor(1).padded(call.integers(2), mode: mode, value: o.number("value") ?? 0))
    },
    Fn("pixel_shuffle", "fun(x: Tensor, factor: integer): Tensor", "(N, C r^2, H, W) to (N, C, H r, W r).") { call in
      try call.push(try call.tensor(1).pixelShuffled(call.integer(2)))
    },
    Fn("pixel_unshuffle", "fun(x: Tensor, factor: integer): Tensor", "(N, C, H r, W r) to (N, C r^2, H, W).") { call in
      try call.push(try call.tensor(1).pixelUnshuffled(call.integer(2)))
    },
    Fn("prelu", "fun(x: Tensor, weight: Tensor): Tensor", "x above 0, else weight x; weight (1) or one number per channel.") {
      call in
      try call.push(Tensor.prelu(call.tensor(1), call.tensor(2)))
    },
    Fn(
      "einsum", "fun(equation: string, ...: Tensor): Tensor",
      "Sums of products by letters: einsum(\"bij,bjk->bik\", a, b). Gives floats when there are several tensors."
    ) { call in
      var operands: [Tensor] = []
      for i in 2...max(2, call.count) { operands.append(try call.tensor(i)) }
      return try call.push(Tensor.einsum(call.string(1), operands))
    },
    Fn("bmm", "fun(a: Tensor, b: Tensor): Tensor", "Products of two stacks of matrices: (N, M, K) by (N, K, P).") { call in
      let (a, b) = (try call.tensor(1), try call.tensor(2))
      guard a.rank == 3, b.rank == 3, a.shape[0] == b.shape[0] else {
        throw Failure(
          .shapeMismatch, "bmm: shapes \(Shape.text(a.shape)) and \(Shape.text(b.shape)) must be two stacks of as many matrices"
        )
      }
      return try call.push(Tensor.matmul(a, b))
    },
  ]

  private static func window(_ call: borrowing Call) throws(Failure) -> (Int, Int, Int) {
    let o = try call.options(2)
    guard let kernel = try o.integer("kernel") else { throw call.bad(2, "the option 'kernel' is needed") }
    return (kernel, try o.integer("stride") ?? kernel, try o.integer("padding") ?? 0)
  }

  static let losses: [Fn] = [
    Fn(
      "cross_entropy",
      "fun(logits: Tensor, targets: Tensor, opts?: {reduction?: string, weight?: Tensor, label_smoothing?: number, ignore_index?: integer}): Tensor",
      "Cross entropy of logits (batch, classes, ...) against class ids (batch, ...) from 0, or against probabilities of the logits' shape. Targets of ignore_index do not count."
    ) { call in
      let o = try call.options(3)
      return try call.push(
        Tensor.crossEntropy(
          call.tensor(1), classes: call.tensor(2), weight: o.object("weight", as: Tensor.self),
          ignored: o.integer("ignore_index").map { Int64($0) }, smoothing: o.number("label_smoothing") ?? 0,
          reduction: o.reduction()))
    },
    Fn(
      "nll", "fun(logp: Tensor, targets: Tensor, opts?: {reduction?: string, weight?: Tensor, ignore_index?: integer}): Tensor",
      "Minus the log-probability of each target: (batch, classes, ...) against class ids (batch, ...) from 0."
    ) { call in
      let o = try call.options(3)
      return try call.push(
        Tensor.nll(
          call.tensor(1), classes: call.tensor(2), weight: o.object("weight", as: Tensor.self),
          ignored: o.integer("ignore_index").map { Int64($0) }, reduction: o.reduction()))
    },
    Fn(
      "bce_with_logits",
      "fun(x: Tensor, y: Tensor, opts?: {reduction?: string, weight?: Tensor, pos_weight?: Tensor}): Tensor",
      "Binary cross entropy of logits against probabilities; pos_weight counts the targets of 1 more (or less)."
    ) { call in
      let o = try call.options(3)
      return try call.push(
        Tensor.bceWithLogits(
          call.tensor(1), call.tensor(2), weight: o.object("weight", as: Tensor.self),
          positiveWeight: o.object("pos_weight", as: Tensor.self), reduction: o.reduction()))
    },
    Fn(
      "bce", "fun(x: Tensor, y: Tensor, opts?: {reduction?: string, weight?: Tensor}): Tensor",
      "Binary cross entropy of probabilities x in 0..1 against y."
    ) { call in
      let o = try call.options(3)
      return try call.push(
        Tensor.bce(call.tensor(1), call.tensor(2), weight: o.object("weight", as: Tensor.self), reduction: o.reduction()))
    },
    Fn(
      "kl_div", "fun(logp: Tensor, target: Tensor, opts?: {reduction?: string, log_target?: boolean}): Tensor",
      "Divergence of log-probabilities from the target probabilities: target (log target - logp). reduction: also \"batchmean\", the sum by the first extent."
    ) { call in
      let o = try call.options(3)
      let name = try o.choice("reduction", Reduction.allCases.map(\.rawValue) + ["batchmean"]) ?? "mean"
      return try call.push(
        Tensor.klDivergence(
          call.tensor(1), call.tensor(2), logTarget: o.boolean("log_target") ?? false,
          reduction: Reduction(rawValue: name) ?? .mean, perRow: name == "batchmean"))
    },
    Fn(
      "smooth_l1", "fun(x: Tensor, y: Tensor, opts?: {reduction?: string, beta?: number}): Tensor",
      "Quadratic within beta (1), |x - y| - beta / 2 outside."
    ) { call in
      let o = try call.options(3)
      return try call.push(
        Tensor.smoothL1(call.tensor(1), call.tensor(2), beta: o.number("beta") ?? 1, reduction: o.reduction()))
    },
  ]
}
