package import Core
package import LanceTable
package import ObjectStore

// Room Lake: the data lake as users see it.
//
//     lance_storage/
//       datasets/NAME.lance      data sets
//       models/NAME.lance        models: graph, weights, metrics, ... in one row (ModelRecord)
//       checkpoints/NAME/        what trainings of NAME go on from
//       .trash/                  what is being deleted
//
//   DataLake          list, describe, delete; names and paths to tables
//   LakeReference     `mnist_clean`, `mnist_cnn@champion`, `lance_storage/datasets/mnist_clean.lance#3`, taken apart
//   DatasetInfo, ModelInfo       what REST, CLI and Lua show
//   ModelRecord       a model to be saved or just loaded
//   Safetensors       the table of contents of a model's weights

/// The two kinds of tables in a lake; the raw value is the folder.
package enum LakeKind: String, Sendable, Hashable, CaseIterable {
  case dataset = "datasets"
  case model = "models"

  /// `Dataset` or `Model`, as in the contract's messages.
  package var title: String { self == .dataset ? "Dataset" : "Model" }

  /// `Dataset 'x' does not exist`, to the letter of the contract.
  package func notFound(_ id: String) -> Failure {
    Failure(self == .dataset ? .datasetNotFound : .modelNotFound, "\(title) '\(id)' does not exist")
  }
}

/// The lake below one directory. May be used by several threads, and the directory by several processes.
package final class DataLake: Sendable {
  package let store: any ObjectStore
  /// The directory as configured, without `./` and `/` around it: `lance_storage`. Paths shown to users begin with it.
  package let shownRoot: String
  /// The directory, absolute, without symbolic links; nil for a lake in memory.
  package let root: String?
  let modelCache = ModelCache()

  static let trash = ".trash"
  /// The folder of what scripts save to go on from (`checkpoint.save`), by the name of their output.
  package static let checkpoints = "checkpoints"

  /// Opens the lake in directory `root`, which is made when it is missing, and finishes deletions that a crash cut off.
  /// - Parameter shownAs: how the directory is called in paths shown to users; `root` itself unless given.
  package init(root: String, shownAs: String? = nil) throws(Failure) {
    let local = try LocalStore(root: root)
    store = local
    self.root = local.root
    shownRoot = DataLake.plain(shownAs ?? root)
    for kind in LakeKind.allCases { _ = try LocalStore(root: "\(local.root)/\(kind.rawValue)") }
    try? store.deleteTree(DataLake.trash)
  }

  /// A lake over any store.
  package init(store: any ObjectStore, shownAs: String) {
    self.store = store
    root = nil
    shownRoot = DataLake.plain(shownAs)
  }

  /// `path` without `./` before it and slashes behind it.
  private static func plain(_ path: String) -> String {
    var rest = path[...]
    while rest.hasPrefix("./") { rest = rest.dropFirst(2) }
    while rest.count > 1, rest.hasSuffix("/") { rest = rest.dropLast() }
    return String(rest)
  }

  /// Whether the object at `path` is one that is written once, under a name that is never used again: data and index files, which
  /// have random names. (Manifests have none: a table that was deleted may be made anew.)
  package static func neverChanges(_ path: String) -> Bool {
    let parts = path.split(separator: "/")
    guard parts.count > 2, parts[0] != checkpoints, let name = parts.last else { return false }
    return (parts[parts.count - 2] == "data" && name.hasSuffix(".lance")) || parts.dropLast().contains("_indices")
  }

  /// Where table `id` of `kind` lies, whether it exists or not.
  package func location(_ kind: LakeKind, _ id: String) -> TableLocation {
    TableLocation(store, "\(kind.rawValue)/\(id).lance")
  }

  /// The path of a table as shown to users: `lance_storage/datasets/mnist_clean.lance`.
  package func shownPath(_ kind: LakeKind, _ id: String) -> String { "\(shownRoot)/\(kind.rawValue)/\(id).lance" }

  /// True when there is a table.
  package func exists(_ kind: LakeKind, _ id: String) throws(Failure) -> Bool {
    try LakeReference.check(name: id, kind)
    return try LanceTable.exists(location(kind, id))
  }

  /// Opens a table.
  /// - Throws: `DATASET_NOT_FOUND` or `MODEL_NOT_FOUND` in the contract's words, else as `LanceTable.init`.
  package func open(_ kind: LakeKind, _ id: String, version: TableVersion = .latest) throws(Failure) -> LanceTable {
    try LakeReference.check(name: id, kind)
    do throws(Failure) { return try LanceTable(location(kind, id), version: version) } catch {
      throw error.code == .datasetNotFound ? kind.notFound(id) : error
    }
  }

  /// The names of all tables of `kind`, sorted. A folder without any manifest is none: it is being made, or was given up.
  package func names(_ kind: LakeKind) throws(Failure) -> [String] {
    var names: [String] = []
    for entry in try store.list(kind.rawValue, recursive: false) where entry.isFolder && entry.name.hasSuffix(".lance") {
      let id = String(entry.name.dropLast(6))
      guard (try? LakeReference.check(name: id, kind)) != nil else { continue }
      // A listing that fails (damage, permissions) is the affair of whoever describes the table.
      if (try? LanceTable.exists(location(kind, id))) ?? true { names.append(id) }
    }
    return names
  }

  /// Deletes a table with all its versions. In one step it is gone from the lake; then its files are removed.
  /// - Throws: `DATASET_NOT_FOUND` or `MODEL_NOT_FOUND`.
  package func delete(_ kind: LakeKind, _ id: String) throws(Failure) {
    try LakeReference.check(name: id, kind)
    guard store.movesAtOnce else { return try deleteInPlace(kind, id) }
    let folder = location(kind, id).folder
    let grave = "\(DataLake.trash)/\(kind.rawValue)-\(id)-\(randomUUID())"
    for attempt in 1... {
      do throws(Failure) {
        try store.moveTree(folder, to: grave)
        break
      } catch {
        if error.code == .fileNotFound { throw kind.notFound(id) }
        // Another process may have removed the trash folder between its making and the move.
        if error.code != .ioError || attempt == 3 { throw error }
      }
    }
    // The name is free and the deletion durable; files that stay now are removed when the lake is opened next.
    try? store.deleteTree(grave)
  }

  /// As `delete`, where folders cannot be moved away: a last version says that the table is gone, then its files are removed.
  private func deleteInPlace(_ kind: LakeKind, _ id: String) throws(Failure) {
    let location = location(kind, id)
    guard try LanceTable.exists(location) else {
      // Files that an earlier deletion left, cut off by a crash. What is younger may be of a table that is being made.
      if let time = try location.dropped() {
        let left = try store.list(location.folder, recursive: true).filter { $0.modified < time }
        try store.delete(left.map(\.path))
      }
      throw kind.notFound(id)
    }
    // Listed before: what comes to be later is not of this table.
    let objects = try store.list(location.folder, recursive: true)
    do throws(Failure) { try location.drop() } catch {
      // Nobody can commit to a table whose newest version cannot be read or understood: it ends with its manifests.
      guard error.code == .corruptData || error.code == .unsupported else { throw error }
    }
    try store.delete(objects.map(\.path))
  }
}
