package import Core
import TensorKernels

/// Turning, cutting and filling by place: flip, roll, tile, diagonals, triangles, masks, scatter.
extension Tensor {
  /// The dims in reverse order of positions.
  package func flipped(_ dims: [Int]) throws(Failure) -> Tensor {
    var out = self
    for axis in try Shape.axes(dims, rank: rank, op: "flip") {
      let extent = shape[axis]
      out = try out.remapped(axis, Tensor.positionMap(extent, op: "flip") { extent - 1 - $0 }, op: "flip")
    }
    return out
  }

  /// Positions of a dim moved on by `shift`; what leaves the end comes in at the start.
  package func rolled(_ shift: Int, _ dim: Int) throws(Failure) -> Tensor {
    let axis = try Shape.axis(dim, rank: rank, op: "roll")
    let extent = shape[axis]
    guard extent > 0 else { return self }
    let by = (shift % extent + extent) % extent
    return try remapped(axis, Tensor.positionMap(extent, op: "roll") { ($0 - by + extent) % extent }, op: "roll")
  }

  /// The tensor `times[d]` times along each dim; fewer numbers than dims count from the last dim, more make new dims in front.
  package func tiled(_ times: [Int]) throws(Failure) -> Tensor {
    guard times.allSatisfy({ $0 >= 0 && $0 < 1 << 48 }), times.count <= 8, rank <= 8 else {
      throw Failure(.invalidArgument, "tile: at most 8 numbers from 0 to 2^48, and tensors of at most 8 dims")
    }
    let full = max(rank, times.count)
    let extents = [Int](repeating: 1, count: full - rank) + shape
    let counts = [Int](repeating: 1, count: full - times.count) + times
    let pairs = zip(extents, counts).map { [$0, $1] }
    _ = try Shape.count(pairs.flatMap { $0 }, op: "tile")
    let apart = try reshaped(extents.flatMap { [1, $0] })
    return try apart.expanded(pairs.flatMap { [$0[1], $0[0]] }).reshaped(pairs.map { $0[0] * $0[1] })
  }

  /// Each position of a dim `times` times in a row.
  package func interleaved(_ times: Int, _ dim: Int) throws(Failure) -> Tensor {
    let axis = try Shape.axis(dim, rank: rank, op: "repeat_interleave")
    guard times >= 0, times < 1 << 48, rank <= 15 else {
      throw Failure(.invalidArgument, "repeat_interleave: the number must be 0 to 2^48, not \(times)")
    }
    var target = shape
    target.insert(times, at: axis + 1)
    _ = try Shape.count(target, op: "repeat_interleave")
    let apart = try (axis == rank - 1 ? unsqueezed(-1) : unsqueezed(axis + 1)).expanded(target)
    target.remove(at: axis + 1)
    target[axis] *= times
    return try apart.reshaped(target)
  }

  /// The diagonal of two dims, which become the last dim; `offset` above 0 is to the right of the main diagonal. A view.
  package func diagonal(_ offset: Int = 0, _ dim1: Int = 0, _ dim2: Int = 1) throws(Failure) -> Tensor {
    let a = try Shape.axis(dim1, rank: rank, op: "diagonal")
    let b = try Shape.axis(dim2, rank: rank, op: "diagonal")
    guard a != b else { throw Failure(.invalidArgument, "diagonal: dim \(a + 1) is given twice") }
    let (right, down) = (max(0, min(offset, shape[b])), max(0, min(-max(offset, -Int.max), shape[a])))
    let length = max(0, min(shape[a] - down, shape[b] - right))
    let kept = shape.indices.filter { $0 != a && $0 != b }
    let start = length == 0 ? self.offset : self.offset + down * strides[a] + right * strides[b]
    let out = view(kept.map { shape[$0] } + [length], kept.map { strides[$0] } + [strides[a] &+ strides[b]], start)
    let old = shape
    return out.recorded("diagonal", [self]) { (g, _, _) throws(Failure) in
      let full = try Tensor.zeros(old, g.dtype)
      try full.diagonal(offset, a, b).assign(g)
      return [full]
    }
  }

  /// The last two dims below (`lower`) or above the diagonal `offset`, which stays; 0 elsewhere.
  package func triangle(lower: Bool, _ offset: Int = 0) throws(Failure) -> Tensor {
    let op = lower ? "tril" : "triu"
    guard rank >= 2 else { throw Failure(.shapeMismatch, "\(op): shape \(Shape.text(shape)) has no last two dims") }
    let k = Int64(max(-(1 << 48), min(1 << 48, offset)))
    let (rows, columns) = (shape[rank - 2], shape[rank - 1])
    let places = try Tensor.positionMap(rows, op: op) { $0 }.add(Tensor.scalar(integer: k, .i64)).unsqueezed(1)
    let isKept = try Tensor.compare(lower ? .le : .ge, Tensor.positionMap(columns, op: op) { $0 }.unsqueezed(0), places)
    return try Tensor.select(isKept, self, Tensor.scalar(0, dtype))
  }

  /// `value` where `mask` (bool, broadcast to this shape) is true.
  package func maskedFilled(_ mask: Tensor, _ value: Tensor) throws(Failure) -> Tensor {
    guard mask.dtype == .bool else { throw Failure(.typeMismatch, "masked_fill: the mask must be bool, not \(mask.dtype)") }
    guard try Shape.broadcast(shape, mask.shape, op: "masked_fill") == shape, value.count == 1 else {
      throw Failure(
        .shapeMismatch,
        "masked_fill: mask \(Shape.text(mask.shape)) does not fit \(Shape.text(shape)), or value \(Shape.text(value.shape)) is not one"
      )
    }
    return try Tensor.select(mask, value.reshaped([]).cast(dtype), self)
  }

  /// A copy of this with `source` written at the positions `index` (i64, from 0) along a dim; of equal positions the last one stays.
  package func scattered(_ dim: Int, _ index: Tensor, _ source: Tensor) throws(Failure) -> Tensor {
    let axis = try Shape.axis(dim, rank: rank, op: "scatter")
    guard !index.dtype.isFloat, index.dtype != .bool else {
      throw Failure(.typeMismatch, "scatter: positions must be integers, not \(index.dtype)")
    }
    var expected = shape
    if index.rank == rank { expected[axis] = index.shape[axis] }
    guard index.shape == expected, source.dtype == dtype, source.shape == index.shape || source.count == 1 else {
      throw Failure(
        .shapeMismatch,
        "scatter: positions \(Shape.text(index.shape)) and source \(source.dtype) \(Shape.text(source.shape)) do not fit "
          + "\(dtype) \(Shape.text(shape)) along dim \(axis + 1)")
    }
    let whole = try source.shape == index.shape ? source : source.reshaped([]).expanded(index.shape)
    let p = try index.detached().cast(.i64).contiguous()
    let places = UnsafePointer(p.pointer.assumingMemoryBound(to: Int64.self))
    let (out, values) = (try detached().clone(), try whole.detached().contiguous())
    let bad = Kernels.scatter(
      size: dtype.size, outer: shape[..<axis].reduce(1, *), from: shape[axis], count: index.shape[axis],
      inner: shape[(axis + 1)...].reduce(1, *), index: places, a: out.pointer, s: values.pointer)
    if bad >= 0 {
      throw Failure(
        .invalidArgument, "scatter: position \(places[bad] &+ 1) is not in 1..\(shape[axis]), the extent of dim \(axis + 1)")
    }
    let type = dtype
    return out.recorded("scatter", [self, whole], saving: [p]) { (g, saved, needs) throws(Failure) in
      [
        needs[0] ? try g.scattered(axis, saved[0], Tensor.scalar(0, type)) : nil,
        needs[1] ? try g.gathered(axis, saved[0]) : nil,
      ]
    }
  }

  /// `gathered` by positions that have fewer of the other dims than this: their first ones are taken, as in PyTorch.
  package func gatheredPart(_ dim: Int, _ index: Tensor) throws(Failure) -> Tensor {
    let axis = try Shape.axis(dim, rank: rank, op: "gather")
    var part = self
    if index.rank == rank {
      for d in shape.indices where d != axis && index.shape[d] < shape[d] {
        part = try part.narrowed(d, from: 0, length: index.shape[d])
      }
    }
    return try part.gathered(axis, index)
  }

  /// `scattered` (or `scatterAdded` with `adds`) by positions that have fewer of the other dims than this, and of all dims than `source`:
  /// the first ones are written, as in PyTorch.
  package func scatteredPart(_ dim: Int, _ index: Tensor, _ source: Tensor, adds: Bool) throws(Failure) -> Tensor {
    let axis = try Shape.axis(dim, rank: rank, op: adds ? "scatter_add" : "scatter")
    var (part, values) = (self, source)
    if index.rank == rank {
      for d in shape.indices {
        let extent = index.shape[d]
        if d != axis, extent < shape[d] { part = try part.narrowed(d, from: 0, length: extent) }
        if values.rank == rank, extent < values.shape[d] { values = try values.narrowed(d, from: 0, length: extent) }
      }
    }
    let new = try adds ? part.scatterAdded(axis, index, values) : part.scattered(axis, index, values)
    return part === self ? new : try overlaid(new)
  }

  /// A copy of this with its first positions in all dims replaced by `part`.
  private func overlaid(_ part: Tensor) throws(Failure) -> Tensor {
    let corner = part.shape
    let out = try detached().clone()
    if part.count > 0 { out.view(corner, out.strides, out.offset).fill(from: part) }
    return out.recorded("scatter", [self, part]) { (g, _, needs) throws(Failure) in
      let rest = needs[0] ? try g.detached().clone() : nil
      if let rest, try Shape.count(corner, op: "scatter") > 0 {
        try rest.view(corner, rest.strides, rest.offset).assign(0)
      }
      return [rest, needs[1] ? g.view(corner, g.strides, g.offset) : nil]
    }
  }
}
