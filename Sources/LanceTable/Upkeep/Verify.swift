package import Core
import LanceFile
import LanceProto
import ObjectStore

extension TableLocation {
  /// Reads all bytes of the newest version, of another one, or of every version, and compares them with their checksums.
  /// - Throws: `DATASET_NOT_FOUND`, `VERSION_NOT_FOUND`, `CORRUPT_DATA` for manifests of both naming schemes, `IO_ERROR`,
  ///   `CANCELLED`. What is wrong with a file is in the report.
  package func verify(_ scope: VerifyScope = .version(.latest)) throws(Failure) -> VerifyReport {
    let start = ContinuousClock.now
    let naming: ManifestNaming
    let versions: [UInt64]
    switch scope {
    case .version(let version):
      let (number, scheme) = try resolve(version)
      (versions, naming) = ([number], scheme)
    case .allVersions:
      let listing = try VersionListing(self)
      guard !listing.versions.isEmpty else {
        throw Failure(.datasetNotFound, "there is no table at '\(folder)' in \(store.name)")
      }
      (versions, naming) = (listing.versions, listing.naming)
    }
    var manifests: [FileReport] = []
    var needed: [FileReference] = []
    var versionsOf: [String: [UInt64]] = [:]
    for version in versions {
      try Cancellation.check()
      let (report, file) = try verifyManifest(version, naming)
      manifests.append(report)
      guard let file else { continue }
      do throws(Failure) {
        for reference in try references(of: file) {
          if versionsOf[reference.path] == nil { needed.append(reference) }
          if versionsOf[reference.path]?.last != version { versionsOf[reference.path, default: []].append(version) }
        }
      } catch {
        guard error.code == .corruptData else { throw error }
        manifests[manifests.count - 1] = FileReport(
          path: report.path, kind: .manifest, state: .damaged, byteCount: report.byteCount, message: error.message,
          versions: report.versions)
      }
    }
    var files: [FileReport] = []
    for reference in needed {
      try Cancellation.check()
      files.append(try verify(reference, versions: versionsOf[reference.path] ?? []))
    }
    let elapsed = (ContinuousClock.now - start).components
    return VerifyReport(
      table: name, versions: versions, files: manifests + files,
      seconds: Double(elapsed.seconds) + Double(elapsed.attoseconds) / 1e18)
  }

  private func verifyManifest(_ version: UInt64, _ naming: ManifestNaming) throws(Failure) -> (FileReport, ManifestFile?) {
    let path = manifestPath(version, naming)
    let size = try store.head(path)?.size ?? 0
    func report(_ state: FileReport.State, _ message: String?) -> FileReport {
      FileReport(path: path, kind: .manifest, state: state, byteCount: size, message: message, versions: [version])
    }
    do throws(Failure) {
      let file = try manifest(version, naming)
      return (report(file.hasChecksum ? .good : .withoutChecksum, nil), file)
    } catch {
      guard error.code == .corruptData else { throw error }
      return (report(.damaged, error.message), nil)
    }
  }

  private func verify(_ reference: FileReference, versions: [UInt64]) throws(Failure) -> FileReport {
    let kind: FileReport.Kind =
      switch reference.content {
      case .data: .data
      case .deletion: .deletion
      case .index: .index
      }
    var size = 0
    func report(_ state: FileReport.State, _ message: String? = nil) -> FileReport {
      FileReport(
        path: reference.path, kind: kind, state: state, byteCount: size, message: message, versions: versions)
    }
    let buffer: Buffer
    do throws(Failure) { buffer = try store.read(reference.path) } catch {
      switch error.code {
      case .fileNotFound: return report(.missing, "the file is missing")
      case .pathNotAllowed: return report(.damaged, error.message)
      default: throw error
      }
    }
    size = buffer.byteCount
    if let expected = reference.byteCount, expected != size {
      return report(.damaged, "the file has \(size) bytes, the manifest says \(expected)")
    }
    do throws(Failure) {
      switch reference.content {
      case .deletion(let fragment, let location):
        let rows = fragment.physicalRows == 0 ? Int.max : Int(clamping: fragment.physicalRows)
        _ = try FragmentFiles.deletions(fragment, rows: rows, location)
        return report(try Checksum.unsealed(buffer.bytes, what: "the file") == nil ? .withoutChecksum : .good)
      case .data(let rows): return try verify(buffer, rows: rows, reference.path, report)
      case .index: return try verify(buffer, rows: 0, reference.path, report)
      }
    } catch {
      switch error.code {
      case .corruptData: return report(.damaged, error.message)
      case .unsupported: return report(.withoutChecksum, error.message)
      default: throw error
      }
    }
  }

  /// A Lance file of `rows` rows (0: not known).
  private func verify(
    _ buffer: Buffer, rows: Int, _ path: String, _ report: (FileReport.State, String?) -> FileReport
  ) throws(Failure) -> FileReport {
    let reader = try LanceFileReader(buffer: buffer, path: path)
    guard rows == 0 || rows == reader.rowCount else {
      return report(.damaged, "the file has \(reader.rowCount) rows, the manifest says \(rows)")
    }
    let damaged = try reader.damagedRanges()
    if let first = damaged.first {
      let more = damaged.count > 1 ? ", and \(damaged.count - 1) more places" : ""
      return report(.damaged, "bytes \(first.lowerBound) to \(first.upperBound)\(more) do not match their checksums")
    }
    return report(reader.hasChecksums ? .good : .withoutChecksum, nil)
  }
}
