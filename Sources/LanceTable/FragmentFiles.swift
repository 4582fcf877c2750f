import Core
import LanceFile
import LanceProto
import ObjectStore
import Synchronization

/// The files behind the fragments of one table version, opened once. May be used by several threads.
final class TableCache: Sendable {
  private struct State {
    var readers: [String: LanceFileReader] = [:]
    var projections: [ProjectionKey: LanceProjection] = [:]
    var deletions: [UInt64: DeletionVector] = [:]
  }
  /// Columns `ids` (top-level fields) of the file at `path`.
  struct ProjectionKey: Hashable {
    let path: String
    let ids: [Int32]
  }
  private let state = Mutex(State())

  /// Every open file is a memory map; Linux allows a process some 65,000.
  private static let mostReaders = 1024

  func reader(_ file: PBDataFile, _ location: TableLocation) throws(Failure) -> LanceFileReader {
    let path = try location.path(of: file)
    if let known = state.withLock({ $0.readers[path] }) { return known }
    let reader = try FragmentFiles.open(file, location)
    state.withLock { state in
      if state.readers.count >= TableCache.mostReaders {
        state.readers.removeAll()
        state.projections.removeAll()
      }
      state.readers[path] = reader
    }
    return reader
  }

  /// What `make` gives for these columns, made once: a table is read in many small parts.
  func projection(_ key: ProjectionKey, _ make: () throws(Failure) -> LanceProjection) throws(Failure) -> LanceProjection {
    if let known = state.withLock({ $0.projections[key] }) { return known }
    let projection = try make()
    state.withLock { state in
      if state.projections.count >= TableCache.mostReaders { state.projections.removeAll() }
      state.projections[key] = projection
    }
    return projection
  }

  func deletions(_ fragment: TableFragment, _ location: TableLocation) throws(Failure) -> DeletionVector {
    guard fragment.proto.hasDeletionFile else { return .none }
    if let known = state.withLock({ $0.deletions[fragment.id] }) { return known }
    let vector = try FragmentFiles.deletions(fragment.proto, rows: fragment.physicalRows, location)
    state.withLock { $0.deletions[fragment.id] = vector }
    return vector
  }
}

/// Reading what a fragment points to, with what the manifest says about it checked.
enum FragmentFiles {
  /// - Throws: `CORRUPT_DATA` naming table and file when it is missing, cut short or no Lance file.
  static func open(_ file: PBDataFile, _ location: TableLocation) throws(Failure) -> LanceFileReader {
    let path = try location.path(of: file)
    let buffer: Buffer
    do throws(Failure) { buffer = try location.store.read(path) } catch {
      guard error.code == .fileNotFound else { throw error.context("table '\(location.name)'") }
      throw Failure(.corruptData, "table '\(location.name)': data file '\(path)' is missing")
    }
    guard file.fileSizeBytes == 0 || file.fileSizeBytes == UInt64(buffer.byteCount) else {
      throw Failure(
        .corruptData,
        "table '\(location.name)': data file '\(path)' has \(buffer.byteCount) bytes, the manifest says \(file.fileSizeBytes)")
    }
    do throws(Failure) { return try LanceFileReader(buffer: buffer, path: path) } catch {
      throw error.context("table '\(location.name)'")
    }
  }

  /// Rows in a fragment's first data file, for manifests that do not say.
  static func length(of fragment: PBDataFragment, _ location: TableLocation) throws(Failure) -> Int {
    guard let file = fragment.files.first else { return 0 }
    return try open(file, location).rowCount
  }

  /// The deleted rows of a fragment of `rows` physical rows.
  static func deletions(_ fragment: PBDataFragment, rows: Int, _ location: TableLocation) throws(Failure) -> DeletionVector {
    let file = fragment.deletionFile
    let isBitmap = file.fileType == .bitmap
    let path = try location.deletionsPath(of: fragment)
    let what = "table '\(location.name)': deletion file '\(path)'"
    guard isBitmap || file.fileType == .arrowArray else {
      throw Failure(.unsupported, "\(what) is of an unknown kind (\(file.fileType.rawValue))")
    }
    let buffer: Buffer
    do throws(Failure) { buffer = try location.store.read(path) } catch {
      guard error.code == .fileNotFound else { throw error.context("table '\(location.name)'") }
      throw Failure(.corruptData, "\(what) is missing")
    }
    let numbers = try buffer.withBytes { bytes throws(Failure) in
      guard isBitmap else { return try ArrowDeletions.decode(bytes, what: what) }
      return try RoaringBitmap.decode(try Checksum.unsealed(bytes, what: what) ?? bytes, what: what)
    }
    let vector = DeletionVector(numbers)
    guard vector.deleted.last.map({ Int($0) < rows }) ?? true else {
      throw Failure(.corruptData, "\(what) deletes row \(vector.deleted.last ?? 0) of a fragment of \(rows) rows")
    }
    guard file.numDeletedRows == 0 || file.numDeletedRows == UInt64(vector.count) else {
      throw Failure(.corruptData, "\(what) deletes \(vector.count) rows, the manifest says \(file.numDeletedRows)")
    }
    return vector
  }
}
