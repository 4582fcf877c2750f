package import Core

extension TableLocation {
  /// A commit that changes no row.
  func changeManifest(
    _ options: ChangeOptions, _ work: (LanceTable, NewFiles) throws(Failure) -> (any CommitIntent)?
  ) throws(Failure) -> ChangeReport {
    var version: UInt64 = 0
    let committed = try commit(options: options) { table, files throws(Failure) in
      version = table.version
      return try work(table, files)
    }
    return ChangeReport(version: committed?.version ?? version, isChanged: committed != nil)
  }

  /// Makes the content of an old version the newest one; its number goes up.
  /// - Throws: `VERSION_NOT_FOUND`, `CORRUPT_DATA` when the old version is damaged.
  package func restore(_ version: TableVersion, options: ChangeOptions = ChangeOptions()) throws(Failure) -> ChangeReport {
    try changeManifest(options) { table, _ throws(Failure) in
      let old = try LanceTable(self, version: version)
      return old.version == table.version ? nil : RestoreIntent(old: old)
    }
  }

  /// Sets and removes keys of the table's settings (`lance.auto_cleanup.interval`, ...).
  /// - Throws: `INVALID_ARGUMENT` for an empty key or one that is set and removed at once, `VERSION_CONFLICT` when another writer
  ///   changed the same key.
  package func updateConfig(
    set: [String: String] = [:], remove: [String] = [], options: ChangeOptions = ChangeOptions()
  ) throws(Failure) -> ChangeReport {
    if set[""] != nil { throw Failure(.invalidArgument, "table '\(name)': a setting needs a name") }
    if let both = remove.first(where: { set[$0] != nil }) {
      throw Failure(.invalidArgument, "table '\(name)': setting '\(both)' cannot be set and removed at once")
    }
    return try changeManifest(options) { table, _ throws(Failure) in
      let changed = set.filter { table.config[$0.key] != $0.value }
      let gone = Set(remove).filter { table.config[$0] != nil }.sorted()
      return changed.isEmpty && gone.isEmpty ? nil : ConfigIntent(set: changed, remove: gone)
    }
  }
}
