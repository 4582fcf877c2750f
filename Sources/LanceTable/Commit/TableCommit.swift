import Core
import LanceProto
import ObjectStore
import SwiftProtobuf

#if canImport(Glibc)
  import Glibc
#elseif canImport(Darwin)
  import Darwin
#endif

/// One commit: make the next manifest from the newest one, write the transaction, publish the manifest under the next
/// version's name if nobody was faster, else look at what the others did and try again on top of it.
///
/// Order on disk: data files (durable already), transaction file, manifest, hint. A crash leaves either the old version
/// and some unreferenced files, or the new version with everything in it.
struct TableCommit {
  let location: TableLocation
  let properties: [String: String]
  static let attempts = 20

  enum Outcome {
    case published(ManifestFile, ManifestNaming)
    /// The intent must be computed anew; `VERSION_CONFLICT` that says why.
    case retry(Failure)
  }

  /// - Parameters:
  ///   - intent: what to do.
  ///   - readVersion: the version that it was computed on; nil when there must be no table yet.
  ///   - commitName: of that version (`LanceTable.commitName`); nil when the intent fits any table. A table that was deleted and made
  ///     anew meanwhile may have the same version and fragment numbers, and is another table.
  ///   - exactly: true when no other version may have come in between.
  ///   - begunAfter: without a `readVersion`, the last version of a table that was deleted before the first file was written; 0 when
  ///     there was none. A deletion after that has taken the files with it.
  /// - Throws: `VERSION_CONFLICT`, `ALREADY_EXISTS`, `UNSUPPORTED`; see also `isUndone`.
  func run(
    _ intent: any CommitIntent, readVersion: UInt64?, commitName: String? = nil, exactly: Bool = false, begunAfter: UInt64 = 0
  ) throws(Failure) -> Outcome {
    // The newest version that was found to fit.
    var judged = readVersion
    for attempt in 0..<TableCommit.attempts {
      try Cancellation.check()
      if attempt > 0 { TableCommit.backOff(attempt) }
      let listing = try VersionListing(location)
      var newest: ManifestFile?
      if let latest = listing.latest {
        do throws(Failure) { newest = try location.manifest(latest, listing.naming) } catch {
          // Deleted since it was listed: the next listing says what has become of the table.
          guard error.code == .versionNotFound else { throw error }
          continue
        }
      }
      if let found = newest, !found.isTombstone {
        guard let readVersion, let since = judged else {
          throw Failure(.alreadyExists, "table '\(location.name)' exists already (version \(found.manifest.version))")
        }
        if let commitName, try location.isAnother(found, listing.naming, than: readVersion, commitName) {
          throw Failure(
            .versionConflict, "table '\(location.name)' was deleted and made anew while the \(intent.name) was written")
        }
        var expected = since + 1
        for version in listing.versions where version > since {
          // What a version did that is gone already is not known: it may have been anything.
          guard version == expected else { throw conflict(intent, readVersion, expected, "it was removed meanwhile") }
          expected = version + 1
          if exactly { throw conflict(intent, readVersion, version, "no version may come in between") }
          switch try judge(intent, version, listing) {
          case .fits: judged = version
          case .retry(let why): return .retry(conflict(intent, readVersion, version, why))
          case .conflict(let why): throw conflict(intent, readVersion, version, why)
          }
        }
      } else {
        guard readVersion == nil else {
          throw Failure(.versionConflict, "table '\(location.name)' was deleted while the \(intent.name) was written")
        }
        if let grave = newest?.manifest.version, grave > begunAfter {
          throw Failure(
            .versionConflict,
            "table '\(location.name)' was made and deleted (version \(grave)) while the \(intent.name) was written")
        }
        newest = newest?.successor
      }
      if let newest { try FeatureFlags.checkWritable(newest.manifest, table: location.name) }
      var draft = try ManifestDraft(after: newest, at: location)
      do throws(Failure) {
        switch try intent.apply(to: &draft) {
        case .fits:
          if let file = try publish(draft, listing) { return .published(file, listing.naming) }
        case .retry(let why):
          draft.discard()
          return .retry(conflict(intent, readVersion ?? 0, draft.readVersion, why))
        case .conflict(let why): throw conflict(intent, readVersion ?? 0, draft.readVersion, why)
        }
      } catch {
        if TableCommit.isUndone(error) { draft.discard() }
        throw error
      }
      draft.discard()
    }
    throw Failure(
      .versionConflict,
      "table '\(location.name)': the \(intent.name) was overtaken by other writers \(TableCommit.attempts) times; try again later"
    )
  }

  /// Writes transaction and manifest; nil when another writer took the version.
  private func publish(_ draft: ManifestDraft, _ listing: VersionListing) throws(Failure) -> ManifestFile? {
    var manifest = draft.manifest
    FeatureFlags.refresh(&manifest)
    var transaction = PBTransaction()
    transaction.readVersion = draft.readVersion
    transaction.uuid = randomUUID()
    transaction.properties = properties
    transaction.operation = draft.operation
    manifest.transactionFile = "\(draft.readVersion)-\(transaction.uuid).txn"
    let file = ManifestFile(manifest: manifest, indexSection: draft.indexSection, transaction: transaction)
    let transactionPath = location.path("\(TableLocation.transactions)/\(manifest.transactionFile)")
    try location.store.put(transactionPath, try Protobuf.bytes(transaction))
    let manifestPath = location.manifestPath(manifest.version, listing.naming)
    let bytes = try file.encoded()
    if location.store.movesAtOnce {
      // The number may be free because its version came and went: who was asleep that long must not fill the gap. (In a bucket a list
      // costs as much as the commit, and versions live for days.)
      var now: VersionListing?
      do throws(Failure) { now = try VersionListing(location) } catch {
        try? location.store.delete(transactionPath)
        throw error
      }
      guard now?.latest == listing.latest else {
        try? location.store.delete(transactionPath)
        return nil
      }
    }
    let result: PutResult
    do throws(Failure) { result = try location.store.putIfAbsent(manifestPath, bytes) } catch {
      var failure = error
      failure.details["outcome"] = "unknown"
      throw failure
    }
    switch result {
    case .written:
      if hasLostItsFolder(manifest, transactionPath, listing.naming) {
        try? location.store.delete(manifestPath)
        throw Failure(.versionConflict, "table '\(location.name)' was deleted while version \(manifest.version) was committed")
      }
      // Readers list the folder; the hint only saves others a few requests, so its failure is no failure.
      let hint = Array("{\"version\":\(manifest.version)}".utf8)
      try? location.store.put(location.path("\(TableLocation.versions)/latest_version_hint.json"), hint)
      return file
    case .alreadyExists:
      try? location.store.delete(transactionPath)
      return nil
    }
  }

  /// True when the folder was moved away, with all files of this commit, right before `manifest` was put: it stands in a new folder then.
  /// What moves the folder later takes the manifest along. The transaction was put just before, under a name of its own.
  private func hasLostItsFolder(_ manifest: PBManifest, _ transactionPath: String, _ naming: ManifestNaming) -> Bool {
    guard location.store.movesAtOnce else { return false }
    // Where one cannot look, or the version is another writer's by now, nothing is taken back.
    do throws(Failure) {
      guard try location.store.head(transactionPath) == nil else { return false }
      return try location.manifest(manifest.version, naming).manifest.transactionFile == manifest.transactionFile
    } catch { return false }
  }

  /// Of an operation that was asked for on version `wanted` only.
  static func isNot(_ wanted: UInt64, _ location: TableLocation, newest: UInt64?) -> Failure {
    guard let newest else {
      return Failure(.versionConflict, "table '\(location.name)' does not exist, version \(wanted) was asked for")
    }
    return Failure(
      .versionConflict, "table '\(location.name)' is at version \(newest), not \(wanted)",
      details: ["version": .int(Int64(clamping: newest))])
  }

  /// True when the new version is certainly not there. When the store failed in the last step, it may have done it all the same: then
  /// the files of the commit must stay.
  static func isUndone(_ failure: Failure) -> Bool { failure.details["outcome"] != "unknown" }

  /// Sleeps a random time of up to 2^attempt ms, at most 200 ms.
  static func backOff(_ attempt: Int) {
    usleep(UInt32.random(in: 500...UInt32(1000 * min(200, 1 << min(attempt, 8)))))
  }

  // MARK: conflicts

  /// How `intent` fares against what `version` did.
  private func judge(_ intent: any CommitIntent, _ version: UInt64, _ listing: VersionListing) throws(Failure) -> CommitVerdict
  {
    let file: ManifestFile
    do throws(Failure) { file = try location.manifest(version, listing.naming) } catch {
      guard error.code == .versionNotFound else { throw error }
      return .conflict("it was removed meanwhile, so what it changed is not known")
    }
    // The files that were there went with the table, ours as well.
    if file.isTombstone { return .conflict("it deleted the table, which was made anew") }
    guard let transaction = location.transaction(of: file) else {
      return .conflict("it does not say what it changed (no transaction)")
    }
    // Only an operation that we don't know could demand more than our rules do.
    guard transaction.operation != nil else { return .conflict("its operation is not known here") }
    return try intent.verdict(on: transaction, made: file)
  }

  private func conflict(_ intent: any CommitIntent, _ readVersion: UInt64, _ version: UInt64, _ why: String) -> Failure {
    Failure(
      .versionConflict,
      "table '\(location.name)': the \(intent.name) that began on version \(readVersion) conflicts with version \(version): \(why)",
      details: ["read_version": .int(Int64(clamping: readVersion)), "version": .int(Int64(clamping: version))])
  }
}

extension ManifestDraft {
  /// Removes what was written for an attempt that is not published.
  func discard() { for path in written { try? location.store.delete(path) } }
}

extension TableLocation {
  /// Whether the table whose newest version is `newest` is another one than that whose version `version` was the commit `name`.
  func isAnother(_ newest: ManifestFile, _ naming: ManifestNaming, than version: UInt64, _ name: String) throws(Failure) -> Bool
  {
    if name.isEmpty || newest.manifest.transactionFile == name { return false }
    if newest.manifest.version <= version { return true }
    do throws(Failure) { return try manifest(version, naming).manifest.transactionFile != name } catch {
      // Cleaned up by somebody who did not see that it is open: nobody knows what newer versions follow.
      guard error.code == .versionNotFound else { throw error }
      return true
    }
  }
}
