import Core
import HTTPTypes
import Hummingbird
import Lake
import LanceTable

/// What the routes below `/api/v1/datasets/{id}` share: the table that is meant, its version, and preconditions.
extension Call {
  /// Query parameters that name a version.
  static let versionParameters = [
    QueryParameter(name: "version", kind: .integer(1...Int.max), about: "This version instead of the newest."),
    QueryParameter(name: "tag", kind: .text, about: "The version with this tag."),
    QueryParameter(
      name: "as_of", kind: .text,
      about: "The newest version committed at or before this time: 2026-11-01 or 2026-11-01T10:00:00Z."),
  ]

  /// The version that the query names.
  /// - Throws: `INVALID_REQUEST` for more than one, or a time that is none.
  func tableVersion() throws(Failure) -> TableVersion {
    let (number, tag, time) = (integer("version"), text("tag"), text("as_of"))
    guard [number != nil, tag != nil, time != nil].count(where: \.self) < 2 else {
      throw Failure(.invalidRequest, "give one of the query parameters version, tag and as_of")
    }
    if let number { return .number(UInt64(number)) }
    if let tag { return .tag(tag) }
    guard let time else { return .latest }
    guard let instant = Instant(time) ?? Instant(time + "T00:00:00Z") else {
      throw Failure(
        .invalidRequest,
        "query parameter 'as_of' must be a time such as 2026-11-01 or 2026-11-01T10:00:00Z, not '\(plainLine(String(time.prefix(80))))'"
      )
    }
    return .time(instant)
  }

  /// The version of `If-Match: "v7"`; nil without one and for `*`.
  /// - Throws: `INVALID_REQUEST` for anything else.
  func ifMatch() throws(Failure) -> UInt64? {
    guard let field = request.headers[.ifMatch], field != "*" else { return nil }
    guard field.hasPrefix("\"v"), field.hasSuffix("\""), let version = UInt64(field.dropFirst(2).dropLast()) else {
      throw Failure(
        .invalidRequest,
        "the field If-Match must be the ETag of one version, such as \"v7\", not '\(plainLine(String(field.prefix(80))))'")
    }
    return version
  }
}

/// `"v7"`, the ETag of a version.
func versionTag(_ version: UInt64) -> String { "\"v\(version)\"" }

extension DataLake {
  /// Runs `body` on the place of data set `id`, on a thread that may wait.
  /// - Throws: `DATASET_NOT_FOUND` in the contract's words, also for a name that cannot be one.
  func withDataset<T: Sendable>(
    _ id: String, _ body: @escaping @Sendable (TableLocation) throws(Failure) -> T
  ) async throws(Failure) -> T {
    try await offload { [self] () throws(Failure) in
      let missing = LakeKind.dataset.notFound(plainLine(String(id.prefix(200))))
      do throws(Failure) { try LakeReference.check(name: id, .dataset) } catch { throw missing }
      do throws(Failure) { return try body(location(.dataset, id)) } catch {
        throw error.code == .datasetNotFound ? missing : error
      }
    }
  }

  /// Opens a version of data set `id` and runs `body`, on a thread that may wait.
  func withTable<T: Sendable>(
    _ id: String, _ version: TableVersion = .latest, _ body: @escaping @Sendable (LanceTable) throws(Failure) -> T
  ) async throws(Failure) -> T {
    try await withDataset(id) { place throws(Failure) in try body(try LanceTable(place, version: version)) }
  }
}
