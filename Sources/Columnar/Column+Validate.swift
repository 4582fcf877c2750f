package import Core

extension Column {
  /// The column itself after every size, offset and index was checked against its buffers, so that no accessor can
  /// read outside of memory. For columns put together from a file or a foreign producer.
  /// - Throws: `CORRUPT_DATA` naming what does not fit.
  @discardableResult
  package func validated(_ place: String = "column") throws(Failure) -> Column {
    func fail(_ what: String) -> Failure { Failure(.corruptData, "\(place) (\(type)): \(what)") }
    guard count >= 0, offset >= 0, offset <= Int.max - count else { throw fail("\(count) rows at \(offset)") }
    let end = offset + count
    if let validity, validity.byteCount < Bitmap.byteCount(end) {
      throw fail("\(validity.byteCount) bytes of validity for \(end) rows")
    }
    func need(_ at: Int, _ bits: (Int, Bool)) throws(Failure) {
      guard buffers.count > at else { throw fail("buffer \(at) is missing") }
      guard !bits.1, buffers[at].byteCount >= Bitmap.byteCount(bits.0) else {
        throw fail("buffer \(at) has \(buffers[at].byteCount) bytes, too few for \(end) rows")
      }
    }
    func needChildren(_ n: Int, _ rows: Int?) throws(Failure) {
      guard children.count == n else { throw fail("\(children.count) children instead of \(n)") }
      for (i, child) in children.enumerated() {
        guard let rows, child.count >= rows else { throw fail("child \(i) has \(child.count) rows, too few") }
        guard type.children.isEmpty || child.type == type.children[i].type else {
          throw fail("child \(i) is \(child.type) instead of \(type.children[i].type)")
        }
        try child.validated("\(place).\(type.children.isEmpty ? "dictionary" : type.children[i].name)")
      }
    }
    switch type {
    case .null: break
    case .utf8, .binary, .largeUtf8, .largeBinary:
      guard buffers.count == 2 else { throw fail("\(buffers.count) buffers instead of 2") }
      try checkOffsets(limit: buffers[1].byteCount, place)
    case .list, .largeList, .map:
      guard children.count == 1 else { throw fail("the items are missing") }
      try checkOffsets(limit: children[0].count, place)
      try needChildren(1, 0)
    case .fixedSizeList(_, let size):
      let (rows, overflow) = end.multipliedReportingOverflow(by: size)
      guard size >= 0 else { throw fail("a list size of \(size)") }
      try needChildren(1, overflow ? nil : rows)
    case .structure(let fields): try needChildren(fields.count, end)
    case .dictionary(let index, _):
      guard let width = index.bitWidth, index.isInteger else { throw fail("indices of type \(index)") }
      try need(0, end.multipliedReportingOverflow(by: width))
      try needChildren(1, 0)
      for i in 0..<count where isValid(i) {
        guard let at = dictionaryIndex(i), at < children[0].count else {
          throw fail("row \(i) has an index outside of the dictionary")
        }
      }
    default:
      guard let width = type.bitWidth, width > 0 || type == .fixedSizeBinary(byteWidth: 0) else { throw fail("no width") }
      try need(0, end.multipliedReportingOverflow(by: width))
    }
    return self
  }

  /// The dictionary position of row `i`; nil when it is negative or too large to be one.
  package func dictionaryIndex(_ i: Int) -> Int? {
    guard case .dictionary(let index, _) = type else { return nil }
    let at: Int? =
      switch index {
      case .int8: Int(values(of: Int8.self)[i])
      case .int16: Int(values(of: Int16.self)[i])
      case .int32: Int(values(of: Int32.self)[i])
      case .int64: Int(values(of: Int64.self)[i])
      case .uint8: Int(values(of: UInt8.self)[i])
      case .uint16: Int(values(of: UInt16.self)[i])
      case .uint32: Int(values(of: UInt32.self)[i])
      case .uint64: Int(exactly: values(of: UInt64.self)[i])
      default: nil
      }
    return at.flatMap { $0 >= 0 ? $0 : nil }
  }

  private func checkOffsets(limit: Int, _ place: String) throws(Failure) {
    let width = type.hasLargeOffsets ? 8 : 4
    let (bytes, overflow) = (offset + count + 1).multipliedReportingOverflow(by: width)
    guard let first = buffers.first, !overflow, first.byteCount >= bytes else {
      throw Failure(.corruptData, "\(place) (\(type)): too few offsets for \(count) rows")
    }
    var last = 0
    for i in 0...count {
      let value =
        width == 8
        ? Int(first.values(of: Int64.self)[offset + i]) : Int(first.values(of: Int32.self)[offset + i])
      guard value >= last, value <= limit else {
        throw Failure(.corruptData, "\(place) (\(type)): offset \(value) of row \(i) is out of order or beyond \(limit)")
      }
      last = value
    }
  }
}
