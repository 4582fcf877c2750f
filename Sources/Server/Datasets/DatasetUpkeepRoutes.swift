import Core
import Hummingbird
import Lake
import LanceTable
import Tasks

/// What keeps a data set whole and small. The work runs on threads that may wait; the answer comes when it is done.
struct DatasetUpkeepRoutes: Sendable {
  let lake: DataLake

  private static let errors: [Failure.Code] = [
    .invalidRequest, .originNotAllowed, .datasetNotFound, .payloadTooLarge, .unsupportedMediaType, .versionConflict,
    .corruptData,
    .unsupported, .insufficientStorage,
  ]

  var routes: [Route] {
    [
      Route(
        method: .post, path: "/api/v1/datasets/{id}/verify", tag: "datasets",
        summary: "Read every byte against its checksums",
        about: "Of the newest version, of `version`, or of all of them. Damage is no error of the request: see `is_good`.",
        body: "VerifyRequest", bodyIsOptional: true,
        answers: [Answer(status: 200, about: "What was found.", schema: "VerifyReport")],
        errors: DatasetUpkeepRoutes.errors + [.versionNotFound], handler: verify),
      Route(
        method: .post, path: "/api/v1/datasets/{id}/doctor", tag: "datasets",
        summary: "Look for what is damaged, missing or left over",
        about:
          "With `repair`, damaged manifests go to `_quarantine/`, so that the last good version is the newest. Nothing is deleted.",
        body: "DoctorRequest", bodyIsOptional: true,
        answers: [Answer(status: 200, about: "What was found.", schema: "DoctorReport")], errors: DatasetUpkeepRoutes.errors,
        handler: doctor),
      Route(
        method: .post, path: "/api/v1/datasets/{id}/compact", tag: "datasets",
        summary: "Join small fragments, drop deleted rows", about: "Nothing to do: no new version.", body: "CompactRequest",
        bodyIsOptional: true, answers: [Answer(status: 200, about: "What was done.", schema: "CompactReport")],
        errors: DatasetUpkeepRoutes.errors, handler: compact),
      Route(
        method: .post, path: "/api/v1/datasets/{id}/cleanup", tag: "datasets",
        summary: "Remove old versions and what nothing refers to",
        about:
          "Versions with a tag, the newest `keep_versions`, and those that are in use stay. `dry_run` only says what would go.",
        body: "CleanupRequest", bodyIsOptional: true,
        answers: [Answer(status: 200, about: "What went, or would go.", schema: "CleanupReport")],
        errors: DatasetUpkeepRoutes.errors, handler: cleanup),
    ]
  }

  @Sendable private func verify(_ call: Call) async throws(Failure) -> Response {
    let body = try await call.body("VerifyRequest", isOptional: true)
    let all = body["all_versions"]?.boolValue ?? false
    if all, body["version"] != nil { throw Failure(.invalidRequest, "give either version or all_versions") }
    let version = body["version"]?.intValue.map { TableVersion.number(UInt64($0)) } ?? .latest
    return json(
      try await lake.withDataset(call.parameter("id")) { place throws(Failure) in
        try place.verify(all ? .allVersions : .version(version)).json
      })
  }

  @Sendable private func doctor(_ call: Call) async throws(Failure) -> Response {
    let repair = try await call.body("DoctorRequest", isOptional: true)["repair"]?.boolValue ?? false
    return json(
      try await lake.withDataset(call.parameter("id")) { place throws(Failure) in try place.doctor(repair: repair).json })
  }

  @Sendable private func compact(_ call: Call) async throws(Failure) -> Response {
    let body = try await call.body("CompactRequest", isOptional: true)
    var options = CompactOptions()
    if let rows = body["target_rows"]?.intValue { options.targetRowsPerFragment = Int(rows) }
    if let share = body["deleted_share"]?.doubleValue { options.deletedShare = share }
    let wanted = options
    let report = try await lake.withDataset(call.parameter("id")) { place throws(Failure) in try place.compact(wanted) }
    return json(report.json, headers: [.eTag: versionTag(report.version)])
  }

  @Sendable private func cleanup(_ call: Call) async throws(Failure) -> Response {
    let body = try await call.body("CleanupRequest", isOptional: true)
    var options = CleanupOptions()
    if let days = body["older_than_days"]?.doubleValue { options.olderThanSeconds = days * 86400 }
    if let keep = body["keep_versions"]?.intValue { options.keepVersions = Int(keep) }
    options.dryRun = body["dry_run"]?.boolValue ?? false
    let wanted = options
    return json(try await lake.withDataset(call.parameter("id")) { place throws(Failure) in try place.cleanup(wanted).json })
  }
}
