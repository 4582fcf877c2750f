package import Core
import LanceProto
import ObjectStore

/// A branch of a table: a line of versions of its own that began as a version of the table.
package struct BranchInfo: Sendable, Hashable {
  package let name: String
  /// The version of the table that it began as.
  package let parentVersion: UInt64
  /// Nil when its file does not say.
  package let created: Instant?
}

/// Branches are tables below `tree/<name>/` of the table's folder. The first version has the number and the content of its parent;
/// its files are those of the parent, which base path 0 names. `_refs/branches/<name>.json` lists it.
extension TableLocation {
  /// Starts a branch at a version. It shares the table's files: nothing is copied.
  /// - Throws: `INVALID_ARGUMENT` for a name that is not possible, `ALREADY_EXISTS`, `VERSION_NOT_FOUND`, `UNSUPPORTED` on a branch.
  @discardableResult
  package func createBranch(_ branch: String, from version: TableVersion = .latest) throws(Failure) -> BranchInfo {
    try RefName.check(branch, what: "branch", allowsParts: true)
    guard branch != "main" else { throw Failure(.alreadyExists, "branch 'main' is the table itself") }
    let (number, naming) = try resolve(version)
    // Held until the branch is listed: a cleanup removes the version either before, or not at all.
    let (held, pin) = try hold(number, naming)
    defer { withExtendedLifetime(pin) {} }
    var file = held
    try FeatureFlags.checkWritable(file.manifest, table: name)
    guard !file.manifest.hasBranch else {
      throw Failure(.unsupported, "table '\(name)' is a branch; a branch of a branch is not supported")
    }
    guard !folder.isEmpty, file.manifest.basePaths.isEmpty else {
      throw Failure(.unsupported, "table '\(name)' has files in other folders; a branch of it is not supported")
    }
    let place = TableLocation(store, path("tree/\(branch)"))
    guard try store.head(refPath(branch)) == nil else {
      throw Failure(.alreadyExists, "table '\(name)' has a branch '\(branch)' already")
    }
    // A branch without its entry is one whose making was cut short: it is made anew where nothing has happened on it.
    let versions = try VersionListing(place).versions
    if !versions.isEmpty {
      guard versions == [number], try place.manifest(number, naming).transaction?.clone.branchName == branch else {
        throw Failure(.alreadyExists, "table '\(name)' has files of a branch '\(branch)' that is not listed")
      }
      try store.delete(place.manifestPath(number, naming))
    }
    var base = PBBasePath()
    base.isDatasetRoot = true
    base.path = ObjectPath.join(store.absoluteName, folder)
    file.manifest.basePaths = [base]
    file.manifest.branch = branch
    for i in file.manifest.fragments.indices {
      for k in file.manifest.fragments[i].files.indices { file.manifest.fragments[i].files[k].baseID = base.id }
      if file.manifest.fragments[i].hasDeletionFile { file.manifest.fragments[i].deletionFile.baseID = base.id }
    }
    if file.indexSection != nil {
      var section = try IndexSection.decode(file.indexSection, what: "table '\(name)' version \(number)")
      for i in section.indices.indices { section.indices[i].baseID = base.id }
      file.indexSection = try Protobuf.bytes(section)
    }
    file.manifest.readerFeatureFlags |= FeatureFlags.basePaths
    file.manifest.writerFeatureFlags |= FeatureFlags.basePaths
    var transaction = PBTransaction()
    transaction.readVersion = number
    transaction.uuid = randomUUID()
    transaction.clone.isShallow = true
    transaction.clone.refVersion = number
    transaction.clone.refPath = base.path
    transaction.clone.branchName = branch
    file.transaction = transaction
    file.manifest.transactionFile = "\(number)-\(transaction.uuid).txn"
    let created = Instant.now
    file.manifest.timestamp.seconds = created.seconds
    file.manifest.timestamp.nanos = created.nanoseconds
    try store.put(
      place.path("\(TableLocation.transactions)/\(file.manifest.transactionFile)"), try Protobuf.bytes(transaction))
    let bytes = try file.encoded()
    guard try store.putIfAbsent(place.manifestPath(number, naming), bytes) == .written else {
      throw Failure(.alreadyExists, "table '\(name)' has a branch '\(branch)' already")
    }
    let parentSize = try store.head(manifestPath(number, naming))?.size ?? 0
    let json: JSONValue = [
      "parentBranch": .null,
      "identifier": [
        "version_mapping": [[.int(Int64(clamping: number)), .string(randomUUID().filter { $0 != "-" })]]
      ],
      "parentVersion": .int(Int64(clamping: number)), "createAt": .int(created.seconds),
      "manifestSize": .int(Int64(parentSize)), "metadata": .object(JSONObject()),
    ]
    try store.put(refPath(branch), json.utf8())
    return BranchInfo(name: branch, parentVersion: number, created: created)
  }

  private func refPath(_ branch: String) -> String {
    path("\(TableLocation.branches)/\(branch.replacing("/", with: "%2F")).json")
  }

  /// The branches in `_refs/branches`, by name. Files that are no branches are left out.
  package func branchList() throws(Failure) -> [BranchInfo] {
    var found: [BranchInfo] = []
    for object in try store.list(path(TableLocation.branches), recursive: false) where object.name.hasSuffix(".json") {
      guard let bytes = try bytes(of: object), let json = try? JSONValue(parsing: bytes),
        let version = json["parentVersion"]?.intValue, version > 0
      else { continue }
      found.append(
        BranchInfo(
          name: String(object.name.dropLast(5)).replacing("%2F", with: "/"), parentVersion: UInt64(version),
          created: json["createAt"]?.intValue.map { Instant(seconds: $0) }))
    }
    return found.sorted { $0.name.utf8.lexicographicallyPrecedes($1.name.utf8) }
  }

  /// A branch as a table: read and changed like any other.
  /// - Throws: `VERSION_NOT_FOUND` naming the nearest branch.
  package func branch(_ branch: String) throws(Failure) -> TableLocation {
    let known = try branchList()
    guard known.contains(where: { $0.name == branch }) else {
      throw Failure(
        .versionNotFound, "table '\(name)' has no branch \(nearNames(branch, known: known.map(\.name), what: "branches"))")
    }
    return TableLocation(store, path("tree/\(branch)"))
  }
}
