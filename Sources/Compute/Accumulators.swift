import Columnar
import Core

/// Rows, or values that are not null.
final class CountAccumulator: Accumulator, @unchecked Sendable {  // Sendable: one thread at a time, handed over whole.
  private var counts: [Int64] = []

  func update(_ column: Column?, _ ids: [Int32], groups: Int) throws(Failure) {
    counts.grow(to: groups, 0)
    counts.withUnsafeMutableBufferPointer { counts in
      if let column, column.nullCount > 0 {
        for i in 0..<ids.count where column.isValid(i) { counts[Int(ids[i])] += 1 }
      } else {
        for id in ids { counts[Int(id)] += 1 }
      }
    }
  }
  func merge(_ other: any Accumulator, _ mapping: [Int32], groups: Int) throws(Failure) {
    guard let other = other as? Self else { throw foreign(other) }
    counts.grow(to: groups, 0)
    for (g, n) in other.counts.enumerated() { counts[Int(mapping[g])] += n }
  }
  func finish(groups: Int) throws(Failure) -> Column {
    counts.grow(to: groups, 0)
    return Column(type: .int64, count: groups, buffers: [try Buffer(counts)])
  }
}

/// Sums of floats.
final class FloatSum: Accumulator, @unchecked Sendable {  // Sendable: one thread at a time, handed over whole.
  private var sums: [Double] = []

  func update(_ column: Column?, _ ids: [Int32], groups: Int) throws(Failure) {
    sums.grow(to: groups, 0)
    guard let column else { return }
    let c = try Cast.cast(column, to: .float64)
    let x = c.values(of: Double.self)
    sums.withUnsafeMutableBufferPointer { sums in
      if c.nullCount == 0 {
        for i in 0..<ids.count { sums[Int(ids[i])] += x[i] }
      } else {
        for i in 0..<ids.count where c.isValid(i) { sums[Int(ids[i])] += x[i] }
      }
    }
  }
  func merge(_ other: any Accumulator, _ mapping: [Int32], groups: Int) throws(Failure) {
    guard let other = other as? Self else { throw foreign(other) }
    sums.grow(to: groups, 0)
    for (g, s) in other.sums.enumerated() { sums[Int(mapping[g])] += s }
  }
  func finish(groups: Int) throws(Failure) -> Column {
    sums.grow(to: groups, 0)
    return Column(type: .float64, count: groups, buffers: [try Buffer(sums)])
  }
}

/// Sums of integers in 128 bits, so that only the final value can be too large.
final class IntegerSum: Accumulator, @unchecked Sendable {  // Sendable: one thread at a time, handed over whole.
  private let type: DataType
  private var sums: [Int128] = []

  init(_ type: DataType) { self.type = type }

  func update(_ column: Column?, _ ids: [Int32], groups: Int) throws(Failure) {
    sums.grow(to: groups, 0)
    guard let column else { return }
    if type == .uint64 {
      let x = column.values(of: UInt64.self)
      for i in 0..<ids.count where column.isValid(i) { sums[Int(ids[i])] += Int128(x[i]) }
      return
    }
    let c = try Cast.cast(column.reinterpreted(column.type.storage), to: .int64)
    let x = c.values(of: Int64.self)
    sums.withUnsafeMutableBufferPointer { sums in
      if c.nullCount == 0 {
        for i in 0..<ids.count { sums[Int(ids[i])] &+= Int128(x[i]) }
      } else {
        for i in 0..<ids.count where c.isValid(i) { sums[Int(ids[i])] &+= Int128(x[i]) }
      }
    }
  }
  func merge(_ other: any Accumulator, _ mapping: [Int32], groups: Int) throws(Failure) {
    guard let other = other as? Self else { throw foreign(other) }
    sums.grow(to: groups, 0)
    for (g, s) in other.sums.enumerated() { sums[Int(mapping[g])] &+= s }
  }
  func finish(groups: Int) throws(Failure) -> Column {
    sums.grow(to: groups, 0)
    var out: [UInt64] = []
    for sum in sums {
      if type == .uint64, let value = UInt64(exactly: sum) {
        out.append(value)
      } else if type != .uint64, let value = Int64(exactly: sum) {
        out.append(UInt64(bitPattern: value))
      } else {
        throw Failure(.invalidArgument, "a sum of \(sum) does not fit \(type); cast the column to f64 first")
      }
    }
    return Column(type: type, count: groups, buffers: [try Buffer(out)])
  }
}

/// Arithmetic means.
final class MeanAccumulator: Accumulator, @unchecked Sendable {  // Sendable: one thread at a time, handed over whole.
  private let sums = FloatSum()
  private let counts = CountAccumulator()

  func update(_ column: Column?, _ ids: [Int32], groups: Int) throws(Failure) {
    try sums.update(column, ids, groups: groups)
    try counts.update(column, ids, groups: groups)
  }
  func merge(_ other: any Accumulator, _ mapping: [Int32], groups: Int) throws(Failure) {
    guard let other = other as? Self else { throw foreign(other) }
    try sums.merge(other.sums, mapping, groups: groups)
    try counts.merge(other.counts, mapping, groups: groups)
  }
  func finish(groups: Int) throws(Failure) -> Column {
    let (s, n) = (try sums.finish(groups: groups), try counts.finish(groups: groups))
    let (x, k) = (s.values(of: Double.self), n.values(of: Int64.self))
    return try Column.float64((0..<groups).map { k[$0] == 0 ? nil : x[$0] / Double(k[$0]) })
  }
}

/// Variance and standard deviation by Welford's updates; parts merged by Chan, Golub and LeVeque (1979).
final class MomentAccumulator: Accumulator, @unchecked Sendable {  // Sendable: one thread at a time, handed over whole.
  private let root: Bool
  private var states: [(n: Double, mean: Double, m2: Double)] = []

  init(root: Bool) { self.root = root }

  func update(_ column: Column?, _ ids: [Int32], groups: Int) throws(Failure) {
    states.grow(to: groups, (0, 0, 0))
    guard let column else { return }
    let c = try Cast.cast(column, to: .float64)
    let x = c.values(of: Double.self)
    states.withUnsafeMutableBufferPointer { states in
      for i in 0..<ids.count where c.isValid(i) {
        let g = Int(ids[i])
        states[g].n += 1
        let delta = x[i] - states[g].mean
        states[g].mean += delta / states[g].n
        states[g].m2 += delta * (x[i] - states[g].mean)
      }
    }
  }
  func merge(_ other: any Accumulator, _ mapping: [Int32], groups: Int) throws(Failure) {
    guard let other = other as? Self else { throw foreign(other) }
    states.grow(to: groups, (0, 0, 0))
    for (g, b) in other.states.enumerated() where b.n > 0 {
      let a = states[Int(mapping[g])]
      let n = a.n + b.n
      let delta = b.mean - a.mean
      states[Int(mapping[g])] = a.n == 0 ? b : (n, a.mean + delta * b.n / n, a.m2 + b.m2 + delta * delta * a.n * b.n / n)
    }
  }
  func finish(groups: Int) throws(Failure) -> Column {
    states.grow(to: groups, (0, 0, 0))
    return try Column.float64(
      states.map { s in
        guard s.n > 1 else { return nil }
        let variance = s.m2 / (s.n - 1)
        return root ? variance.squareRoot() : variance
      })
  }
}

/// `any` and `all` of bools.
final class BoolAccumulator: Accumulator, @unchecked Sendable {  // Sendable: one thread at a time, handed over whole.
  private let all: Bool
  private var states: [Bool] = []

  init(all: Bool) { self.all = all }

  func update(_ column: Column?, _ ids: [Int32], groups: Int) throws(Failure) {
    states.grow(to: groups, all)
    guard let column, column.type == .bool else { return }
    for i in 0..<ids.count where column.isValid(i) && column.bool(i) != all { states[Int(ids[i])] = !all }
  }
  func merge(_ other: any Accumulator, _ mapping: [Int32], groups: Int) throws(Failure) {
    guard let other = other as? Self else { throw foreign(other) }
    states.grow(to: groups, all)
    for (g, s) in other.states.enumerated() where s != all { states[Int(mapping[g])] = s }
  }
  func finish(groups: Int) throws(Failure) -> Column {
    states.grow(to: groups, all)
    return try Column.bool(states)
  }
}

/// Least or greatest of numbers, bools, dates and times.
final class NumberExtreme: Accumulator, @unchecked Sendable {  // Sendable: one thread at a time, handed over whole.
  private let type: DataType
  private let max: Bool
  private var integers: [Int64?] = []
  private var floats: [Double?] = []
  private var unsigned: [UInt64?] = []

  init(_ type: DataType, max: Bool) {
    self.type = type
    self.max = max
  }

  func update(_ column: Column?, _ ids: [Int32], groups: Int) throws(Failure) {
    guard let column else { return }
    let plain = column.reinterpreted(column.type.storage)
    if type.isFloat {
      floats.grow(to: groups, nil)
      let c = try Cast.cast(plain, to: .float64)
      let x = c.values(of: Double.self)
      floats.withUnsafeMutableBufferPointer { best in
        for i in 0..<ids.count where c.isValid(i) { take(&best[Int(ids[i])], x[i]) }
      }
    } else if type == .uint64 {
      unsigned.grow(to: groups, nil)
      let x = plain.values(of: UInt64.self)
      for i in 0..<ids.count where plain.isValid(i) { take(&unsigned[Int(ids[i])], x[i]) }
    } else {
      integers.grow(to: groups, nil)
      let c = try Cast.cast(plain, to: .int64)
      let x = c.values(of: Int64.self)
      integers.withUnsafeMutableBufferPointer { best in
        for i in 0..<ids.count where c.isValid(i) { take(&best[Int(ids[i])], x[i]) }
      }
    }
  }

  @inline(__always)
  private func take<T: Comparable>(_ best: inout T?, _ value: T) {
    guard let old = best, old == old else {  // none yet, or NaN
      best = value
      return
    }
    if max ? value > old : value < old { best = value }
  }

  func merge(_ other: any Accumulator, _ mapping: [Int32], groups: Int) throws(Failure) {
    guard let other = other as? Self else { throw foreign(other) }
    integers.grow(to: groups, nil)
    floats.grow(to: groups, nil)
    unsigned.grow(to: groups, nil)
    for (g, v) in other.integers.enumerated() { if let v { take(&integers[Int(mapping[g])], v) } }
    for (g, v) in other.floats.enumerated() { if let v { take(&floats[Int(mapping[g])], v) } }
    for (g, v) in other.unsigned.enumerated() { if let v { take(&unsigned[Int(mapping[g])], v) } }
  }

  func finish(groups: Int) throws(Failure) -> Column {
    if type.isFloat {
      floats.grow(to: groups, nil)
      return try Cast.cast(try Column.float64(floats), to: type)
    }
    if type == .uint64 {
      unsigned.grow(to: groups, nil)
      return try Column.make(.uint64, unsigned)
    }
    integers.grow(to: groups, nil)
    let c = try Column.int64(integers)
    return type == .bool ? try Cast.cast(c, to: .bool) : try Cast.cast(c, to: type.storage).reinterpreted(type)
  }
}
