package import Columnar
package import Core

#if canImport(Glibc)
  import Glibc
#elseif canImport(Darwin)
  import Darwin
#endif

/// A hash table from rows of key columns to group numbers 0, 1, 2 ... in order of first appearance.
///
/// Null equals null, NaN equals NaN, -0 equals 0. Open addressing with linear probing. Rows of one fixed-width key column are held as
/// 64-bit codes; other keys are encoded to bytes: per column a null byte, then 8 bytes of code, or length and bytes.
/// Written by one thread; `find` may be called from several threads once writing is over.
package final class GroupTable: @unchecked Sendable {  // Sendable: frozen before it is shared, see above.
  package let types: [DataType]
  /// Groups so far.
  package private(set) var count = 0

  private let isSingle: Bool
  /// Group + 1 by slot, 0 = empty.
  private var slots: UnsafeMutablePointer<Int32>
  private var capacity: Int
  private var codes: [UInt64] = []  // single: the code of each group; else: its hash
  private var nullGroup: Int32 = -1
  private var arena: [UInt8] = []
  private var starts: [Int] = [0]
  private var keyParts: [[Column]]

  package init(types: [DataType]) {
    self.types = types
    self.isSingle = types.count == 1 && types[0].bitWidth.map { $0 <= 64 } ?? false && !GroupTable.isFixedBinary(types[0])
    capacity = 1024
    slots = .allocate(capacity: capacity)
    slots.initialize(repeating: 0, count: capacity)
    keyParts = types.map { _ in [] }
  }

  deinit { slots.deallocate() }

  private static func isFixedBinary(_ type: DataType) -> Bool {
    if case .fixedSizeBinary = type { return true }
    return false
  }

  /// The group of each row, new groups made as needed.
  /// - Throws: `TYPE_MISMATCH` for key types that cannot be hashed, `MEMORY_LIMIT` beyond 2^31 groups.
  package func insert(_ keys: [Column], count rows: Int) throws(Failure) -> [Int32] {
    let before = count
    var ids = [Int32](repeating: -1, count: rows)
    var fresh: [Int32] = []
    if types.isEmpty {
      if count == 0, rows > 0 { count = 1 }
      return [Int32](repeating: 0, count: rows)
    }
    guard count + rows < Int(Int32.max) else { throw Failure(.memoryLimit, "more than 2^31 groups") }
    if isSingle, let buffer = try Codes.equality(keys[0]) {
      let x = buffer.values(of: UInt64.self)
      let hasNulls = keys[0].nullCount > 0
      for i in 0..<rows {
        if hasNulls, !keys[0].isValid(i) {
          if nullGroup < 0 {
            nullGroup = Int32(count)
            codes.append(0)
            count += 1
            fresh.append(Int32(i))
          }
          ids[i] = nullGroup
          continue
        }
        let code = x[i]
        var slot = Int(truncatingIfNeeded: Codes.mix(code)) & (capacity - 1)
        while true {
          let group = slots[slot]
          if group == 0 {
            slots[slot] = Int32(count + 1)
            ids[i] = Int32(count)
            codes.append(code)
            count += 1
            fresh.append(Int32(i))
            if count * 2 > capacity { grow() }
            break
          }
          if codes[Int(group) - 1] == code, group - 1 != nullGroup {
            ids[i] = group - 1
            break
          }
          slot = (slot + 1) & (capacity - 1)
        }
      }
    } else {
      let encoded = try EncodedRows(keys, rows)
      encoded.withRows { base, offsets in
        for i in 0..<rows {
          let (p, n) = (base + offsets[i], offsets[i + 1] - offsets[i])
          let hash = Codes.hash(p, n, seed: 0)
          var slot = Int(truncatingIfNeeded: hash) & (capacity - 1)
          while true {
            let group = Int(slots[slot])
            if group == 0 {
              slots[slot] = Int32(count + 1)
              ids[i] = Int32(count)
              codes.append(hash)
              arena.append(contentsOf: UnsafeBufferPointer(start: p, count: n))
              starts.append(arena.count)
              count += 1
              fresh.append(Int32(i))
              if count * 2 > capacity { grow() }
              break
            }
            if codes[group - 1] == hash, matches(group - 1, p, n) {
              ids[i] = Int32(group - 1)
              break
            }
            slot = (slot + 1) & (capacity - 1)
          }
        }
      }
    }
    if count > before { for (k, key) in keys.enumerated() { keyParts[k].append(try key.take(fresh)) } }
    return ids
  }

  /// The group of each row; -1 where there is none.
  package func find(_ keys: [Column], count rows: Int) throws(Failure) -> [Int32] {
    var ids = [Int32](repeating: -1, count: rows)
    if types.isEmpty { return [Int32](repeating: count > 0 ? 0 : -1, count: rows) }
    if isSingle, let buffer = try Codes.equality(keys[0]) {
      let x = buffer.values(of: UInt64.self)
      let hasNulls = keys[0].nullCount > 0
      codes.withUnsafeBufferPointer { codes in
        for i in 0..<rows {
          if hasNulls, !keys[0].isValid(i) {
            ids[i] = nullGroup
            continue
          }
          let code = x[i]
          var slot = Int(truncatingIfNeeded: Codes.mix(code)) & (capacity - 1)
          while true {
            let group = slots[slot]
            if group == 0 { break }
            if codes[Int(group) - 1] == code, group - 1 != nullGroup {
              ids[i] = group - 1
              break
            }
            slot = (slot + 1) & (capacity - 1)
          }
        }
      }
      return ids
    }
    let encoded = try EncodedRows(keys, rows)
    encoded.withRows { base, offsets in
      for i in 0..<rows {
        let (p, n) = (base + offsets[i], offsets[i + 1] - offsets[i])
        let hash = Codes.hash(p, n, seed: 0)
        var slot = Int(truncatingIfNeeded: hash) & (capacity - 1)
        while true {
          let group = Int(slots[slot])
          if group == 0 { break }
          if codes[group - 1] == hash, matches(group - 1, p, n) {
            ids[i] = Int32(group - 1)
            break
          }
          slot = (slot + 1) & (capacity - 1)
        }
      }
    }
    return ids
  }

  /// The key of every group, one row per group.
  package func keys() throws(Failure) -> [Column] {
    var out: [Column] = []
    for (k, type) in types.enumerated() {
      out.append(keyParts[k].isEmpty ? try Column.nulls(type, count: 0) : try Column.concatenate(keyParts[k], type: type))
      keyParts[k] = [out[k]]
    }
    return out
  }

  private func matches(_ group: Int, _ p: UnsafePointer<UInt8>, _ n: Int) -> Bool {
    let (begin, end) = (starts[group], starts[group + 1])
    guard end - begin == n else { return false }
    return arena.withUnsafeBufferPointer { bytes in
      guard let base = bytes.baseAddress else { return n == 0 }
      return memcmp(base + begin, p, n) == 0
    }
  }

  private func grow() {
    slots.deallocate()
    capacity *= 4
    slots = .allocate(capacity: capacity)
    slots.initialize(repeating: 0, count: capacity)
    for group in 0..<count where Int32(group) != nullGroup {
      var slot = Int(truncatingIfNeeded: isSingle ? Codes.mix(codes[group]) : codes[group]) & (capacity - 1)
      while slots[slot] != 0 { slot = (slot + 1) & (capacity - 1) }
      slots[slot] = Int32(group + 1)
    }
  }
}

/// Key rows as bytes behind each other; see `GroupTable`.
private struct EncodedRows {
  private var bytes: [UInt8]
  private var offsets: [Int]

  init(_ keys: [Column], _ rows: Int) throws(Failure) {
    var fixed = 0
    var parts: [(codes: Buffer?, rows: ByteRows?, column: Column, width: Int)] = []
    for key in keys {
      if key.type == .null {
        parts.append((nil, nil, key, 0))
        fixed += 1
      } else if let codes = try Codes.equality(key) {
        parts.append((codes, nil, key, 8))
        fixed += 9
      } else if key.type.isVariableWidth {
        parts.append((nil, ByteRows(key), key, -1))
        fixed += 5
      } else if case .fixedSizeBinary(let width) = key.type {
        parts.append((nil, ByteRows(key), key, width))
        fixed += 1 + width
      } else if case .decimal128 = key.type {
        let raw = Column(
          type: .fixedSizeBinary(byteWidth: 16), count: key.count, offset: key.offset, validity: key.validity,
          buffers: key.buffers)
        parts.append((nil, ByteRows(raw), key, 16))
        fixed += 17
      } else if let (items, width, size) = EncodedRows.leaves(key) {
        let raw = Column(
          type: .fixedSizeBinary(byteWidth: width * size), count: key.count, validity: try Validity.aligned(key),
          buffers: [try items.buffers[0].slice(offset: items.offset * width, byteCount: items.count * width)])
        parts.append((nil, ByteRows(raw), key, width * size))
        fixed += 1 + width * size
      } else {
        throw Failure(.typeMismatch, "\(key.type) values cannot be grouped, joined or made distinct")
      }
    }
    offsets = [0]
    offsets.reserveCapacity(rows + 1)
    var total = 0
    let variable = parts.filter { $0.width == -1 }
    for i in 0..<rows {
      total += fixed
      for part in variable where part.column.isValid(i) { total += part.rows?.span(i).1 ?? 0 }
      offsets.append(total)
    }
    var cursor = offsets
    bytes = [UInt8](unsafeUninitializedCapacity: total) { out, filled in
      filled = total
      guard let base = out.baseAddress else { return }
      memset(base, 0, total)
      let raw = UnsafeMutableRawPointer(base)
      for part in parts {
        let values = part.codes?.values(of: UInt64.self)
        let hasNulls = part.column.nullCount > 0
        for i in 0..<rows {
          let at = cursor[i]
          let valid = !hasNulls || part.column.isValid(i)
          base[at] = valid ? 1 : 0
          if let values {
            raw.storeBytes(of: values[i], toByteOffset: at + 1, as: UInt64.self)
            cursor[i] = at + 9
          } else if part.width == -1, let rows = part.rows {
            let (p, n) = rows.span(i)
            let used = valid ? n : 0
            raw.storeBytes(of: UInt32(truncatingIfNeeded: used), toByteOffset: at + 1, as: UInt32.self)
            if used > 0 { memcpy(base + at + 5, p, used) }
            cursor[i] = at + 5 + used
          } else {
            if valid, part.width > 0, let rows = part.rows { memcpy(base + at + 1, rows.span(i).0, part.width) }
            cursor[i] = at + 1 + part.width
          }
        }
      }
    }
  }

  /// The innermost items of fixed-size lists without nulls inside, their width in bytes, and items per row.
  private static func leaves(_ key: Column) -> (Column, Int, Int)? {
    guard case .fixedSizeList = key.type else { return nil }
    var (items, size) = (key, 1)
    while case .fixedSizeList(_, let n) = items.type {
      items = items.items()
      size *= n
      if items.nullCount > 0 { return nil }
    }
    return items.type.byteWidth.map { (items, $0, size) }
  }

  func withRows(_ body: (UnsafePointer<UInt8>, UnsafeBufferPointer<Int>) -> Void) {
    bytes.withUnsafeBufferPointer { b in
      offsets.withUnsafeBufferPointer { o in
        if let base = b.baseAddress { body(base, o) }
      }
    }
  }
}
