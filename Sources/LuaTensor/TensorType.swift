import Core
package import LuaHost
import TensorKernels
package import Tensors

/// The Lua type `Tensor`: all ops as methods, operators, `t[i]`.
extension Tensor {
  package static let luaType = ObjectType(
    "Tensor",
    "An n-dimensional array of f32, f64, i64, i32, u8 or bool. Dims and positions count from 1, -1 is the last; class ids "
      + "are data and count from 0. `==` compares identity: use :eq() and its kin.",
    LuaTensorMethods.all, metamethods: LuaTensorMethods.operators, index: LuaTensorMethods.index)
}

enum LuaTensorMethods {
  static let all: [Fn] = elementwise + comparisons + inPlace + reductions + shapes + picking + linear + more + values

  private static func binary(_ name: String, _ op: BinaryOp, _ doc: String) -> Fn {
    Fn(name, "fun(self: Tensor, other: Tensor|number|boolean): Tensor", doc) { call in
      let (a, b) = try call.operands()
      return try call.push(Tensor.binary(op, a, b))
    }
  }

  private static let elementwise: [Fn] =
    [
      binary("add", .add, "self + other, broadcast."), binary("sub", .sub, "self - other, broadcast."),
      binary("mul", .mul, "self * other, element by element, broadcast."),
      binary("div", .div, "self / other; integers become f32."),
      binary("floordiv", .floordiv, "self / other rounded down."),
      binary("mod", .mod, "The rest of floordiv, with the sign of other."),
      binary("pow", .pow, "self to the power of other; gives floats."),
      binary("maximum", .maximum, "The larger of each pair."), binary("minimum", .minimum, "The smaller of each pair."),
    ]
    + [
      (.neg, "-x."), (.abs, "|x|."), (.sign, "-1, 0 or 1."), (.square, "x * x."), (.exp, "e to the x."),
      (.log, "Natural logarithm."), (.log1p, "log(1 + x)."), (.sqrt, "Square root."), (.rsqrt, "1 / sqrt(x)."),
      (.reciprocal, "1 / x."), (.tanh, "Hyperbolic tangent."), (.sigmoid, "1 / (1 + e^-x)."), (.relu, "max(x, 0)."),
      (.gelu, "x times the normal distribution function of x (exact)."), (.silu, "x * sigmoid(x)."), (.sin, "Sine."),
      (.cos, "Cosine."), (.floor, "Rounded down."), (.ceil, "Rounded up."), (.round, "Rounded to the nearest, ties to even."),
      (.softplus, "log(1 + e^x)."),
    ].map { (op: UnaryOp, doc: String) in
      Fn(op.rawValue, "fun(self: Tensor): Tensor", doc) { call in try call.push(try call.tensor(1).unary(op)) }
    }
    + [
      Fn("clamp", "fun(self: Tensor, low?: number, high?: number): Tensor", "Values held between low and high.") { call in
        try call.push(
          try call.tensor(1).clamped(try call.optionalNumber(2) ?? -.infinity, try call.optionalNumber(3) ?? .infinity))
      },
      Fn("where", "fun(self: Tensor, yes: Tensor|number, no: Tensor|number): Tensor", "yes where self (bool) is true, else no.")
      {
        call in
        let (a, b) = (call.objectIfPresent(2, as: Tensor.self), call.objectIfPresent(3, as: Tensor.self))
        return try call.push(Tensor.select(call.tensor(1), call.operand(2, like: b), call.operand(3, like: a)))
      },
      Fn(
        "to", "fun(self: Tensor, dtype: string): Tensor", "Converted to \"f32\", \"f64\", \"i64\", \"i32\", \"u8\" or \"bool\"."
      ) { call in
        try call.push(try call.tensor(1).cast(call.dtype(call.string(2))))
      },
    ]

  private static let comparisons: [Fn] =
    [
      (.eq, "Where self = other (bool)."), (.ne, "Where they differ."), (.lt, "Where self < other."),
      (.le, "Where self <= other."),
      (.gt, "Where self > other."), (.ge, "Where self >= other."),
    ].map { (op: CompareOp, doc: String) in
      Fn(op.rawValue, "fun(self: Tensor, other: Tensor|number|boolean): Tensor", doc) { call in
        let (a, b) = try call.operands()
        return try call.push(Tensor.compare(op, a, b))
      }
    }
    + [(.and, "Both are true."), (.or, "At least one is true."), (.xor, "Exactly one is true.")].map {
      (op: LogicOp, doc: String) in
      Fn("logical_\(op.rawValue)", "fun(self: Tensor, other: Tensor|number|boolean): Tensor", doc) { call in
        let (a, b) = try call.operands()
        return try call.push(Tensor.logic(op, a, b))
      }
    }
    + [
      Fn("logical_not", "fun(self: Tensor): Tensor", "Where self is 0 or false.") { call in
        try call.push(Tensor.compare(.eq, call.tensor(1), Tensor.scalar(0, call.tensor(1).dtype)))
      },
      Fn("isnan", "fun(self: Tensor): Tensor", "Where self is not a number.") { call in
        try call.push(Tensor.compare(.ne, call.tensor(1), call.tensor(1)))
      },
      Fn("any", "fun(self: Tensor): boolean", "Whether any element is true or not 0.") { call in
        call.push(try call.tensor(1).anyNonZero())
      },
      Fn("all", "fun(self: Tensor): boolean", "Whether all elements are true or not 0.") { call in
        call.push(try call.tensor(1).allNonZero())
      },
      Fn(
        "allclose", "fun(self: Tensor, other: Tensor, tolerance?: number): boolean",
        "Same shape and |a - b| <= tolerance (1e-5) (1 + |b|) everywhere."
      ) {
        call in
        let (a, b) = (try call.tensor(1).detached(), try call.tensor(2).detached())
        guard a.shape == b.shape else { return call.push(false) }
        let limit = try call.optionalNumber(3) ?? 1e-5
        let (x, y) = (try a.cast(.f64), try b.cast(.f64))
        return call.push(try Tensor.compare(.le, x.sub(y).unary(.abs), y.unary(.abs).add(1).mul(limit)).allNonZero())
      },
    ]

  private static let inPlace: [Fn] =
    [("add_", .add), ("sub_", .sub), ("mul_", .mul), ("div_", .div)].map { (name: String, op: BinaryOp) in
      Fn(name, "fun(self: Tensor, other: Tensor|number): Tensor", "As \(op.rawValue), into self's memory.") { call in
        let target = try call.tensor(1)
        try target.apply(op, call.operand(2, like: target))
        return call.pushArgument(1)
      }
    }
    + [
      Fn("fill_", "fun(self: Tensor, value: number): Tensor", "Sets every element.") { call in
        let target = try call.tensor(1)
        try target.assign(call.scalar(2, target.dtype))
        return call.pushArgument(1)
      },
      Fn("zero_", "fun(self: Tensor): Tensor", "Sets every element to 0.") { call in
        try call.tensor(1).assign(0)
        return call.pushArgument(1)
      },
      Fn("copy_", "fun(self: Tensor, source: Tensor): Tensor", "Writes source, broadcast and converted, into self's memory.") {
        call in
        try call.tensor(1).assign(call.tensor(2))
        return call.pushArgument(1)
      },
    ]

  private static let reduceSignature = "fun(self: Tensor, dims?: integer|integer[], opts?: {keepdim?: boolean}): Tensor"
  private static let reductions: [Fn] = [
    Fn("sum", reduceSignature, "Sum of all elements, or over dims. Integers and bools give i64.") { call in
      try call.push(try call.tensor(1).sum(call.dims(2), keepDims: call.options(3).boolean("keepdim") ?? false))
    },
    Fn("mean", reduceSignature, "Mean of all elements, or over dims.") { call in
      try call.push(try call.tensor(1).mean(call.dims(2), keepDims: call.options(3).boolean("keepdim") ?? false))
    },
    Fn(
      "var", "fun(self: Tensor, dims?: integer|integer[], opts?: {keepdim?: boolean, correction?: integer}): Tensor",
      "Variance over all elements or dims, by n - correction (1)."
    ) { call in
      let options = try call.options(3)
      return try call.push(
        try call.tensor(1).variance(
          call.dims(2), correction: options.integer("correction") ?? 1, keepDims: options.boolean("keepdim") ?? false))
    },
    Fn(
      "std", "fun(self: Tensor, dims?: integer|integer[], opts?: {keepdim?: boolean, correction?: integer}): Tensor",
      "Square root of var."
    ) { call in
      let options = try call.options(3)
      return try call.push(
        try call.tensor(1).deviation(
          call.dims(2), correction: options.integer("correction") ?? 1, keepDims: options.boolean("keepdim") ?? false))
    },
    Fn("norm", reduceSignature, "Euclidean length.") { call in
      try call.push(try call.tensor(1).norm(call.dims(2), keepDims: call.options(3).boolean("keepdim") ?? false))
    },
    Fn("prod", "fun(self: Tensor, dim?: integer): Tensor", "Product of all elements, or along a dim.") { call in
      try call.push(try call.tensor(1).product(call.optionalDim(2)))
    },
    Fn(
      "max", "fun(self: Tensor, dim?: integer, opts?: {keepdim?: boolean}): Tensor, Tensor?",
      "The largest element; along a dim: values and their positions from 1."
    ) { call in try extreme(call, largest: true) },
    Fn(
      "min", "fun(self: Tensor, dim?: integer, opts?: {keepdim?: boolean}): Tensor, Tensor?",
      "The smallest element; along a dim: values and their positions from 1."
    ) { call in try extreme(call, largest: false) },
    Fn(
      "argmax", "fun(self: Tensor, dim?: integer): Tensor",
      "Position (from 1) of the first largest along a dim, or of the flat tensor."
    ) {
      call in
      try call.push(try call.tensor(1).argExtreme(largest: true, call.optionalDim(2)).add(1))
    },
    Fn(
      "argmin", "fun(self: Tensor, dim?: integer): Tensor",
      "Position (from 1) of the first smallest along a dim, or of the flat tensor."
    ) {
      call in
      try call.push(try call.tensor(1).argExtreme(largest: false, call.optionalDim(2)).add(1))
    },
    Fn("argclass", "fun(self: Tensor): Tensor", "Class id (from 0) of the largest logit along the last dim.") { call in
      try call.push(try call.tensor(1).argExtreme(largest: true, -1))
    },
    Fn("cumsum", "fun(self: Tensor, dim: integer): Tensor", "Running sums along a dim.") { call in
      try call.push(try call.tensor(1).cumsum(call.dim(2)))
    },
    Fn(
      "sort", "fun(self: Tensor, dim?: integer, opts?: {descending?: boolean}): Tensor, Tensor",
      "Sorted along a dim (the last): values and their positions from 1. Stable."
    ) { call in
      try call.push(
        try call.tensor(1).sorted(call.optionalDim(2) ?? -1, descending: call.options(3).boolean("descending") ?? false))
    },
    Fn(
      "topk", "fun(self: Tensor, k: integer, dim?: integer, opts?: {largest?: boolean}): Tensor, Tensor",
      "The k largest along a dim (the last), best first: values and their positions from 1."
    ) { call in
      try call.push(
        try call.tensor(1).topk(call.integer(2), call.optionalDim(3) ?? -1, largest: call.options(4).boolean("largest") ?? true)
      )
    },
    Fn("softmax", "fun(self: Tensor, dim: integer): Tensor", "e^x / sum(e^x) along a dim.") { call in
      try call.push(try call.tensor(1).softmax(call.dim(2)))
    },
    Fn("log_softmax", "fun(self: Tensor, dim: integer): Tensor", "Logarithm of softmax.") { call in
      try call.push(try call.tensor(1).softmax(call.dim(2), log: true))
    },
  ]

  private static func extreme(_ call: borrowing Call, largest: Bool) throws -> Int32 {
    let t = try call.tensor(1)
    guard let dim = try call.optionalDim(2) else { return try call.push(t.extreme(largest: largest)) }
    return try call.push(t.extreme(largest: largest, dim, keepDims: call.options(3).boolean("keepdim") ?? false))
  }

  private static let shapes: [Fn] = [
    Fn("shape", "fun(self: Tensor): integer[]", "The extents.") { call in call.push(try call.tensor(1).shape) },
    Fn("size", "fun(self: Tensor, dim: integer): integer", "The extent of a dim.") { call in
      let t = try call.tensor(1)
      return call.push(t.shape[try Shape.axis(call.dim(2), rank: t.rank, op: "size")])
    },
    Fn("dim", "fun(self: Tensor): integer", "The number of dims.") { call in call.push(try call.tensor(1).rank) },
    Fn("numel", "fun(self: Tensor): integer", "The number of elements.") { call in call.push(try call.tensor(1).count) },
    Fn("dtype", "fun(self: Tensor): string", "The element type.") { call in call.push(try call.tensor(1).dtype.description) },
    Fn("nbytes", "fun(self: Tensor): integer", "Bytes of the elements.") { call in call.push(try call.tensor(1).byteCount) },
    Fn("is_contiguous", "fun(self: Tensor): boolean", "Whether elements lie in row-major order.") { call in
      call.push(try call.tensor(1).isContiguous)
    },
    Fn("contiguous", "fun(self: Tensor): Tensor", "Self when contiguous, else a copy.") { call in
      let t = try call.tensor(1)
      return t.isContiguous ? call.pushArgument(1) : try call.push(t.contiguous())
    },
    Fn("clone", "fun(self: Tensor): Tensor", "A copy; gradients flow through.") { call in
      try call.push(try call.tensor(1).clone())
    },
    Fn(
      "reshape", "fun(self: Tensor, ...: integer|integer[]): Tensor",
      "The same elements under another shape; one extent may be -1."
    ) { call in
      try call.push(try call.tensor(1).reshaped(call.shape(2)))
    },
    Fn("view", "fun(self: Tensor, ...: integer|integer[]): Tensor", "As reshape.") { call in
      try call.push(try call.tensor(1).reshaped(call.shape(2)))
    },
    Fn("flatten", "fun(self: Tensor, from?: integer, to?: integer): Tensor", "Joins dims from..to (all) into one.") { call in
      try call.push(try call.tensor(1).flattened(from: call.optionalDim(2) ?? 0, to: call.optionalDim(3) ?? -1))
    },
    Fn("permute", "fun(self: Tensor, ...: integer|integer[]): Tensor", "Dims in another order.") { call in
      let order = try call.shape(2)
      guard !order.contains(0) else { throw call.bad(2, "dims count from 1, and -1 is the last; got 0") }
      return try call.push(try call.tensor(1).permuted(order.map { $0 > 0 ? $0 - 1 : $0 }))
    },
    Fn("transpose", "fun(self: Tensor, a?: integer, b?: integer): Tensor", "Two dims (the last two) swapped.") { call in
      try call.push(try call.tensor(1).transposed(call.optionalDim(2) ?? -2, call.optionalDim(3) ?? -1))
    },
    Fn("squeeze", "fun(self: Tensor, dim?: integer): Tensor", "Without dims of extent 1 (or only that one).") { call in
      try call.push(try call.tensor(1).squeezed(call.optionalDim(2)))
    },
    Fn("unsqueeze", "fun(self: Tensor, dim: integer): Tensor", "With a dim of extent 1 put in at dim.") { call in
      try call.push(try call.tensor(1).unsqueezed(call.dim(2)))
    },
    Fn(
      "expand", "fun(self: Tensor, ...: integer|integer[]): Tensor",
      "Dims of extent 1 repeated without a copy; -1 keeps an extent."
    ) { call in
      try call.push(try call.tensor(1).expanded(call.shape(2)))
    },
    Fn("split", "fun(self: Tensor, size: integer, dim?: integer): Tensor[]", "Pieces of size along a dim (1).") { call in
      let parts = try call.tensor(1).split(call.optionalDim(3) ?? 0, size: call.integer(2))
      return try call.pushTable(array: parts.count) { t in
        for (i, part) in parts.enumerated() { try t.set(i + 1) { try $0.push(part) } }
      }
    },
  ]

  private static let picking: [Fn] = [
    Fn("select", "fun(self: Tensor, dim: integer, position: integer): Tensor", "One position of a dim; the dim is gone.") {
      call in
      try call.push(try call.tensor(1).selected(call.dim(2), call.position(3)))
    },
    Fn(
      "slice", "fun(self: Tensor, dim: integer, first: integer, last?: integer, step?: integer): Tensor",
      "Positions first..last (both included, -1 is the end) of a dim, a view."
    ) { call in
      let t = try call.tensor(1)
      let axis = try Shape.axis(call.dim(2), rank: t.rank, op: "slice")
      let extent = t.shape[axis]
      let (first, last) = (try call.position(3), call.isNil(4) ? -1 : try call.position(4))
      let end = (last < 0 ? last + extent : last) + 1
      return try call.push(
        t.sliced(axis, from: first < 0 ? first + extent : first, to: end, step: call.optionalInteger(5) ?? 1))
    },
    Fn(
      "narrow", "fun(self: Tensor, dim: integer, first: integer, length: integer): Tensor",
      "length positions from first, a view."
    ) { call in
      try call.push(try call.tensor(1).narrowed(call.dim(2), from: call.position(3), length: call.integer(4)))
    },
    Fn(
      "index_select", "fun(self: Tensor, dim: integer, positions: Tensor|integer[]): Tensor",
      "The given positions (from 1) of a dim, in order."
    ) {
      call in
      let t = try call.tensor(1)
      let axis = try Shape.axis(call.dim(2), rank: t.rank, op: "index_select")
      return try call.push(t.indexSelected(axis, call.positions(3, extent: t.shape[axis])))
    },
    Fn(
      "gather", "fun(self: Tensor, dim: integer, positions: Tensor): Tensor",
      "Along a dim, the element at each given position (from 1); of other dims there may be fewer positions."
    ) { call in
      let t = try call.tensor(1)
      let axis = try Shape.axis(call.dim(2), rank: t.rank, op: "gather")
      return try call.push(t.gatheredPart(axis, call.positions(3, extent: t.shape[axis])))
    },
    Fn(
      "scatter_add", "fun(self: Tensor, dim: integer, positions: Tensor, source: Tensor): Tensor",
      "A copy with source added at positions (from 1)."
    ) {
      call in
      let t = try call.tensor(1)
      let axis = try Shape.axis(call.dim(2), rank: t.rank, op: "scatter_add")
      return try call.push(t.scatteredPart(axis, call.positions(3, extent: t.shape[axis]), call.tensor(4), adds: true))
    },
    Fn("one_hot", "fun(self: Tensor, classes: integer): Tensor", "Class ids (from 0) as rows of 0 and a 1 (i64).") { call in
      try call.push(Tensor.oneHot(call.tensor(1), classes: call.integer(2)))
    },
  ]

  private static let linear: [Fn] = [
    Fn("matmul", "fun(self: Tensor, other: Tensor): Tensor", "Matrix product; leading dims broadcast.") { call in
      try call.push(Tensor.matmul(call.tensor(1), call.tensor(2)))
    },
    Fn("dot", "fun(self: Tensor, other: Tensor): Tensor", "Sum of products of two vectors.") { call in
      let (a, b) = (try call.tensor(1), try call.tensor(2))
      guard a.rank == 1, b.rank == 1 else {
        throw Failure(.shapeMismatch, "dot: shapes \(Shape.text(a.shape)) and \(Shape.text(b.shape)) must be vectors")
      }
      return try call.push(Tensor.matmul(a, b))
    },
  ]

  private static let values: [Fn] = [
    Fn("item", "fun(self: Tensor): number|integer|boolean", "The one element.") { call in
      let t = try call.tensor(1)
      let value = try t.item()
      return call.push(value: value, t, 0)
    },
    Fn("totable", "fun(self: Tensor): any", "Nested lists of the elements.") { call in try call.pushTable(of: call.tensor(1)) },
    Fn(
      "backward", "fun(self: Tensor, gradient?: Tensor, opts?: {retain_graph?: boolean})",
      "Adds gradients to the leaves that led here."
    ) {
      call in
      try call.tensor(1).backward(
        gradient: call.optionalTensor(2), retainGraph: call.options(3).boolean("retain_graph") ?? false)
      return 0
    },
    Fn("detach", "fun(self: Tensor): Tensor", "The same elements without history.") { call in
      let source = try call.tensor(1)
      return try call.push(source.detached().traced(.reshape(source.shape), [source]))
    },
    Fn(
      "requires_grad_", "fun(self: Tensor, wanted?: boolean): Tensor", "Whether backward leaves a gradient in self.grad (true)."
    ) { call in
      try call.tensor(1).setRequiresGrad(call.optionalBoolean(2) ?? true)
      return call.pushArgument(1)
    },
    Fn("zero_grad", "fun(self: Tensor): Tensor", "Forgets the gradient.") { call in
      try call.tensor(1).grad = nil
      return call.pushArgument(1)
    },
  ]
}
