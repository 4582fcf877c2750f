package import Core

/// Which versions `verify` looks at.
package enum VerifyScope: Sendable, Hashable {
  case version(TableVersion)
  /// Every version; a file that several of them need is read once.
  case allVersions
}

/// What `verify` found out about one file.
package struct FileReport: Sendable, Hashable {
  package enum Kind: String, Sendable, CaseIterable { case manifest, data, deletion, index }
  package enum State: String, Sendable, CaseIterable {
    /// All bytes match their checksums.
    case good
    case damaged
    case missing
    /// Written by others: size and structure are right, of the values nothing can be said.
    case withoutChecksum = "without_checksum"
  }
  /// Relative to the store's root.
  package let path: String
  package let kind: Kind
  package let state: State
  /// Bytes read.
  package let byteCount: Int
  /// What is wrong with it.
  package let message: String?
  /// The versions, of those looked at, that need it.
  package let versions: [UInt64]
}

/// The result of `TableLocation.verify`.
package struct VerifyReport: Sendable {
  package let table: String
  /// The versions looked at.
  package let versions: [UInt64]
  /// Every file once: manifests, then what they need.
  package let files: [FileReport]
  package let seconds: Double

  package func count(_ state: FileReport.State) -> Int { files.count { $0.state == state } }
  package var goodCount: Int { count(.good) }
  package var damagedCount: Int { count(.damaged) }
  package var missingCount: Int { count(.missing) }
  package var withoutChecksumCount: Int { count(.withoutChecksum) }
  /// Bytes read.
  package var byteCount: Int { files.reduce(0) { $0 + $1.byteCount } }
  /// Nothing is damaged, nothing is missing.
  package var isGood: Bool { damagedCount == 0 && missingCount == 0 }

  package var json: JSONValue {
    let problems = files.filter { $0.state == .damaged || $0.state == .missing }
    return [
      "table": .string(table), "versions": .array(versions.map { .int(Int64(clamping: $0)) }), "is_good": .bool(isGood),
      "files": .int(Int64(files.count)), "bytes": .int(Int64(byteCount)), "seconds": .double(seconds),
      "good": .int(Int64(goodCount)), "damaged": .int(Int64(damagedCount)), "missing": .int(Int64(missingCount)),
      "without_checksum": .int(Int64(withoutChecksumCount)),
      "problems": .array(
        problems.map { file in
          [
            "path": .string(file.path), "kind": .string(file.kind.rawValue), "state": .string(file.state.rawValue),
            "message": .string(file.message ?? ""), "versions": .array(file.versions.map { .int(Int64(clamping: $0)) }),
          ]
        }),
    ]
  }
}
