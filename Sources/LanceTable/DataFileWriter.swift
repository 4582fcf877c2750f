import Columnar
import Core
import Dispatch
import LanceFile
import LanceProto
import ObjectStore
import Synchronization

/// One new data file below `data/`, under a name that nobody else has. It is there once `finish` has returned.
final class DataFileWriter {
  /// In the store.
  let path: String
  private let name: String
  private let output: any ObjectWriter
  private let file: LanceFileWriter

  /// - Parameter fields: in pre-order, with the table's ids.
  init(_ location: TableLocation, fields: [PBField], metadata: [String: String], version: LanceFileVersion) throws(Failure) {
    name = DataFileWriter.newName()
    path = location.path("\(TableLocation.data)/\(name)")
    output = try location.store.create(path)
    file = try LanceFileWriter(fields: fields, metadata: metadata, version: version, sink: StoreSink(output))
  }

  func write(_ batch: RecordBatch) throws(Failure) { try file.write(batch) }

  /// The file as a fragment lists it, and its rows.
  func finish() throws(Failure) -> (file: PBDataFile, rows: Int) {
    let (file, rows, pending) = try finishLater()
    try pending.wait()
    return (file, rows)
  }

  /// As `finish`, but the file is there only when `pending.wait()` has returned.
  func finishLater() throws(Failure) -> (file: PBDataFile, rows: Int, pending: FinishingFile) {
    let summary = try file.finish()
    let pending = FinishingFile(output)
    var file = PBDataFile()
    file.path = name
    file.fields = summary.fieldIDs
    file.columnIndices = summary.columnIndices
    file.fileMajorVersion = summary.version.major
    file.fileMinorVersion = summary.version.minor
    file.fileSizeBytes = UInt64(summary.byteCount)
    return (file, summary.rowCount, pending)
  }

  /// Gives up: nothing stays behind.
  func abort() { output.abort() }

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

/// A complete file that is made durable on another thread.
final class FinishingFile: Sendable {
  private let state = Mutex(Failure?.none)
  private let done = DispatchSemaphore(value: 0)

  init(_ output: any ObjectWriter) {
    // Sendable proof: whoever finishes a file lets go of its writer.
    nonisolated(unsafe) let output = output
    DispatchQueue.global().async {
      do throws(Failure) { try output.finish() } catch {
        output.abort()
        self.state.withLock { $0 = error }
      }
      self.done.signal()
    }
  }

  /// Waits until the file is durable.
  func wait() throws(Failure) {
    done.wait()
    done.signal()
    if let failure = state.withLock({ $0 }) { throw failure }
  }
}

/// An object of the store as the place where a file goes.
private final class StoreSink: LanceFileSink {
  private let output: any ObjectWriter
  init(_ output: any ObjectWriter) { self.output = output }
  func append(_ bytes: UnsafeRawBufferPointer) throws(Failure) { try output.append(bytes) }
}
