import Columnar
import Compute
import Core
import LanceFile
import LanceProto
import LanceTable

/// Rows by value, sorted, with the least and greatest value of every 4,096 (Lance's BTREE of two levels).
///
///     page_data.lance     values (nullable), ids u64 (row addresses); by value, nulls first, NaN last
///     page_lookup.lance   one row per page of `batch_size` (metadata) rows of page_data:
///                         min, max (first and last value, may be null), null_count u32, page_idx u32
struct BTreeIndex {
  private let data: LanceFileReader
  private let lookup: RecordBatch
  private let pageRows: Int
  private static let defaultPageRows = 4096
  private static let (dataName, lookupName) = ("page_data.lance", "page_lookup.lance")

  init(_ folder: IndexFolder) throws(Failure) {
    data = try folder.open(BTreeIndex.dataName)
    let file = try folder.open(BTreeIndex.lookupName)
    guard let rows = file.metadata["batch_size"].map({ Int($0) }) ?? BTreeIndex.defaultPageRows, rows > 0 else {
      throw Failure(.corruptData, "\(file.path): its 'batch_size' is no number")
    }
    pageRows = rows
    lookup = try file.read(rows: 0..<file.rowCount)
    guard try lookup.column("page_idx").type == .uint32, try lookup.column("null_count").type == .uint32 else {
      throw Failure(.corruptData, "\(file.path): its page numbers or null counts are no UInt32")
    }
  }

  /// Addresses of the rows that meet `query`, in no order; nil when more than `share` of all pages would have to be read.
  func addresses(_ query: ScalarQuery, share: Double) throws(Failure) -> [UInt64]? {
    let pages = try pages(query)
    guard pages.count <= 4 || Double(pages.count) <= share * Double(lookup.count) else { return nil }
    let numbers = try lookup.column("page_idx")
    var found: [UInt64] = []
    for page in pages {
      try Cancellation.check()
      let number = withExtendedLifetime(numbers) { Int(numbers.values(of: UInt32.self)[page]) }
      let first = number.multipliedReportingOverflow(by: pageRows).partialValue
      guard first >= 0, first < data.rowCount else {
        throw Failure(.corruptData, "\(data.path): there is no page \(number) of \(pageRows) rows in \(data.rowCount)")
      }
      let batch = try data.read(rows: first..<min(data.rowCount, first + pageRows))
      let ids = try batch.column("ids")
      guard ids.type == .uint64, ids.nullCount == 0 else {
        throw Failure(.corruptData, "\(data.path): its ids are \(ids.type)")
      }
      let rows = try query.matching(try batch.column("values"))
      withExtendedLifetime(ids) {
        let values = ids.values(of: UInt64.self)
        for row in rows { found.append(values[Int(row)]) }
      }
    }
    return found
  }

  /// Rows of the lookup whose pages can hold rows that meet `query`.
  private func pages(_ query: ScalarQuery) throws(Failure) -> [Int] {
    var wanted = [Bool](repeating: false, count: lookup.count)
    let (least, greatest) = (try lookup.column("min"), try lookup.column("max"))
    for interval in query.intervals {
      var outside = [Bool](repeating: false, count: lookup.count)
      // Null and NaN compare as neither: such pages stay in.
      func leaveOut(_ op: ComparisonOperator, _ ends: Column, _ bound: Column?) throws(Failure) {
        guard let bound else { return }
        let test = try Comparison.apply(op, Operand(ends), Operand(constant: bound, count: lookup.count))
        for page in try Selection.indices(test) { outside[Int(page)] = true }
      }
      try leaveOut(.less, greatest, interval.low)
      try leaveOut(.greater, least, interval.high)
      for page in wanted.indices where !outside[page] { wanted[page] = true }
    }
    let nulls = try lookup.column("null_count")
    withExtendedLifetime(nulls) {
      let counts = nulls.values(of: UInt32.self)
      for page in wanted.indices {
        if query.takesNulls, counts[page] > 0 { wanted[page] = true }
        // Nulls only.
        if !query.takesNulls, !greatest.isValid(page), !least.isValid(page), counts[page] > 0 { wanted[page] = false }
      }
    }
    return wanted.indices.filter { wanted[$0] }
  }

  /// Writes the files of an index over `rows`.
  static func write(_ rows: AddressedValues, to folder: IndexFolder, _ files: NewFiles) throws(Failure) -> [PBIndexFile] {
    let order = try rows.order()
    let type = rows.values.type
    let schema = Schema([Field("values", type), Field("ids", .uint64, isNullable: false)])
    var firsts: [Int32] = []
    var lasts: [Int32] = []
    var nulls: [UInt32?] = []
    var first = 0
    while first < order.count {
      let end = min(order.count, first + defaultPageRows)
      firsts.append(order[first])
      lasts.append(order[end - 1])
      nulls.append(UInt32(order[first..<end].reduce(0) { $0 + (rows.values.isValid(Int($1)) ? 0 : 1) }))
      first = end
    }
    let data = try folder.write(dataName, schema, files) { writer throws(Failure) in
      var first = 0
      while first < order.count {
        try Cancellation.check()
        let part = Array(order[first..<min(order.count, first + (1 << 16))])
        let ids = try Column.make(.uint64, part.map { rows.addresses[Int($0)] })
        try writer.write(try RecordBatch(schema: schema, columns: [try rows.values.take(part), ids]))
        first += part.count
      }
    }
    let lookup = Schema(
      [
        Field("min", type), Field("max", type), Field("null_count", .uint32, isNullable: false),
        Field("page_idx", .uint32, isNullable: false),
      ], metadata: ["batch_size": String(defaultPageRows)])
    let pages = try folder.write(lookupName, lookup, files) { writer throws(Failure) in
      try writer.write(
        try RecordBatch(
          schema: lookup,
          columns: [
            try rows.values.take(firsts), try rows.values.take(lasts), try Column.make(.uint32, nulls),
            try Column.make(.uint32, nulls.indices.map { UInt32($0) }),
          ]))
    }
    return [data, pages]
  }
}
