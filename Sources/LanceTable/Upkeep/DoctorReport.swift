package import Core

/// One thing that `doctor` has to say.
package struct Finding: Sendable, Hashable {
  package enum Kind: String, Sendable, CaseIterable {
    case damagedManifest = "damaged_manifest"
    case mixedNaming = "mixed_naming"
    case versionHole = "version_hole"
    case missingFile = "missing_file"
    case wrongSize = "wrong_size"
    case danglingTag = "dangling_tag"
    case unreadableTag = "unreadable_tag"
    case staleHint = "stale_hint"
    case leftoverFiles = "leftover_files"
  }
  package enum Severity: String, Sendable, CaseIterable {
    /// Data of a version cannot be read.
    case error
    /// Something does not work as it should; all data of the newest version is there.
    case warning
    /// Harmless.
    case note
  }
  package let kind: Kind
  package let severity: Severity
  /// Relative to the store's root.
  package let path: String?
  package let version: UInt64?
  package let message: String
  package let isRepaired: Bool
}

/// The result of `TableLocation.doctor`.
package struct DoctorReport: Sendable {
  package let table: String
  package let findings: [Finding]
  /// The newest version by the names of the manifests, after the repair.
  package let latestVersion: UInt64?
  /// The newest version whose manifest can be read and whose files are all there with the right sizes.
  package let lastGoodVersion: UInt64?
  /// Where damaged files were moved to.
  package let quarantined: [String]

  /// The newest version can be used: no error is left.
  package var isHealthy: Bool { !findings.contains { $0.severity == .error && !$0.isRepaired } }

  package var json: JSONValue {
    func number(_ version: UInt64?) -> JSONValue { version.map { .int(Int64(clamping: $0)) } ?? .null }
    return [
      "table": .string(table), "healthy": .bool(isHealthy), "latest_version": number(latestVersion),
      "last_good_version": number(lastGoodVersion), "quarantined": .array(quarantined.map { .string($0) }),
      "findings": .array(
        findings.map { finding in
          [
            "kind": .string(finding.kind.rawValue), "severity": .string(finding.severity.rawValue),
            "path": finding.path.map { .string($0) } ?? .null, "version": number(finding.version),
            "message": .string(finding.message), "repaired": .bool(finding.isRepaired),
          ]
        }),
    ]
  }
}
