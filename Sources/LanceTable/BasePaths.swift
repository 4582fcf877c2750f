package import Core
package import LanceProto
import ObjectStore

/// Folders of other tables that some files of a table lie in: a shallow clone or a branch shares the files of the table it came from
/// (manifest field 18, `DataFile.base_id`, `DeletionFile.base_id`).
///
/// We follow a base only within the table's own store: a manifest must not make us read elsewhere.
package struct BasePaths: Sendable, Hashable {
  private enum Base: Sendable, Hashable {
    /// A table's folder in the store.
    case table(String)
    /// A folder of data files in the store.
    case data(String)
    /// Somewhere else.
    case outside(String)
  }
  private let bases: [UInt32: Base]

  package static let none = BasePaths(bases: [:])
  private init(bases: [UInt32: Base]) { self.bases = bases }

  init(_ manifest: PBManifest, in store: any ObjectStore) {
    var bases: [UInt32: Base] = [:]
    for base in manifest.basePaths {
      guard let folder = store.relative(base.path) else {
        bases[base.id] = .outside(base.path)
        continue
      }
      bases[base.id] = base.isDatasetRoot ? .table(folder) : .data(folder)
    }
    self.bases = bases
  }

  /// The folder of `id` for files of the subfolder `kind` of a table.
  fileprivate func folder(_ id: UInt32, _ kind: String, file: String, table: String) throws(Failure) -> String {
    switch bases[id] {
    case .table(let folder): return ObjectPath.join(folder, kind)
    case .data(let folder) where kind == TableLocation.data: return folder
    case .outside(let path):
      throw Failure(
        .unsupported,
        "table '\(table)': file '\(file)' lies in '\(path)', outside of the store; a clone can only be read beside its table")
    default:
      throw Failure(.corruptData, "table '\(table)': file '\(file)' lies in base \(id), which the manifest does not name")
    }
  }
}

extension TableLocation {
  /// Where a data file lies in the store.
  /// - Throws: `UNSUPPORTED` when it lies outside of it, `CORRUPT_DATA` when its base is not known.
  package func path(of file: PBDataFile) throws(Failure) -> String {
    guard file.hasBaseID else { return path("\(TableLocation.data)/\(file.path)") }
    return ObjectPath.join(try bases.folder(file.baseID, TableLocation.data, file: file.path, table: name), file.path)
  }

  /// Where the deletion file of a fragment lies in the store.
  /// - Throws: as `path(of:)`.
  package func deletionsPath(of fragment: PBDataFragment) throws(Failure) -> String {
    let file = fragment.deletionFile
    let name = "\(fragment.id)-\(file.readVersion)-\(file.id).\(file.fileType == .bitmap ? "bin" : "arrow")"
    guard file.hasBaseID else { return path("\(TableLocation.deletions)/\(name)") }
    return ObjectPath.join(try bases.folder(file.baseID, TableLocation.deletions, file: name, table: self.name), name)
  }
}

extension ObjectStore {
  /// The store's root as manifests of others name it.
  var absoluteName: String { (self as? LocalStore)?.root ?? name }

  /// The path in this store that an absolute path or URI means; nil when it lies outside.
  func relative(_ absolute: String) -> String? {
    var path = absolute.hasPrefix("file://") ? String(absolute.dropFirst(7)) : absolute
    while path.hasSuffix("/") { path.removeLast() }
    for root in Set([name, absoluteName]) {
      let start = root.hasSuffix("/") ? root : root + "/"
      guard path.hasPrefix(start) else { continue }
      let rest = String(path.dropFirst(start.count))
      if (try? ObjectPath.check(rest)) != nil { return rest }
    }
    return nil
  }
}
