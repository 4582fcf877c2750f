package import Core

extension Column {
  /// The rows at `indices` (0 ..< count, any order, repeats allowed), as a new column.
  package func take(_ indices: UnsafeBufferPointer<Int32>) throws(Failure) -> Column {
    let n = indices.count
    var newValidity: Buffer?
    if let validity {
      let bits = try Bitmap.filled(n, false)
      for k in 0..<n where Bitmap.get(validity.pointer, offset + Int(indices[k])) { Bitmap.set(bits.pointer, k, true) }
      newValidity = bits
    }
    switch type {
    case .null: return Column(type: type, count: n, buffers: [])
    case .bool:
      let bits = try Buffer(byteCount: Bitmap.byteCount(n))
      for k in 0..<n where Bitmap.get(buffers[0].pointer, offset + Int(indices[k])) { Bitmap.set(bits.pointer, k, true) }
      return Column(type: type, count: n, validity: newValidity, buffers: [bits])
    case .utf8, .binary, .largeUtf8, .largeBinary: return try takeBytes(indices, newValidity)
    case .list, .largeList, .map: return try takeLists(indices, newValidity)
    case .fixedSizeList(_, let size):
      if let width = children[0].type.byteWidth, children[0].validity == nil, children[0].children.isEmpty {
        let rowBytes = width * size
        let base = children[0].buffers[0].pointer + (children[0].offset + offset * size) * width
        let out = try Column.gather(base, rowBytes: rowBytes, indices)
        let items = Column(type: children[0].type, count: n * size, buffers: [out])
        return Column(type: type, count: n, validity: newValidity, buffers: [], children: [items])
      }
      let flat = try Buffer(byteCount: n * size * 4, zeroed: false)
      let positions = flat.mutableValues(of: Int32.self)
      for k in 0..<n { for j in 0..<size { positions[k * size + j] = Int32((offset + Int(indices[k])) * size + j) } }
      let items = try children[0].take(UnsafeBufferPointer(rebasing: positions[0..<n * size]))
      return Column(type: type, count: n, validity: newValidity, buffers: [], children: [items])
    case .structure(let fields):
      var members: [Column] = []
      for i in fields.indices { members.append(try member(i).take(indices)) }
      return Column(type: type, count: n, validity: newValidity, buffers: [], children: members)
    default:
      let width = type.byteWidth ?? 0
      let out = try Column.gather(buffers[0].pointer + offset * width, rowBytes: width, indices)
      return Column(type: type, count: n, validity: newValidity, buffers: [out], children: children)
    }
  }

  /// The rows at `indices`; see above.
  package func take(_ indices: [Int32]) throws(Failure) -> Column {
    let result: Result<Column, Failure> = indices.withUnsafeBufferPointer { raw in
      do throws(Failure) { return .success(try take(raw)) } catch { return .failure(error) }
    }
    return try result.get()
  }

  private static func gather(_ base: UnsafeMutableRawPointer, rowBytes: Int, _ indices: UnsafeBufferPointer<Int32>)
    throws(Failure) -> Buffer
  {
    let out = try Buffer(byteCount: indices.count * rowBytes, zeroed: false)
    func typed<T: BitwiseCopyable>(_: T.Type) {
      let from = base.assumingMemoryBound(to: T.self)
      let to = out.pointer.assumingMemoryBound(to: T.self)
      for k in 0..<indices.count { to[k] = from[Int(indices[k])] }
    }
    switch rowBytes {
    case 0: break
    case 1: typed(UInt8.self)
    case 2: typed(UInt16.self)
    case 4: typed(UInt32.self)
    case 8: typed(UInt64.self)
    default:
      nonisolated(unsafe) let indices = indices
      nonisolated(unsafe) let base = base
      Parallel.forEach(count: indices.count, grain: max(64, (1 << 18) / rowBytes)) { block in
        for k in block { (out.pointer + k * rowBytes).copyMemory(from: base + Int(indices[k]) * rowBytes, byteCount: rowBytes) }
      }
      try Cancellation.check()
    }
    return out
  }

  private func takeBytes(_ indices: UnsafeBufferPointer<Int32>, _ newValidity: Buffer?) throws(Failure) -> Column {
    type.hasLargeOffsets
      ? try takeBytes(Int64.self, indices, newValidity) : try takeBytes(Int32.self, indices, newValidity)
  }

  private func takeBytes<T: FixedWidthInteger & SignedInteger & BitwiseCopyable>(
    _: T.Type, _ indices: UnsafeBufferPointer<Int32>, _ newValidity: Buffer?
  ) throws(Failure) -> Column {
    defer { withExtendedLifetime(self) {} }
    let starts = UnsafePointer(buffers[0].pointer.assumingMemoryBound(to: T.self)) + offset
    let ends = try Buffer(byteCount: (indices.count + 1) * MemoryLayout<T>.size, zeroed: false)
    let target = ends.pointer.assumingMemoryBound(to: T.self)
    var total = 0
    target[0] = 0
    for k in 0..<indices.count {
      let i = Int(indices[k])
      total &+= Int(starts[i &+ 1] &- starts[i])
      target[k &+ 1] = T(truncatingIfNeeded: total)
    }
    guard total <= Int(T.max) else {
      throw Failure(.memoryLimit, "\(total) bytes of text do not fit one \(type) column; use smaller batches")
    }
    let data = try Buffer(byteCount: total, zeroed: false)
    let source = UnsafeRawPointer(buffers[1].pointer)
    // Short strings are copied 16 bytes at a time where both sides have that much left.
    let safeSource = buffers[1].byteCount - 16
    var at = 0
    for k in 0..<indices.count {
      let i = Int(indices[k])
      let start = Int(starts[i])
      let count = Int(starts[i &+ 1]) &- start
      if count <= 16, start <= safeSource {
        // A buffer has 64 spare bytes behind its end.
        (data.pointer + at).storeBytes(
          of: source.loadUnaligned(fromByteOffset: start, as: SIMD16<UInt8>.self), as: SIMD16<UInt8>.self)
      } else {
        (data.pointer + at).copyMemory(from: source + start, byteCount: count)
      }
      at &+= count
    }
    return Column(type: type, count: indices.count, validity: newValidity, buffers: [ends, data])
  }

  private func takeLists(_ indices: UnsafeBufferPointer<Int32>, _ newValidity: Buffer?) throws(Failure) -> Column {
    var positions: [Int32] = []
    var ends: [Int64] = [0]
    for k in 0..<indices.count {
      for j in range(Int(indices[k])) { positions.append(Int32(j)) }
      ends.append(Int64(positions.count))
    }
    let buffer = type.hasLargeOffsets ? try Buffer(ends) : try Buffer(ends.map { Int32(truncatingIfNeeded: $0) })
    return Column(
      type: type, count: indices.count, validity: newValidity, buffers: [buffer], children: [try children[0].take(positions)])
  }
}

extension RecordBatch {
  /// The rows at `indices`; see `Column.take`.
  package func take(_ indices: [Int32]) throws(Failure) -> RecordBatch {
    var taken: [Column] = []
    for column in columns { taken.append(try column.take(indices)) }
    return try RecordBatch(schema: schema, columns: taken, count: indices.count)
  }
}
