package import Core

/// Views: other shapes over the same memory. Each has a gradient.
extension Tensor {
  /// The same elements in row-major order under another shape; one extent may be -1. Copies only when it must.
  package func reshaped(_ wanted: [Int]) throws(Failure) -> Tensor {
    var target = wanted
    if let free = wanted.firstIndex(of: -1) {
      guard wanted.filter({ $0 == -1 }).count == 1 else {
        throw Failure(.invalidArgument, "reshape: shape \(Shape.text(wanted)) leaves more than one extent open")
      }
      target[free] = 1
      let rest = try Shape.count(target, op: "reshape")
      guard rest > 0, count % rest == 0 else {
        throw Failure(
          .shapeMismatch, "reshape: \(count) elements of shape \(Shape.text(shape)) do not fit \(Shape.text(wanted))")
      }
      target[free] = count / rest
    }
    guard try Shape.count(target, op: "reshape") == count else {
      throw Failure(.shapeMismatch, "reshape: \(count) elements of shape \(Shape.text(shape)) do not fit \(Shape.text(wanted))")
    }
    if target == shape { return self }
    let old = shape
    let source = try isContiguous ? self : detached().clone()
    let out = source.view(target, Shape.strides(target), source.offset).traced(.reshape(target), [self])
    return out.recorded("reshape", [self]) { (g, _, _) throws(Failure) in [try g.reshaped(old)] }
  }

  /// Joins dims `from ... to` (from 0) into one.
  package func flattened(from: Int = 0, to: Int = -1) throws(Failure) -> Tensor {
    if rank == 0 { return try reshaped([1]) }
    let a = try Shape.axis(from, rank: rank, op: "flatten")
    let b = try Shape.axis(to, rank: rank, op: "flatten")
    guard a <= b else { throw Failure(.invalidArgument, "flatten: dim \(a + 1) comes after dim \(b + 1)") }
    let joined = shape[a...b].reduce(1, *)
    let out = try reshaped(Array(shape[..<a]) + [joined] + Array(shape[(b + 1)...]))
    return out === self ? out : out.traced(.flatten(from: a, to: b), [self])
  }

  /// Dims in another order: dim d of the result is dim `order[d]` of this.
  package func permuted(_ order: [Int]) throws(Failure) -> Tensor {
    guard order.count == rank else {
      throw Failure(.invalidArgument, "permute: \(order.count) dims given for a tensor of \(rank)")
    }
    var axes: [Int] = []
    for dim in order {
      let axis = try Shape.axis(dim, rank: rank, op: "permute")
      guard !axes.contains(axis) else { throw Failure(.invalidArgument, "permute: dim \(axis + 1) is given twice") }
      axes.append(axis)
    }
    var inverse = axes
    for (d, axis) in axes.enumerated() { inverse[axis] = d }
    let back = inverse
    return view(axes.map { shape[$0] }, axes.map { strides[$0] }, offset).traced(.permute(axes), [self])
      .recorded("permute", [self]) { (g, _, _) throws(Failure) in [try g.permuted(back)] }
  }

  /// Two dims swapped.
  package func transposed(_ a: Int = -2, _ b: Int = -1) throws(Failure) -> Tensor {
    let x = try Shape.axis(a, rank: rank, op: "transpose")
    let y = try Shape.axis(b, rank: rank, op: "transpose")
    var order = Array(0..<rank)
    order.swapAt(x, y)
    return try permuted(order)
  }

  /// A dim of extent 1 put in before `dim` (from 0; -1 appends).
  package func unsqueezed(_ dim: Int) throws(Failure) -> Tensor {
    let axis = try Shape.axis(dim, rank: rank + 1, op: "unsqueeze")
    var (s, t) = (shape, strides)
    s.insert(1, at: axis)
    t.insert(1, at: axis)
    let old = shape
    return view(s, t, offset).traced(.unsqueeze(axis), [self]).recorded("unsqueeze", [self]) { (g, _, _) throws(Failure) in
      [try g.reshaped(old)]
    }
  }

  /// Without the dim (all dims of extent 1 when nil); a dim of another extent stays.
  package func squeezed(_ dim: Int? = nil) throws(Failure) -> Tensor {
    let only = try dim.map { (d) throws(Failure) in try Shape.axis(d, rank: rank, op: "squeeze") }
    let kept = shape.indices.filter { shape[$0] != 1 || (only != nil && $0 != only) }
    if kept.count == rank { return self }
    let old = shape
    return view(kept.map { shape[$0] }, kept.map { strides[$0] }, offset)
      .traced(.squeeze(shape.indices.filter { !kept.contains($0) }), [self])
      .recorded("squeeze", [self]) { (g, _, _) throws(Failure) in [try g.reshaped(old)] }
  }

  /// Repeated without a copy: extents of 1 grow, new dims come in front; -1 keeps an extent.
  package func expanded(_ wanted: [Int]) throws(Failure) -> Tensor {
    guard wanted.count >= rank else {
      throw Failure(.shapeMismatch, "expand: shape \(Shape.text(shape)) has more dims than \(Shape.text(wanted))")
    }
    let extra = wanted.count - rank
    var (target, steps) = (wanted, [Int](repeating: 0, count: wanted.count))
    for d in shape.indices {
      let at = d + extra
      if target[at] == -1 { target[at] = shape[d] }
      guard shape[d] == target[at] || shape[d] == 1 else {
        throw Failure(
          .shapeMismatch, "expand: shape \(Shape.text(shape)) does not expand to \(Shape.text(wanted)): dim \(at + 1)")
      }
      steps[at] = shape[d] == target[at] ? strides[d] : 0
    }
    _ = try Shape.count(target, op: "expand")
    if target == shape { return self }
    let old = shape
    return view(target, steps, offset).traced(.expand(wanted), [self]).recorded("expand", [self]) { (g, _, _) throws(Failure) in
      [try g.summed(to: old)]
    }
  }

  /// Elements start, start + step, ... below `end` of one dim (all from 0, inside the extent).
  package func sliced(_ dim: Int, from start: Int, to end: Int, step: Int = 1) throws(Failure) -> Tensor {
    let axis = try Shape.axis(dim, rank: rank, op: "slice")
    guard step >= 1 else { throw Failure(.invalidArgument, "slice: the step must be at least 1, not \(step)") }
    guard start >= 0, end >= start, end <= shape[axis] else {
      throw Failure(
        .invalidArgument,
        "slice: \(start + 1)..\(end) is not inside 1..\(shape[axis]) of dim \(axis + 1), shape \(Shape.text(shape))")
    }
    var (s, t) = (shape, strides)
    s[axis] = (end - start + step - 1) / step
    t[axis] = strides[axis] * step
    let old = shape
    let out = view(s, t, offset + start * strides[axis])
    out.traced(.slice(dim: axis, from: start, to: end == shape[axis] ? nil : end, step: step), [self])
    return out.recorded("slice", [self]) { (g, _, _) throws(Failure) in
      let full = try Tensor.zeros(old, g.dtype)
      try full.sliced(axis, from: start, to: end, step: step).assign(g)
      return [full]
    }
  }

  /// `length` elements from `start` (from 0) of one dim.
  package func narrowed(_ dim: Int, from start: Int, length: Int) throws(Failure) -> Tensor {
    let axis = try Shape.axis(dim, rank: rank, op: "narrow")
    guard start >= 0, length >= 0, start <= shape[axis], length <= shape[axis] - start else {
      throw Failure(
        .invalidArgument,
        "narrow: \(length) elements from \(start + 1) leave dim \(axis + 1) of shape \(Shape.text(shape))")
    }
    return try sliced(axis, from: start, to: start + length)
  }

  /// One position (from 0, or from the end) of one dim; the dim is gone.
  package func selected(_ dim: Int, _ index: Int) throws(Failure) -> Tensor {
    let axis = try Shape.axis(dim, rank: rank, op: "select")
    let extent = shape[axis]
    guard index >= -extent, index < extent else {
      throw Failure(
        .invalidArgument,
        "index \(index >= 0 ? index + 1 : index) is not in 1..\(extent) of dim \(axis + 1), shape \(Shape.text(shape))")
    }
    let at = index < 0 ? index + extent : index
    var (s, t) = (shape, strides)
    s.remove(at: axis)
    t.remove(at: axis)
    let old = shape
    let out = view(s, t, offset + at * strides[axis]).traced(.select(dim: axis, index: at), [self])
    return out.recorded("select", [self]) { (g, _, _) throws(Failure) in
      let full = try Tensor.zeros(old, g.dtype)
      try full.selected(axis, at).assign(g)
      return [full]
    }
  }

  /// Pieces of `size` along one dim; the last may be smaller.
  package func split(_ dim: Int, size: Int) throws(Failure) -> [Tensor] {
    let axis = try Shape.axis(dim, rank: rank, op: "split")
    guard size >= 1 else { throw Failure(.invalidArgument, "split: the size must be at least 1, not \(size)") }
    guard shape[axis] / size < 1_000_000 else {
      throw Failure(
        .invalidArgument, "split: dim \(axis + 1) of \(Shape.text(shape)) has more than a million pieces of \(size)")
    }
    var parts: [Tensor] = []
    for start in stride(from: 0, to: shape[axis], by: size) {
      parts.append(try narrowed(axis, from: start, length: min(size, shape[axis] - start)))
    }
    return parts
  }

  /// Summed over what broadcasting repeated, so that the result has `target`'s shape.
  func summed(to target: [Int]) throws(Failure) -> Tensor {
    if shape == target { return self }
    let extra = rank - target.count
    var axes = Array(0..<extra)
    for d in target.indices where target[d] == 1 && shape[d + extra] != 1 { axes.append(d + extra) }
    return try (axes.isEmpty ? self : sum(axes, keepDims: true)).reshaped(target)
  }
}
