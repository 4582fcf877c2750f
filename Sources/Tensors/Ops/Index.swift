package import Core
import TensorKernels

/// Joining and picking by positions (i64, from 0).
extension Tensor {
  /// Tensors one after the other along a dim; other extents and, after promotion, types are the same.
  package static func cat(_ tensors: [Tensor], _ dim: Int = 0) throws(Failure) -> Tensor {
    guard let first = tensors.first else { throw Failure(.invalidArgument, "cat: the list of tensors is empty") }
    let axis = try Shape.axis(dim, rank: first.rank, op: "cat")
    let type = tensors.map(\.dtype).max() ?? first.dtype
    var shape = first.shape
    shape[axis] = 0
    for (i, t) in tensors.enumerated() {
      var expected = first.shape
      if t.rank == first.rank { expected[axis] = t.shape[axis] }
      guard t.shape == expected else {
        throw Failure(
          .shapeMismatch,
          "cat: tensor \(i + 1) of shape \(Shape.text(t.shape)) does not fit \(Shape.text(first.shape)) along dim \(axis + 1)")
      }
      shape[axis] += t.shape[axis]
    }
    let parts = try tensors.map { (t) throws(Failure) in try t.cast(type) }
    let out = try empty(shape, type, op: "cat")
    var start = 0
    for part in parts {
      let target = out.view(part.shape, out.strides, start * out.strides[axis])
      target.fill(from: part)
      start += part.shape[axis]
    }
    let extents = parts.map { $0.shape[axis] }
    out.traced(.cat(dim: axis), parts)
    return out.recorded("cat", parts) { (g, _, needs) throws(Failure) in
      var at = 0
      var out: [Tensor?] = []
      for (extent, wanted) in zip(extents, needs) {
        out.append(wanted ? try g.narrowed(axis, from: at, length: extent) : nil)
        at += extent
      }
      return out
    }
  }

  /// Tensors of one shape along a new dim.
  package static func stack(_ tensors: [Tensor], _ dim: Int = 0) throws(Failure) -> Tensor {
    guard let first = tensors.first else { throw Failure(.invalidArgument, "stack: the list of tensors is empty") }
    for (i, t) in tensors.enumerated() where t.shape != first.shape {
      throw Failure(
        .shapeMismatch, "stack: tensor \(i + 1) has shape \(Shape.text(t.shape)), the first has \(Shape.text(first.shape))")
    }
    return try cat(tensors.map { (t) throws(Failure) in try t.unsqueezed(dim) }, dim)
  }

  private func positions(_ op: String) throws(Failure) -> Tensor {
    guard !dtype.isFloat, dtype != .bool else {
      throw Failure(.typeMismatch, "\(op): positions must be integers, not \(dtype)")
    }
    return try ownPositions()
  }
  private var ids: UnsafePointer<Int64> { UnsafePointer(pointer.assumingMemoryBound(to: Int64.self)) }

  private static func badPosition(_ op: String, _ index: Tensor, _ at: Int, _ extent: Int, _ axis: Int) -> Failure {
    Failure(
      .invalidArgument, "\(op): position \(index.ids[at] + 1) is not in 1..\(extent), the extent of dim \(axis + 1)")
  }

  /// The positions `index` (1-dim) of one dim, in that order, repeats allowed.
  package func indexSelected(_ dim: Int, _ index: Tensor, op: String = "index_select") throws(Failure) -> Tensor {
    let axis = try Shape.axis(dim, rank: rank, op: op)
    guard index.rank == 1 else {
      throw Failure(.shapeMismatch, "\(op): positions must have one dim, not shape \(Shape.text(index.shape))")
    }
    let wanted = try index.positions(op)
    let outer = shape[..<axis].reduce(1, *)
    let inner = shape[(axis + 1)...].reduce(1, *)
    let (extent, length) = (shape[axis], wanted.count)
    // Rows of `inner` elements of the array seen as (outer * extent, inner).
    var rows = wanted
    if outer != 1 {
      for i in 0..<length where wanted.ids[i] < 0 || wanted.ids[i] >= Int64(extent) {
        throw Tensor.badPosition(op, wanted, i, extent, axis)
      }
      rows = try Tensor.arange(0, Double(outer), 1, .i64).mul(Double(extent)).unsqueezed(1).add(wanted.unsqueezed(0))
    }
    let source = try detached().contiguous()
    var target = shape
    target[axis] = length
    let out = try Tensor.empty(target, dtype, op: op)
    let bad = Kernels.takeRows(
      rows: outer * extent, rowBytes: inner * dtype.size, index: rows.ids, count: rows.count, out: out.pointer,
      a: source.pointer)
    if bad >= 0 { throw Tensor.badPosition(op, wanted, bad, extent, axis) }
    let (old, type) = (shape, dtype)
    return out.recorded(op, [self], saving: [rows]) { (g, saved, _) throws(Failure) in
      let (source, full) = (try g.contiguous(), try Tensor.zeros(old, type))
      Kernels.addRows(type, width: inner, index: saved[0].ids, count: saved[0].count, a: full.pointer, g: source.pointer)
      return [full]
    }
  }

  /// out[.., i, ..] = self[.., index[.., i, ..], ..] along a dim; index has this shape except for that dim.
  package func gathered(_ dim: Int, _ index: Tensor) throws(Failure) -> Tensor {
    let axis = try Shape.axis(dim, rank: rank, op: "gather")
    let p = try index.positions("gather")
    var expected = shape
    if p.rank == rank { expected[axis] = p.shape[axis] }
    guard p.shape == expected else {
      throw Failure(
        .shapeMismatch,
        "gather: positions \(Shape.text(p.shape)) must have the shape of the tensor, \(Shape.text(shape)), except in dim \(axis + 1)"
      )
    }
    let outer = shape[..<axis].reduce(1, *)
    let inner = shape[(axis + 1)...].reduce(1, *)
    let (extent, length) = (shape[axis], p.shape[axis])
    let source = try detached().contiguous()
    let out = try Tensor.empty(p.shape, dtype, op: "gather")
    let bad = Kernels.gather(
      size: dtype.size, outer: outer, from: extent, count: length, inner: inner, index: p.ids, out: out.pointer,
      a: source.pointer)
    if bad >= 0 { throw Tensor.badPosition("gather", p, bad, extent, axis) }
    let (old, type) = (shape, dtype)
    return out.recorded("gather", [self], saving: [p]) { (g, saved, _) throws(Failure) in
      let (source, full) = (try g.contiguous(), try Tensor.zeros(old, type))
      _ = Kernels.scatterAdd(
        type, outer: outer, from: extent, count: length, inner: inner, index: saved[0].ids, a: full.pointer, g: source.pointer)
      return [full]
    }
  }

  /// A copy of this with `source` added at the positions `index` along a dim: the reverse of `gathered`.
  package func scatterAdded(_ dim: Int, _ index: Tensor, _ source: Tensor) throws(Failure) -> Tensor {
    let axis = try Shape.axis(dim, rank: rank, op: "scatter_add")
    let p = try index.positions("scatter_add")
    var expected = shape
    if p.rank == rank { expected[axis] = p.shape[axis] }
    guard p.shape == expected, source.shape == p.shape, source.dtype == dtype else {
      throw Failure(
        .shapeMismatch,
        "scatter_add: positions \(Shape.text(p.shape)) and source \(source.dtype) \(Shape.text(source.shape)) do not fit "
          + "\(dtype) \(Shape.text(shape)) along dim \(axis + 1)")
    }
    let out = try detached().clone()
    let values = try source.detached().contiguous()
    let outer = shape[..<axis].reduce(1, *)
    let bad = Kernels.scatterAdd(
      dtype, outer: outer, from: shape[axis], count: p.shape[axis], inner: shape[(axis + 1)...].reduce(1, *), index: p.ids,
      a: out.pointer, g: values.pointer)
    if bad >= 0 { throw Tensor.badPosition("scatter_add", p, bad, shape[axis], axis) }
    return out.recorded("scatter_add", [self, source], saving: [p]) { (g, saved, needs) throws(Failure) in
      [g, needs[1] ? try g.gathered(axis, saved[0]) : nil]
    }
  }

  /// Rows `ids` (any shape, from 0) of weight (rows, width) -> ids.shape + (width).
  package static func embedding(_ weight: Tensor, _ ids: Tensor) throws(Failure) -> Tensor {
    guard weight.rank == 2 else {
      throw Failure(.shapeMismatch, "embedding: weight must be (rows, width), not \(Shape.text(weight.shape))")
    }
    let p = try ids.positions("embedding")
    for i in 0..<p.count where p.ids[i] < 0 || p.ids[i] >= Int64(weight.shape[0]) {
      throw Failure(.invalidArgument, "embedding: id \(p.ids[i]) is not in 0..\(weight.shape[0] - 1)")
    }
    return try weight.indexSelected(0, p.reshaped([p.count]), op: "embedding").reshaped(ids.shape + [weight.shape[1]])
      .traced(.embedding, [weight, ids])
  }

  /// ids (any shape, from 0) -> ids.shape + (classes): 1 at the id, 0 elsewhere (i64).
  package static func oneHot(_ ids: Tensor, classes: Int) throws(Failure) -> Tensor {
    let p = try ids.positions("one_hot")
    guard classes >= 0 else { throw Failure(.invalidArgument, "one_hot: the number of classes is negative") }
    let out = try empty(ids.shape + [classes], .i64, op: "one_hot", zeroed: true)
    for i in 0..<p.count {
      guard p.ids[i] >= 0, p.ids[i] < Int64(classes) else {
        throw Failure(.invalidArgument, "one_hot: class id \(p.ids[i]) is not in 0..\(classes - 1)")
      }
      out.pointer.assumingMemoryBound(to: Int64.self)[i * classes + Int(p.ids[i])] = 1
    }
    return out
  }
}
