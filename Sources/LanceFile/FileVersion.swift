package import Core

/// The version of a Lance data file. One data set uses one version for all of its files.
package enum LanceFileVersion: String, Sendable, CaseIterable, CustomStringConvertible {
  // swift-format-ignore: AlwaysUseLowerCamelCase
  case v2_0 = "2.0"
  // swift-format-ignore: AlwaysUseLowerCamelCase
  case v2_1 = "2.1"
  // swift-format-ignore: AlwaysUseLowerCamelCase
  case v2_2 = "2.2"

  /// What we write unless told otherwise; also the default of the official writers since Lance 12.
  package static let `default` = LanceFileVersion.v2_2

  package var description: String { rawValue }

  /// `DataFile.file_major_version` and `file_minor_version` in a manifest.
  package var major: UInt32 { 2 }
  package var minor: UInt32 { self == .v2_0 ? 0 : self == .v2_1 ? 1 : 2 }

  /// The two numbers in the file's footer; 2.0 calls itself 0.3 there.
  var footer: (major: UInt16, minor: UInt16) { self == .v2_0 ? (0, 3) : (2, UInt16(minor)) }

  /// The version named `2.0`, `2.1` or `2.2`.
  /// - Throws: `UNSUPPORTED` for others.
  package static func named(_ name: String) throws(Failure) -> LanceFileVersion {
    guard let version = LanceFileVersion(rawValue: name) else {
      throw Failure(.unsupported, "Lance file version \(name) is not supported; supported are 2.0, 2.1 and 2.2")
    }
    return version
  }

  static func ofFooter(major: UInt16, minor: UInt16) throws(Failure) -> LanceFileVersion {
    switch (major, minor) {
    case (0, 3), (2, 0): return .v2_0
    case (2, 1): return .v2_1
    case (2, 2): return .v2_2
    case (0, 1), (0, 2): return try named("0.1 (legacy)")
    default: return try named("\(major).\(minor)")
    }
  }
}
