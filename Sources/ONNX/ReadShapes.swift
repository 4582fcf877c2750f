import Core
import TensorGraph
import TensorKernels
import Tensors

/// Ops that put the same elements into other shapes: onnx.ai/onnx/operators/onnx__Reshape.html and so on.
extension GraphReader {
  /// To a shape for each batch; where the two differ, the extent is left open.
  func reshaped(_ x: Item, _ targets: [[Int]]) throws(Failure) -> Item {
    let (a, b) = (targets[0], targets[1])
    if targets == x.samples.map(\.shape) { return x }
    guard a.count == b.count, zip(a, b).filter({ $0 != $1 }).count <= 1 else {
      throw Failure(.unsupported, "more than one extent depends on the batch: \(Shape.text(a)) and \(Shape.text(b))")
    }
    let both = zip(a, b).map { $0 == $1 ? $0 : -1 }
    return try apply(.reshape(both), [.reshape(a), .reshape(b)], [x])
  }

  /// 0 copies an extent (unless `allowzero`), -1 is what is left.
  func reshape(_ n: NodeView) throws(Failure) -> [Item] {
    let x = try n.input(0)
    let copies = try n.int("allowzero", 0) == 0
    var wanted = try n.input(1).integerLists("the shape")
    freeBatch(&wanted, x)
    var targets: [[Int]] = []
    for (k, list) in wanted.enumerated() {
      let own = x.samples[k]
      var target = list
      for d in target.indices where target[d] == 0 && copies {
        guard d < own.rank else {
          throw Failure(.corruptData, "extent \(d + 1) of \(list) copies a dim that the input has not")
        }
        target[d] = own.shape[d]
      }
      if let open = target.firstIndex(of: -1) {
        target[open] = 1
        let rest = try Shape.count(target, op: "reshape")
        guard rest > 0, own.count % rest == 0, !target.contains(-1) else {
          throw Failure(.shapeMismatch, "input \(Shape.text(own.shape)) does not fit the shape \(Shape.text(list))")
        }
        target[open] = own.count / rest
      }
      guard try Shape.count(target, op: "reshape") == own.count else {
        throw Failure(.shapeMismatch, "input \(Shape.text(own.shape)) does not fit the shape \(Shape.text(list))")
      }
      targets.append(target)
    }
    return [try reshaped(x, targets)]
  }

  /// Where a file fixes its batch, a shape that begins with it goes along when the batch becomes another.
  private func freeBatch(_ wanted: inout [[Int]], _ x: Item) {
    guard freesBatch, wanted[0] == wanted[1],
      wanted[1].first == batches[0],
      x.samples[0].shape.first == batches[0], x.samples[1].shape.first == batches[1]
    else { return }
    wanted[1][0] = batches[1]
  }

  /// All before `axis` and all from it on, as a matrix.
  func flatten(_ n: NodeView) throws(Failure) -> [Item] {
    let x = try n.input(0)
    let given = try n.int("axis", 1)
    guard given >= -x.rank, given <= x.rank else { throw Failure(.corruptData, "axis \(given) is none of \(x.rank) dims") }
    let axis = given < 0 ? given + x.rank : given
    if axis == 1, x.rank == 2 { return [x] }
    if axis == 1, x.rank > 2 { return [try apply(.flatten(from: 1, to: x.rank - 1), [x])] }
    return [try reshaped(x, x.samples.map { [$0.shape[..<axis].reduce(1, *), $0.shape[axis...].reduce(1, *)] })]
  }

  func transpose(_ n: NodeView) throws(Failure) -> [Item] {
    let x = try n.input(0)
    let order = try n.ints("perm") ?? Array((0..<x.rank).reversed())
    guard order.count == x.rank, order.sorted() == Array(0..<x.rank) else {
      throw Failure(.corruptData, "perm \(order) is no order of \(x.rank) dims")
    }
    return [order == Array(0..<x.rank) ? x : try apply(.permute(order), [x])]
  }

  func squeeze(_ n: NodeView) throws(Failure) -> [Item] {
    let x = try n.input(0)
    var given = try n.ints("axes")
    if let item = n.optional(1) { given = try item.integers("axes") }
    let axes: [Int]
    if let given {
      axes = try GraphReader.axes(given, rank: x.rank)
    } else {
      axes = x.shape.indices.filter { x.shape[$0] == 1 }
    }
    for axis in axes where try x.extent(axis) != 1 {
      throw Failure(.shapeMismatch, "dim \(axis + 1) of input \(Shape.text(x.shape)) is not 1")
    }
    return [axes.isEmpty ? x : try apply(.squeeze(axes), [x])]
  }

  func unsqueeze(_ n: NodeView) throws(Failure) -> [Item] {
    var x = try n.input(0)
    var given = try n.ints("axes") ?? []
    if let item = n.optional(1) { given = try item.integers("axes") }
    guard given.count + x.rank <= 16 else { throw Failure(.unsupported, "more than 16 dims are not known here") }
    for axis in try GraphReader.axes(given, rank: x.rank + given.count) { x = try apply(.unsqueeze(axis), [x]) }
    return [x]
  }

  /// Extents of 1 grow to those of the shape; extents of 1 of the shape keep those of the input.
  func expand(_ n: NodeView) throws(Failure) -> [Item] {
    let x = try n.input(0)
    var wanted = try n.input(1).integerLists("the shape")
    if wanted[0].count == x.rank { freeBatch(&wanted, x) }
    var targets: [[Int]] = []
    for (k, list) in wanted.enumerated() {
      guard list.allSatisfy({ $0 >= 0 }) else { throw Failure(.corruptData, "the shape \(list) has a negative extent") }
      targets.append(try Shape.broadcast(x.samples[k].shape, list, op: "expand"))
    }
    let (a, b, extra) = (targets[0], targets[1], targets[0].count - x.rank)
    guard a.count == b.count else { throw Failure(.unsupported, "the number of dims depends on the batch") }
    if targets == x.samples.map(\.shape) { return [x] }
    var both: [Int] = []
    for d in a.indices {
      if a[d] == b[d] {
        both.append(a[d])
      } else {
        guard d >= extra, x.samples[0].shape[d - extra] == a[d], x.samples[1].shape[d - extra] == b[d] else {
          throw Failure(
            .unsupported, "dim \(d + 1) of \(Shape.text(x.shape)) is to be repeated as often as there are rows in the batch")
        }
        both.append(-1)
      }
    }
    return [try apply(.expand(both), [.expand(a), .expand(b)], [x])]
  }

  /// Starts, ends, axes and steps are attributes, or since version 10 inputs.
  func slice(_ n: NodeView) throws(Failure) -> [Item] {
    var x = try n.input(0)
    func list(_ name: String, _ i: Int) throws(Failure) -> [Int]? {
      if let given = try n.ints(name) { return given }
      return try n.optional(i).map { (item) throws(Failure) in try item.integers(name) }
    }
    guard let starts = try list("starts", 1), let ends = try list("ends", 2), starts.count == ends.count, starts.count <= x.rank
    else { throw Failure(.corruptData, "starts and ends must be there, as many of the one as of the other") }
    let axes = try list("axes", 3) ?? Array(0..<starts.count)
    let steps = try n.optional(4).map { (item) throws(Failure) in try item.integers("steps") } ?? starts.map { _ in 1 }
    guard axes.count == starts.count, steps.count == starts.count else {
      throw Failure(.corruptData, "axes and steps must be as many as starts")
    }
    _ = try GraphReader.axes(axes, rank: x.rank)
    for (i, given) in axes.enumerated() {
      guard steps[i] >= 1 else { throw Failure(.unsupported, "step \(steps[i]): only forward slices are known here") }
      x = try sliced(x, try x.axis(given), starts[i], ends[i], steps[i])
    }
    return [x]
  }

  func sliced(_ x: Item, _ axis: Int, _ start: Int, _ end: Int, _ step: Int) throws(Failure) -> Item {
    var ops: [GraphOp] = []
    for sample in x.samples {
      let extent = sample.shape[axis]
      func place(_ at: Int) -> Int { min(extent, max(0, at < 0 ? at + extent : at)) }
      let (from, to) = (place(start), place(end))
      // A step beyond the extent leaves the first element only.
      ops.append(
        .slice(dim: axis, from: from, to: to >= extent ? nil : max(from, to), step: min(step, max(1, extent))))
    }
    if case .slice(_, 0, nil, 1) = ops[0], ops[0] == ops[1] { return x }
    guard ops[0] == ops[1] else { throw Failure(.unsupported, "what is cut out of dim \(axis + 1) depends on the batch") }
    return try apply(ops[0], [x])
  }

  /// Sizes are an attribute, or since version 13 an input; without them the parts are alike.
  func split(_ n: NodeView) throws(Failure) -> [Item] {
    let x = try n.input(0)
    let axis = try x.axis(n.int("axis", 0))
    let extent = try x.extent(axis)
    _ = try n.int("num_outputs")
    let parts = n.node.output.count
    var sizes = try n.ints("split")
    if let item = n.optional(1) { sizes = try item.integers("split") }
    let even = parts == 0 ? 0 : (extent + parts - 1) / parts
    let all = sizes ?? (0..<parts).map { max(0, min(even, extent - $0 * even)) }
    guard all.count == parts, all.allSatisfy({ $0 >= 0 && $0 <= extent }), all.reduce(0, &+) == extent else {
      throw Failure(.shapeMismatch, "\(parts) parts of \(all) do not make up dim \(axis + 1) of \(Shape.text(x.shape))")
    }
    var (out, at) = ([Item](), 0)
    for size in all {
      out.append(try sliced(x, axis, at, at + size, 1))
      at += size
    }
    return out
  }

  func concat(_ n: NodeView) throws(Failure) -> [Item] {
    let parts = try n.all()
    guard let axis = try n.int("axis") else { throw Failure(.corruptData, "the attribute 'axis' is missing") }
    return [parts.count == 1 ? parts[0] : try apply(.cat(dim: try parts[0].axis(axis)), parts)]
  }
}
