import Columnar
import Core
import LanceFile
import Testing

@Suite struct RoundTripTests {
  static let counts = [0, 1, 2, 10, 300, 1023, 1024, 1025, 3000]

  /// One batch or several, slices of larger columns, whole reads and takes: every way gives the values that went in.
  @Test(arguments: Samples.names, LanceFileVersion.allCases)
  func everyTypeComesBack(_ name: String, _ version: LanceFileVersion) throws {
    let isWide = ["image", "wide vector", "wide binary", "list of wide vectors", "list of wide text"].contains(name)
    for n in isWide ? [0, 1, 2, 300, 1025] : Self.counts {
      for nulls in [false, true] where Samples.isStorable(name, version, nulls: nulls) {
        try check(name, n, nulls, version)
      }
    }
  }

  /// Many pages' worth of chunks.
  @Test(
    arguments: ["int64 sequence", "float64", "bool", "utf8", "list", "list of lists", "sparse lists", "struct"],
    LanceFileVersion.allCases)
  func manyRowsComeBack(_ name: String, _ version: LanceFileVersion) throws {
    for nulls in [false, true] where Samples.isStorable(name, version, nulls: nulls) {
      try check(name, 100_000, nulls, version)
    }
  }

  private func check(_ name: String, _ n: Int, _ nulls: Bool, _ version: LanceFileVersion) throws {
    let place = "\(name), \(version), \(n) rows, nulls \(nulls)"
    let column = try Samples.column(name, n, nulls: nulls)
    try column.validated()
    let plain = try column.decodingDictionary()
    let schema = Schema([Field("i", .int64, isNullable: false), Field("v", column.type)])
    let rows = try Column.int64((0..<n).map { Int64($0) })
    let batch = try RecordBatch(schema: schema, columns: [rows, column])
    // In three uneven batches, so that slices with offsets are written too.
    let cuts = [0, n / 5, n / 2 + (n > 2 ? 1 : 0), n]
    let batches = (0..<3).map { batch.slice(cuts[$0], cuts[$0 + 1] - cuts[$0]) }
    let file = try reader(try written(batches, schema: schema, version))
    #expect(file.rowCount == n && file.version == version)
    let all = try file.read(rows: 0..<n)
    try all.columns[1].validated(place)
    #expect(difference(plain, all.columns[1]) == nil, "\(place)")
    guard n > 0 else { return }
    // A window and single rows.
    let window = n / 3..<max(n / 3 + 1, n * 5 / 7)
    let part = try file.read(rows: window)
    try part.columns[1].validated(place)
    #expect(difference(plain.slice(window.lowerBound, window.count), part.columns[1]) == nil, "\(place), window \(window)")
    var random = Samples.Random(state: UInt64(n))
    let some = Set((0..<20).map { _ in Int(random.next() % UInt64(n)) } + [0, n - 1, n / 2]).sorted()
    let taken = try file.take(rows: some)
    try taken.columns[1].validated(place)
    #expect(taken.columns[0].values(of: Int64.self).map { Int($0) } == some, "\(place)")
    #expect(difference(try plain.take(some.map { Int32($0) }), taken.columns[1]) == nil, "\(place), rows \(some)")
  }

  /// 300 MB in 300 columns: what waits in memory does not grow with their number. In a process of its own, for the peak.
  @Test func manyColumnsWaitInBoundedMemory() async {
    await #expect(processExitsWith: .success) {
      final class Count: LanceFileSink {
        var bytes = 0
        func append(_ part: UnsafeRawBufferPointer) throws(Failure) { bytes += part.count }
      }
      let schema = Schema((0..<300).map { Field("c\($0)", .float64) })
      let sink = Count()
      let writer = try LanceFileWriter(schema: schema, sink: sink)
      for batch in 0..<63 {
        let columns = try (0..<300).map { c in try Column.float64((0..<2000).map { Double(batch + c + $0).squareRoot() }) }
        try writer.write(try RecordBatch(schema: schema, columns: columns))
      }
      _ = try writer.finish()
      #expect(sink.bytes > 280 << 20 && MemoryBudget.peakBytes < 230 << 20, "\(sink.bytes) \(MemoryBudget.peakBytes)")
    }
  }
}
