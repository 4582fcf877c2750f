package import Core
import TensorKernels

/// What stands beyond the edge.
package enum PadMode: String, CaseIterable, Sendable { case constant, reflect, replicate, circular }

extension Tensor {
  /// Positions added before and after dims. `amounts` are pairs (before, after) from the last dim on, as in PyTorch: (left, right, top,
  /// bottom, ...). Reflect leaves out the edge itself, replicate repeats it, circular goes on at the other end; negative amounts cut
  /// off (constant only).
  package func padded(_ amounts: [Int], mode: PadMode = .constant, value: Double = 0) throws(Failure) -> Tensor {
    guard amounts.count % 2 == 0, amounts.count / 2 <= rank else {
      throw Failure(
        .invalidArgument,
        "pad: pairs (before, after) are needed for at most the \(rank) dims of \(Shape.text(shape)), got \(amounts.count) numbers"
      )
    }
    guard amounts.allSatisfy({ abs($0.clamped) < 1 << 31 }) else {
      throw Failure(.invalidArgument, "pad: amounts must be below 2^31")
    }
    let pairs = (0..<amounts.count / 2).map { (axis: rank - 1 - $0, before: amounts[2 * $0], after: amounts[2 * $0 + 1]) }
    let out = mode == .constant ? try paddedByConstant(pairs, value) : try paddedByMap(pairs, mode)
    return out === self ? out : out.traced(.pad(amounts, mode: mode, value: value), [self])
  }

  private func paddedByConstant(_ pairs: [(axis: Int, before: Int, after: Int)], _ value: Double) throws(Failure) -> Tensor {
    var inner = self
    var target = shape
    for p in pairs {
      let (cutBefore, cutAfter) = (max(0, -p.before), max(0, -p.after))
      guard cutBefore + cutAfter <= shape[p.axis] else {
        throw Failure(
          .shapeMismatch, "pad: \(p.before) and \(p.after) cut more than dim \(p.axis + 1) of \(Shape.text(shape)) has")
      }
      inner = try inner.narrowed(p.axis, from: cutBefore, length: shape[p.axis] - cutBefore - cutAfter)
      target[p.axis] = shape[p.axis] + p.before + p.after
    }
    if target == inner.shape { return inner }
    _ = try Shape.count(target, op: "pad")
    let out = try Tensor.full(target, value, dtype)
    let starts = pairs.map { (axis: $0.axis, from: max(0, $0.before)) }
    let middle = inner.shape
    let offset = starts.reduce(0) { $0 + $1.from * out.strides[$1.axis] }
    if inner.count > 0 { out.view(middle, out.strides, offset).fill(from: inner) }
    return out.recorded("pad", [inner]) { (g, _, _) throws(Failure) in
      var part = g
      for s in starts { part = try part.narrowed(s.axis, from: s.from, length: middle[s.axis]) }
      return [part]
    }
  }

  private func paddedByMap(_ pairs: [(axis: Int, before: Int, after: Int)], _ mode: PadMode) throws(Failure) -> Tensor {
    var out = self
    for p in pairs where p.before != 0 || p.after != 0 {
      let extent = shape[p.axis]
      let most = mode == .reflect ? extent - 1 : mode == .circular ? extent : extent > 0 ? Int.max : 0
      guard p.before >= 0, p.after >= 0, p.before <= most, p.after <= most else {
        throw Failure(
          .shapeMismatch,
          "pad: \(p.before) and \(p.after) do not fit dim \(p.axis + 1) of \(Shape.text(shape)): "
            + (most == Int.max ? "mode '\(mode)' adds 0 or more" : "mode '\(mode)' adds 0 to \(max(0, most))"))
      }
      _ = try Shape.count(out.shape.indices.map { $0 == p.axis ? extent + p.before + p.after : out.shape[$0] }, op: "pad")
      let map = try Tensor.positionMap(extent + p.before + p.after, op: "pad") { i in
        let at = i - p.before
        switch mode {
        case .reflect: return at < 0 ? -at : at >= extent ? 2 * (extent - 1) - at : at
        case .replicate, .constant: return min(max(at, 0), extent - 1)
        case .circular: return at < 0 ? at + extent : at >= extent ? at - extent : at
        }
      }
      out = try out.remapped(p.axis, map, op: "pad")
    }
    return out
  }

  /// An i64 tensor of `f(0), f(1), ...`, for `remapped`.
  static func positionMap(_ count: Int, op: String, _ f: (Int) -> Int) throws(Failure) -> Tensor {
    let map = try Tensor.empty([count], .i64, op: op)
    let p = map.pointer.assumingMemoryBound(to: Int64.self)
    for i in 0..<count { p[i] = Int64(f(i)) }
    return map
  }

  /// out[.., i, ..] = self[.., map[i], ..] along an axis; `map` (`positionMap`) holds positions of it.
  func remapped(_ axis: Int, _ map: Tensor, op: String) throws(Failure) -> Tensor {
    let (outer, inner) = (shape[..<axis].reduce(1, *), shape[(axis + 1)...].reduce(1, *))
    let (old, type, from, count) = (shape, dtype, shape[axis], map.count)
    var target = shape
    target[axis] = count
    let source = try detached().contiguous()
    let out = try Tensor.empty(target, type, op: op)
    func ids(_ t: Tensor) -> UnsafePointer<Int64> { UnsafePointer(t.pointer.assumingMemoryBound(to: Int64.self)) }
    Kernels.remap(
      size: type.size, outer: outer, from: from, count: count, inner: inner, map: ids(map), out: out.pointer, a: source.pointer)
    return out.recorded(op, [self], saving: [map]) { (g, saved, _) throws(Failure) in
      let (dy, dx) = (try g.contiguous(), try Tensor.zeros(old, type))
      Kernels.remapAdd(
        type, outer: outer, from: from, count: count, inner: inner, map: ids(saved[0]), a: dx.pointer, g: dy.pointer)
      return [dx]
    }
  }
}

extension Int {
  /// Away from `Int.min`, which has no absolute value.
  fileprivate var clamped: Int { Swift.max(self, -Int.max) }
}
