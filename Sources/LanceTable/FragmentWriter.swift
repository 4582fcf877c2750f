import Columnar
import Core
import LanceProto
import ObjectStore

/// Turns a stream of batches into data files of at most `maxRows` rows, one fragment each.
final class FragmentWriter {
  private let location: TableLocation
  private let plan: WritePlan
  private let maxRows: Int
  private var open: DataFileWriter?
  private var rows = 0
  private var fragments: [PBDataFragment] = []
  private var paths: [String] = []
  /// The file before the open one, on its way to the disk.
  private var finishing: FinishingFile?

  init(location: TableLocation, plan: WritePlan, maxRows: Int) {
    self.location = location
    self.plan = plan
    self.maxRows = maxRows
  }

  func append(_ batch: RecordBatch) throws(Failure) {
    var start = 0
    while start < batch.count {
      if open == nil {
        open = try DataFileWriter(
          location, fields: plan.fields, metadata: plan.schema.metadata, version: plan.fileVersion)
        rows = 0
      }
      let count = min(maxRows - rows, batch.count - start)
      try open?.write(start == 0 && count == batch.count ? batch : batch.slice(start, count))
      rows += count
      start += count
      if rows == maxRows { try close() }
    }
  }

  /// The fragments, not numbered yet; their files are durable.
  func finish() throws(Failure) -> [PBDataFragment] {
    try close()
    try finishing?.wait()
    finishing = nil
    return fragments
  }

  private func close() throws(Failure) {
    guard let writer = open else { return }
    // Rows of the next file are encoded while the disk takes this one.
    let (file, rows, pending) = try writer.finishLater()
    open = nil
    paths.append(writer.path)
    let before = finishing
    finishing = pending
    try before?.wait()
    var fragment = PBDataFragment()
    fragment.files = [file]
    fragment.physicalRows = UInt64(rows)
    fragments.append(fragment)
  }

  /// Gives up: nothing stays behind.
  func removeAll() {
    open?.abort()
    open = nil
    try? finishing?.wait()
    finishing = nil
    for path in paths { try? location.store.delete(path) }
    paths = []
    fragments = []
  }
}
