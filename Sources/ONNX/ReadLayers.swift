import Core
import TensorGraph
import TensorKernels
import Tensors

/// Layers. Each function reads the operator of its name: onnx.ai/onnx/operators/onnx__Conv.html and so on.
extension GraphReader {
  func conv(_ n: NodeView) throws(Failure) -> [Item] {
    var (x, w) = (try n.input(0), try n.input(1))
    let isOneDim = x.rank == 3
    guard x.rank == 4 || isOneDim, w.rank == x.rank else {
      throw Failure(
        .unsupported,
        "input \(Shape.text(x.shape)) and weight \(Shape.text(w.shape)) must both have 4 dims, or 3: images or rows")
    }
    if isOneDim { (x, w) = (try apply(.unsqueeze(2), [x]), try apply(.unsqueeze(2), [w])) }
    let window = try Window(n, kernel: w.extents(2..<w.rank), isOneDim: isOneDim)
    let pads = try window.padding(n, x)
    x = try padded(x, pads.extra, value: 0)
    var options = ConvOptions()
    options.stride = (window.stride[0], window.stride[1])
    options.dilation = (window.dilation[0], window.dilation[1])
    options.padding = (pads.both[0], pads.both[1])
    options.groups = try n.int("group", 1)
    var inputs = [x, w]
    if let bias = n.optional(2) { inputs.append(bias) }
    let y = try apply(.conv2d(options), inputs)
    return [isOneDim ? try apply(.squeeze([2]), [y]) : y]
  }

  /// alpha A B + beta C. With a weight as B and the usual factors it is `linear`.
  func gemm(_ n: NodeView) throws(Failure) -> [Item] {
    let (alpha, beta) = (try n.float("alpha", 1), try n.float("beta", 1))
    let (turnsA, turnsB) = (try n.int("transA", 0) != 0, try n.int("transB", 0) != 0)
    var (a, b) = (try n.input(0), try n.input(1))
    let c = n.optional(2)
    guard a.rank == 2, b.rank == 2 else {
      throw Failure(.shapeMismatch, "inputs \(Shape.text(a.shape)) and \(Shape.text(b.shape)) must be matrices")
    }
    if turnsA { a = try apply(.permute([1, 0]), [a]) }
    if alpha == 1, b.isFixed, beta == 1 || c == nil, c.map({ $0.isFixed && $0.rank <= 2 }) ?? true {
      let weight = turnsB ? b : try apply(.permute([1, 0]), [b])
      let outs = weight.shape[0]
      guard let c else { return [try apply(.linear, [a, weight])] }
      // One bias for all rows, whatever its shape.
      if c.shape == [outs] { return [try apply(.linear, [a, weight, c])] }
      if c.shape == [1, outs] { return [try apply(.linear, [a, weight, try apply(.reshape([outs]), [c])])] }
    }
    if turnsB { b = try apply(.permute([1, 0]), [b]) }
    var y = try apply(.matmul, [a, b])
    if alpha != 1 { y = try apply(.binary(.mul), [y, try scalar(alpha, like: y)]) }
    guard var c else { return [y] }
    if beta != 1 { c = try apply(.binary(.mul), [c, try scalar(beta, like: c)]) }
    return [try apply(.binary(.add), [y, c])]
  }

  /// A product with a weight on the right is `linear`.
  func matmul(_ n: NodeView) throws(Failure) -> [Item] {
    let (a, b) = (try n.input(0), try n.input(1))
    if b.isFixed, b.rank == 2, a.rank >= 1, a.dtype == b.dtype, a.dtype.isFloat, !a.isFixed {
      return [try apply(.linear, [a, try apply(.permute([1, 0]), [b])])]
    }
    return [try apply(.matmul, [a, b])]
  }

  func batchNorm(_ n: NodeView) throws(Failure) -> [Item] {
    let epsilon = try n.float("epsilon", 1e-5)
    _ = try n.float("momentum")
    try n.need("training_mode", 0)
    try n.need("spatial", 1)
    let (x, gamma, beta) = (try n.input(0), try n.input(1), try n.input(2))
    return [try apply(.batchNorm(epsilon: epsilon), [x, try n.input(3), try n.input(4), gamma, beta])]
  }

  func layerNorm(_ n: NodeView) throws(Failure) -> [Item] {
    let x = try n.input(0)
    let axis = try x.axis(n.int("axis", -1))
    let epsilon = try n.float("epsilon", 1e-5)
    try n.need("stash_type", 1)
    let shape = try x.extents(axis..<x.rank)
    func spread(_ item: Item) throws(Failure) -> Item { item.shape == shape ? item : try apply(.expand(shape), [item]) }
    let gamma = try spread(n.input(1))
    let beta = if let given = n.optional(2) { try spread(given) } else { fixed(try Tensor.zeros(shape, x.dtype)) }
    return [try apply(.layerNorm(shape: shape, epsilon: epsilon), [x, gamma, beta])]
  }

  /// Each channel of each image by itself.
  func instanceNorm(_ n: NodeView) throws(Failure) -> [Item] {
    let x = try n.input(0)
    guard x.rank >= 3 else { throw Failure(.shapeMismatch, "input \(Shape.text(x.shape)) must have 3 dims or more") }
    let op = GraphOp.groupNorm(groups: try x.extent(1), epsilon: try n.float("epsilon", 1e-5))
    return [try apply(op, [x, try n.input(1), try n.input(2)])]
  }

  /// Before version 21, scale and bias are one for each group.
  func groupNorm(_ n: NodeView) throws(Failure) -> [Item] {
    let x = try n.input(0)
    guard let groups = try n.int("num_groups"), groups >= 1, try x.extent(1) % groups == 0 else {
      throw Failure(.corruptData, "num_groups is missing or does not divide the channels of \(Shape.text(x.shape))")
    }
    try n.need("stash_type", 1)
    let channels = try x.extent(1)
    func spread(_ item: Item) throws(Failure) -> Item {
      if item.shape == [channels] && (opset >= 21 || groups == channels) { return item }
      let wide = try apply(.expand([groups, channels / groups]), [try apply(.reshape([groups, 1]), [item])])
      return try apply(.reshape([channels]), [wide])
    }
    let op = GraphOp.groupNorm(groups: groups, epsilon: try n.float("epsilon", 1e-5))
    return [try apply(op, [x, try spread(n.input(1)), try spread(n.input(2))])]
  }

  /// Before version 13 all dims from `axis` on (1) count as one.
  static func softmax(isLog: Bool) -> Rule {
    { reader in
      { (n) throws(Failure) in
        let x = try n.input(0)
        let axis = try x.axis(n.int("axis", reader.opset >= 13 ? -1 : 1))
        if reader.opset >= 13 || axis == x.rank - 1 { return [try reader.apply(.softmax(dim: axis, isLog: isLog), [x])] }
        let flat = try reader.apply(.flatten(from: axis, to: x.rank - 1), [x])
        let y = try reader.apply(.softmax(dim: axis, isLog: isLog), [flat])
        return [try reader.reshaped(y, x.samples.map(\.shape))]
      }
    }
  }

  /// At rest, nothing is dropped.
  func dropout(_ n: NodeView) throws(Failure) -> [Item] {
    _ = try (n.float("ratio"), n.int("seed"))
    return [try n.input(0)]
  }

  func mean(_ x: Item, _ dims: [Int], keepDims: Bool) throws(Failure) -> Item {
    var count = 1
    for dim in dims { count *= try x.extent(dim) }
    guard count > 0 else { throw Failure(.shapeMismatch, "the mean of no elements is nothing: \(Shape.text(x.shape))") }
    let sum = try apply(.sum(dims: dims, keepDims: keepDims), [x])
    return try apply(.binary(.mul), [sum, try scalar(1 / Double(count), like: x)])
  }
}
