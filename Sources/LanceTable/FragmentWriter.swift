import Columnar
import Core
import LanceFile
import LanceProto
import ObjectStore

/// Turns a stream of batches into data files of at most `maxRows` rows, one fragment each.
final class FragmentWriter {
  private let location: TableLocation
  private let plan: WritePlan
  private let maxRows: Int
  private var open: (name: String, output: any ObjectWriter, file: LanceFileWriter)?
  private var rows = 0
  private var fragments: [PBDataFragment] = []

  init(location: TableLocation, plan: WritePlan, maxRows: Int) {
    self.location = location
    self.plan = plan
    self.maxRows = maxRows
  }

  func append(_ batch: RecordBatch) throws(Failure) {
    var start = 0
    while start < batch.count {
      if open == nil {
        let name = FragmentWriter.newName()
        let output = try location.store.create(location.path("\(TableLocation.data)/\(name)"))
        let file = try LanceFileWriter(
          fields: plan.fields, metadata: plan.schema.metadata, version: plan.fileVersion, sink: StoreSink(output))
        open = (name, output, file)
        rows = 0
      }
      let count = min(maxRows - rows, batch.count - start)
      try open?.file.write(start == 0 && count == batch.count ? batch : batch.slice(start, count))
      rows += count
      start += count
      if rows == maxRows { try close() }
    }
  }

  /// The fragments, not numbered yet; their files are durable.
  func finish() throws(Failure) -> [PBDataFragment] {
    try close()
    return fragments
  }

  private func close() throws(Failure) {
    guard let (name, output, writer) = open else { return }
    let summary = try writer.finish()
    try output.finish()
    open = nil
    var file = PBDataFile()
    file.path = name
    file.fields = summary.fieldIDs
    file.columnIndices = summary.columnIndices
    file.fileMajorVersion = summary.version.major
    file.fileMinorVersion = summary.version.minor
    file.fileSizeBytes = UInt64(summary.byteCount)
    var fragment = PBDataFragment()
    fragment.files = [file]
    fragment.physicalRows = UInt64(summary.rowCount)
    fragments.append(fragment)
  }

  /// Gives up: nothing stays behind.
  func removeAll() {
    open?.output.abort()
    open = nil
    for file in fragments.flatMap(\.files) { try? location.store.delete(location.path("\(TableLocation.data)/\(file.path)")) }
    fragments = []
  }

  /// A name as the official writers make them: the first three bytes of a random UUID in binary, which spreads names over
  /// the partitions of an object store, and the other thirteen in hex.
  static func newName() -> String {
    let digits = Array(randomUUID().utf8.filter { $0 != UInt8(ascii: "-") })
    var name = ""
    for digit in digits.prefix(6) {
      let value = digit < 58 ? digit - 48 : digit - 87
      for bit in (0..<4).reversed() { name += value >> UInt8(bit) & 1 == 1 ? "1" : "0" }
    }
    return name + String(decoding: digits.dropFirst(6), as: UTF8.self) + ".lance"
  }
}

/// An object of the store as the place where a file goes.
private final class StoreSink: LanceFileSink {
  private let output: any ObjectWriter
  init(_ output: any ObjectWriter) { self.output = output }
  func append(_ bytes: UnsafeRawBufferPointer) throws(Failure) { try output.append(bytes) }
}
