import Core
import LuaHost
import TensorKernels
import Tensors

/// Methods that turn, fill and pick by place, and activations with settings.
extension LuaTensorMethods {
  static let more: [Fn] = activations + rearranging + summaries

  private static let activations: [Fn] =
    [
      (.selu, "elu with the scale and alpha that keep mean 0 and variance 1."), (.mish, "x * tanh(softplus(x))."),
      (.hardswish, "x * relu6(x + 3) / 6."), (.hardsigmoid, "relu6(x + 3) / 6."), (.relu6, "min(max(x, 0), 6)."),
      (.softsign, "x / (1 + |x|)."), (.erf, "The error function."), (.logSigmoid, "Logarithm of the sigmoid."),
      (.geluTanh, "gelu by its approximation with tanh."),
    ].map { (op: Activation, doc: String) in
      Fn(op.rawValue, "fun(self: Tensor): Tensor", doc) { call in try call.push(try call.tensor(1).activated(op)) }
    }
    + [
      Fn("leaky_relu", "fun(self: Tensor, slope?: number): Tensor", "x above 0, else slope (0.01) x.") { call in
        try call.push(try call.tensor(1).activated(.leakyRelu, slope: call.optionalNumber(2) ?? 0.01))
      },
      Fn("elu", "fun(self: Tensor, alpha?: number): Tensor", "x above 0, else alpha (1) (e^x - 1).") { call in
        try call.push(try call.tensor(1).activated(.elu, slope: call.optionalNumber(2) ?? 1))
      },
    ]

  private static let rearranging: [Fn] = [
    Fn("flip", "fun(self: Tensor, dims: integer|integer[]): Tensor", "The positions of dims in reverse order.") { call in
      guard let dims = try call.dims(2) else { throw call.bad(2, "a dim or a list of dims is needed") }
      return try call.push(try call.tensor(1).flipped(dims))
    },
    Fn(
      "roll", "fun(self: Tensor, shift: integer, dim: integer): Tensor",
      "Positions of a dim moved on by shift; what leaves the end comes in at the start."
    ) { call in
      try call.push(try call.tensor(1).rolled(call.integer(2), call.dim(3)))
    },
    Fn("tile", "fun(self: Tensor, ...: integer|integer[]): Tensor", "Repeated along each dim (PyTorch's repeat).") { call in
      try call.push(try call.tensor(1).tiled(call.shape(2)))
    },
    Fn(
      "repeat_interleave", "fun(self: Tensor, times: integer, dim: integer): Tensor",
      "Each position of a dim several times in a row."
    ) { call in
      try call.push(try call.tensor(1).interleaved(call.integer(2), call.dim(3)))
    },
    Fn(
      "diagonal", "fun(self: Tensor, offset?: integer, dim1?: integer, dim2?: integer): Tensor",
      "The diagonal of two dims (1, 2), a view; an offset above 0 is to the right."
    ) { call in
      try call.push(
        try call.tensor(1).diagonal(
          call.optionalInteger(2) ?? 0, call.optionalDim(3) ?? 0, call.optionalDim(4) ?? 1))
    },
    Fn("tril", "fun(self: Tensor, diagonal?: integer): Tensor", "The last two dims up to a diagonal (0), 0 above it.") { call in
      try call.push(try call.tensor(1).triangle(lower: true, call.optionalInteger(2) ?? 0))
    },
    Fn("triu", "fun(self: Tensor, diagonal?: integer): Tensor", "The last two dims from a diagonal (0) on, 0 below it.") {
      call in
      try call.push(try call.tensor(1).triangle(lower: false, call.optionalInteger(2) ?? 0))
    },
    Fn(
      "masked_fill", "fun(self: Tensor, mask: Tensor, value: Tensor|number|boolean): Tensor",
      "value where mask (bool, broadcast) is true, else self."
    ) { call in
      let t = try call.tensor(1)
      return try call.push(t.maskedFilled(call.tensor(2), call.operand(3, like: t)))
    },
    Fn(
      "scatter", "fun(self: Tensor, dim: integer, positions: Tensor, source: Tensor|number): Tensor",
      "A copy with source (or one number) written at positions (from 1); of equal positions the last one stays."
    ) { call in
      let t = try call.tensor(1)
      let axis = try Shape.axis(call.dim(2), rank: t.rank, op: "scatter")
      let source = try call.objectIfPresent(4, as: Tensor.self) ?? call.operand(4, like: t).cast(t.dtype)
      return try call.push(t.scatteredPart(axis, call.positions(3, extent: t.shape[axis]), source, adds: false))
    },
    Fn(
      "masked_select", "fun(self: Tensor, mask: Tensor): Tensor",
      "The elements where mask (bool, broadcast) is true, in row-major order: one dim."
    ) { call in
      try call.push(try call.tensor(1).maskedSelected(call.tensor(2)))
    },
    Fn("nonzero", "fun(self: Tensor): Tensor", "Positions (from 1) of what is true or not 0: a row of one per dim for each.") {
      call in
      try call.push(try call.tensor(1).nonZero().add(1))
    },
    Fn("isfinite", "fun(self: Tensor): Tensor", "Where self is a number and not infinite.") { call in
      let t = try call.tensor(1).detached()
      return try call.push(Tensor.compare(.lt, t.unary(.abs), Tensor.scalar(.infinity, t.dtype.isFloat ? t.dtype : .f32)))
    },
    Fn("isinf", "fun(self: Tensor): Tensor", "Where self is infinite.") { call in
      let t = try call.tensor(1).detached()
      return try call.push(Tensor.compare(.eq, t.unary(.abs), Tensor.scalar(.infinity, t.dtype.isFloat ? t.dtype : .f32)))
    },
    Fn(
      "chunk", "fun(self: Tensor, count: integer, dim?: integer): Tensor[]", "At most count pieces of one size along a dim (1)."
    ) {
      call in
      let t = try call.tensor(1)
      let axis = try Shape.axis(call.optionalDim(3) ?? 0, rank: t.rank, op: "chunk")
      let count = try call.integer(2, in: 1...Int.max)
      let size = max(1, t.shape[axis] / count + (t.shape[axis] % count == 0 ? 0 : 1))
      return try pushList(call, t.split(axis, size: size))
    },
    Fn("unbind", "fun(self: Tensor, dim?: integer): Tensor[]", "The positions of a dim (1) as tensors without it.") { call in
      let t = try call.tensor(1)
      let axis = try Shape.axis(call.optionalDim(2) ?? 0, rank: t.rank, op: "unbind")
      guard t.shape[axis] <= 1_000_000 else {
        throw Failure(.invalidArgument, "unbind: dim \(axis + 1) of \(Shape.text(t.shape)) has more than a million positions")
      }
      var parts: [Tensor] = []
      for i in 0..<t.shape[axis] { parts.append(try t.selected(axis, i)) }
      return try pushList(call, parts)
    },
    Fn("outer", "fun(self: Tensor, other: Tensor): Tensor", "Products of all pairs of two vectors.") { call in
      let (a, b) = (try call.tensor(1), try call.tensor(2))
      guard a.rank == 1, b.rank == 1 else {
        throw Failure(.shapeMismatch, "outer: shapes \(Shape.text(a.shape)) and \(Shape.text(b.shape)) must be vectors")
      }
      return try call.push(Tensor.binary(.mul, a.unsqueezed(1), b.unsqueezed(0)))
    },
  ]

  private static func pushList(_ call: borrowing Call, _ parts: [Tensor]) throws -> Int32 {
    try call.pushTable(array: parts.count) { t in
      for (i, part) in parts.enumerated() { try t.set(i + 1) { try $0.push(part) } }
    }
  }

  private static let signature = "fun(self: Tensor, dims?: integer|integer[], opts?: {keepdim?: boolean}): Tensor"
  private static let summaries: [Fn] = [
    Fn("amax", signature, "The largest over all elements or dims; ties share the gradient.") { call in
      try call.push(try call.tensor(1).amax(largest: true, call.dims(2), keepDims: call.options(3).boolean("keepdim") ?? false))
    },
    Fn("amin", signature, "The smallest over all elements or dims; ties share the gradient.") { call in
      try call.push(
        try call.tensor(1).amax(largest: false, call.dims(2), keepDims: call.options(3).boolean("keepdim") ?? false))
    },
    Fn("logsumexp", signature, "log(sum(e^x)) over all elements or dims.") { call in
      try call.push(try call.tensor(1).logsumexp(call.dims(2), keepDims: call.options(3).boolean("keepdim") ?? false))
    },
  ]
}
