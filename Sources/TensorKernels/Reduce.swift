package import Core

/// Sums, extremes and their positions over one axis of an array seen as (outer, count, inner).
///
/// Fixed order: f32 sums run in eight Float lanes over 1,024 values and in Double above that; blocks never depend on the
/// number of threads. Positions are the first extreme; NaN counts as the extreme, as in PyTorch.
package enum ReduceOp: String, CaseIterable, Sendable { case sum, prod, max, min }

extension Kernels {
  /// out (outer, inner) = op over `count` of a (outer, count, inner), contiguous, one type (integers wrap around).
  package static func reduce(
    _ op: ReduceOp, _ type: DType, outer: Int, count: Int, inner: Int, out: UnsafeMutableRawPointer, a: UnsafeRawPointer
  ) throws(Failure) {
    switch type {
    case .bool, .u8: try reduceAny(op, outer, count, inner, typed(out, UInt8.self), typed(a))
    case .i32: try reduceAny(op, outer, count, inner, typed(out, Int32.self), typed(a))
    case .i64: try reduceAny(op, outer, count, inner, typed(out, Int64.self), typed(a))
    case .f32:
      if op == .sum {
        try sumReal(outer, count, inner, typed(out, Float.self), typed(a))
      } else {
        try reduceAny(op, outer, count, inner, typed(out, Float.self), typed(a))
      }
    case .f64:
      if op == .sum {
        try sumReal(outer, count, inner, typed(out, Double.self), typed(a))
      } else {
        try reduceAny(op, outer, count, inner, typed(out, Double.self), typed(a))
      }
    }
  }

  /// out (outer, inner; i64) = 0-based position of the first largest (or smallest) of a (outer, count, inner).
  package static func argExtreme(
    largest: Bool, _ type: DType, outer: Int, count: Int, inner: Int, out: UnsafeMutableRawPointer, a: UnsafeRawPointer
  ) {
    switch type {
    case .bool, .u8: argLoop(largest, outer, count, inner, typed(out), typed(a, UInt8.self))
    case .i32: argLoop(largest, outer, count, inner, typed(out), typed(a, Int32.self))
    case .i64: argLoop(largest, outer, count, inner, typed(out), typed(a, Int64.self))
    case .f32: argLoop(largest, outer, count, inner, typed(out), typed(a, Float.self))
    case .f64: argLoop(largest, outer, count, inner, typed(out), typed(a, Double.self))
    }
  }

  /// out = running sums along `count` of a (outer, count, inner); backwards when `reverse`.
  package static func cumsum(
    _ type: DType, outer: Int, count: Int, inner: Int, reverse: Bool, out: UnsafeMutableRawPointer, a: UnsafeRawPointer
  ) {
    switch type {
    case .bool, .u8: runningSum(outer, count, inner, reverse, typed(out, UInt8.self), typed(a))
    case .i32: runningSum(outer, count, inner, reverse, typed(out, Int32.self), typed(a))
    case .i64: runningSum(outer, count, inner, reverse, typed(out, Int64.self), typed(a))
    case .f32: runningSum(outer, count, inner, reverse, typed(out, Float.self), typed(a))
    case .f64: runningSum(outer, count, inner, reverse, typed(out, Double.self), typed(a))
    }
  }

  /// Stable sort along `count` of a (outer, count, inner): `positions` (i64, 0-based) of the first `keep` values.
  /// NaN sorts as the largest.
  package static func sortPositions(
    _ type: DType, outer: Int, count: Int, inner: Int, keep: Int, descending: Bool, positions: UnsafeMutableRawPointer,
    a: UnsafeRawPointer
  ) {
    switch type {
    case .bool, .u8: sortLoop(outer, count, inner, keep, descending, typed(positions), typed(a, UInt8.self))
    case .i32: sortLoop(outer, count, inner, keep, descending, typed(positions), typed(a, Int32.self))
    case .i64: sortLoop(outer, count, inner, keep, descending, typed(positions), typed(a, Int64.self))
    case .f32: sortLoop(outer, count, inner, keep, descending, typed(positions), typed(a, Float.self))
    case .f64: sortLoop(outer, count, inner, keep, descending, typed(positions), typed(a, Double.self))
    }
  }
}

/// Sum of `n` neighbouring values: eight lanes within 1,024, Double across.
@inline(__always)
func sumOfRow<T: Real>(_ p: UnsafePointer<T>, _ n: Int) -> Double {
  var total = 0.0
  var from = 0
  while from < n {
    let to = min(n, from + 1024)
    var (a, b, c, d, e, f, g, h): (T, T, T, T, T, T, T, T) = (0, 0, 0, 0, 0, 0, 0, 0)
    var i = from
    while i + 8 <= to {
      a += p[i]
      b += p[i + 1]
      c += p[i + 2]
      d += p[i + 3]
      e += p[i + 4]
      f += p[i + 5]
      g += p[i + 6]
      h += p[i + 7]
      i += 8
    }
    while i < to {
      a += p[i]
      i += 1
    }
    total += Double(((a + e) + (c + g)) + ((b + f) + (d + h)))
    from = to
  }
  return total
}

private func sumReal<T: Real>(
  _ outer: Int, _ count: Int, _ inner: Int, _ out: UnsafeMutablePointer<T>, _ a: UnsafePointer<T>
) throws(Failure) {
  nonisolated(unsafe) let (out, a) = (out, a)
  if inner == 1 {
    if outer >= 16 || count < 65536 {
      Parallel.forEach(count: outer, grain: max(1, 16384 / max(1, count))) { rows in
        for row in rows { out[row] = T(sumOfRow(a + row * count, count)) }
      }
      return
    }
    let blocks = (count + 32767) / 32768
    let partial = try BufferPool.take(byteCount: outer * blocks * 8, zeroed: true)
    nonisolated(unsafe) let sums = partial.mutableValues(of: Double.self)
    for row in 0..<outer {
      Parallel.forEach(count: count, grain: 32768) { range in
        sums[row * blocks + range.lowerBound / 32768] = sumOfRow(a + row * count + range.lowerBound, range.count)
      }
      var total = 0.0
      for block in 0..<blocks { total += sums[row * blocks + block] }
      out[row] = T(total)
    }
    BufferPool.give(partial)
    return
  }
  // Columns: strips of 512 neighbouring columns, each summed in Double row after row.
  let strip = 512
  let strips = (inner + strip - 1) / strip
  let scratch = try Scratch(bytes: strip * 8, blocks: outer * strips)
  Parallel.forEach(count: outer * strips, grain: max(1, 32768 / max(1, count * min(inner, strip)))) { range in
    scratch.use { raw in
      let sums: UnsafeMutablePointer<Double> = typed(raw)
      for job in range {
        let (o, s) = (job / strips, job % strips)
        let width = min(strip, inner - s * strip)
        for i in 0..<width { sums[i] = 0 }
        for r in 0..<count {
          let row = a + (o * count + r) * inner + s * strip
          for i in 0..<width { sums[i] += Double(row[i]) }
        }
        let target = out + o * inner + s * strip
        for i in 0..<width { target[i] = T(sums[i]) }
      }
    }
  }
}

private func reduceAny<T: Element>(
  _ op: ReduceOp, _ outer: Int, _ count: Int, _ inner: Int, _ out: UnsafeMutablePointer<T>, _ a: UnsafePointer<T>
) throws(Failure) {
  switch op {
  case .sum: fold(outer, count, inner, out, a, T.zero) { T.plus($0, $1) }
  case .prod: fold(outer, count, inner, out, a, T.one) { T.times($0, $1) }
  case .max: fold(outer, count, inner, out, a, nil) { $1 > $0 || $1.isNaNValue ? $1 : $0 }
  case .min: fold(outer, count, inner, out, a, nil) { $1 < $0 || $1.isNaNValue ? $1 : $0 }
  }
}

@inline(__always)
private func fold<T: Element>(
  _ outer: Int, _ count: Int, _ inner: Int, _ out: UnsafeMutablePointer<T>, _ a: UnsafePointer<T>, _ start: T?,
  _ f: (T, T) -> T
) {
  nonisolated(unsafe) let (out, a, f, start) = (out, a, f, start)
  Parallel.forEach(count: outer * inner, grain: max(1, 16384 / max(1, count))) { range in
    for job in range {
      let p = a + (job / inner) * count * inner + job % inner
      var value = start ?? p[0]
      for i in (start == nil ? 1 : 0)..<count { value = f(value, p[i &* inner]) }
      out[job] = value
    }
  }
}

private func argLoop<T: Element>(
  _ largest: Bool, _ outer: Int, _ count: Int, _ inner: Int, _ out: UnsafeMutablePointer<Int64>, _ a: UnsafePointer<T>
) {
  nonisolated(unsafe) let (out, a) = (out, a)
  Parallel.forEach(count: outer * inner, grain: max(1, 16384 / max(1, count))) { range in
    for job in range {
      let p = a + (job / inner) * count * inner + job % inner
      var best = 0
      var value = p[0]
      for i in 1..<max(1, count) where !value.isNaNValue {
        let x = p[i &* inner]
        if x.isNaNValue || (largest ? x > value : x < value) {
          best = i
          value = x
        }
      }
      out[job] = Int64(best)
    }
  }
}

private func runningSum<T: Element>(
  _ outer: Int, _ count: Int, _ inner: Int, _ reverse: Bool, _ out: UnsafeMutablePointer<T>, _ a: UnsafePointer<T>
) {
  nonisolated(unsafe) let (out, a) = (out, a)
  Parallel.forEach(count: outer * inner, grain: max(1, 16384 / max(1, count))) { range in
    for job in range {
      let base = (job / inner) * count * inner + job % inner
      var total = T.zero
      for step in 0..<count {
        let i = base + (reverse ? count - 1 - step : step) &* inner
        total = T.plus(total, a[i])
        out[i] = total
      }
    }
  }
}

private func sortLoop<T: Element>(
  _ outer: Int, _ count: Int, _ inner: Int, _ keep: Int, _ descending: Bool, _ positions: UnsafeMutablePointer<Int64>,
  _ a: UnsafePointer<T>
) {
  nonisolated(unsafe) let (positions, a) = (positions, a)
  Parallel.forEach(count: outer * inner, grain: max(1, 4096 / max(1, count))) { range in
    for job in range {
      let base = (job / inner) * count * inner + job % inner
      func less(_ x: T, _ y: T) -> Bool { x.isNaNValue ? false : y.isNaNValue ? true : x < y }
      var order = Array(0..<count)
      order.sort { i, j in
        let (x, y) = (a[base + i * inner], a[base + j * inner])
        if descending ? less(y, x) : less(x, y) { return true }
        if descending ? less(x, y) : less(y, x) { return false }
        return i < j
      }
      let target = (job / inner) * keep * inner + job % inner
      for i in 0..<keep { positions[target + i * inner] = Int64(order[i]) }
    }
  }
}
