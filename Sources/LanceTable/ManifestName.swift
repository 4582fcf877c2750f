import Core
import ObjectStore

/// Names of manifests below `_versions/`.
///
/// | scheme | version 1 | |
/// |---|---|---|
/// | V2 | `18446744073709551614.manifest` | 20 digits of 2^64 - 1 - version: a listing shows the newest first |
/// | V1 | `1.manifest` | older tables |
///
/// A table keeps to one scheme. Everything else in the folder (temporary files, detached versions `d...`, the hint) is
/// nobody's version and ignored.
package enum ManifestNaming: Sendable, Hashable {
  case v1, v2

  package func name(of version: UInt64) -> String {
    switch self {
    case .v1: return "\(version).manifest"
    case .v2:
      let digits = String(UInt64.max - version)
      return String(repeating: "0", count: max(0, 20 - digits.utf8.count)) + digits + ".manifest"
    }
  }

  /// The scheme and version that `name` stands for; nil when it is no manifest's name.
  package static func parse(_ name: String) -> (scheme: ManifestNaming, version: UInt64)? {
    guard name.hasSuffix(".manifest") else { return nil }
    let digits = name.utf8.dropLast(".manifest".utf8.count)
    guard !digits.isEmpty, digits.allSatisfy({ $0 >= 48 && $0 <= 57 }), let number = UInt64(String(digits) ?? "") else {
      return nil
    }
    if digits.count == 20 { return number == UInt64.max ? nil : (.v2, UInt64.max - number) }
    // Versions count from 1, and a V1 name has no leading zeros.
    return number == 0 || digits.first == 48 ? nil : (.v1, number)
  }
}
