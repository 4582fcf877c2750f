/// The one error type that crosses room borders: a stable code for programs, a message for people.
///
/// A message names the thing, the place and what would be right:
/// `column 'lable' does not exist; columns are: image, label, split`.
/// HTTP status numbers are not known here; `Server` maps codes to them.
public struct Failure: Error, Sendable, CustomStringConvertible {
  /// A stable, upper-case name such as `DATASET_NOT_FOUND`. Open: rooms and scripts add their own.
  public struct Code: RawRepresentable, Hashable, Sendable, CustomStringConvertible {
    public let rawValue: String
    public init(rawValue: String) { self.rawValue = rawValue }
    public init(_ name: String) { self.rawValue = name }
    public var description: String { rawValue }

    public static let invalidRequest = Code("INVALID_REQUEST")
    public static let invalidArgument = Code("INVALID_ARGUMENT")
    public static let invalidScript = Code("INVALID_SCRIPT")
    public static let invalidParams = Code("INVALID_PARAMS")
    public static let invalidResult = Code("INVALID_RESULT")
    public static let invalidSchema = Code("INVALID_SCHEMA")
    public static let datasetNotFound = Code("DATASET_NOT_FOUND")
    public static let modelNotFound = Code("MODEL_NOT_FOUND")
    public static let taskNotFound = Code("TASK_NOT_FOUND")
    public static let versionNotFound = Code("VERSION_NOT_FOUND")
    public static let columnNotFound = Code("COLUMN_NOT_FOUND")
    public static let fileNotFound = Code("FILE_NOT_FOUND")
    public static let alreadyExists = Code("ALREADY_EXISTS")
    public static let versionConflict = Code("VERSION_CONFLICT")
    public static let pathNotAllowed = Code("PATH_NOT_ALLOWED")
    public static let corruptData = Code("CORRUPT_DATA")
    public static let unsupported = Code("UNSUPPORTED")
    public static let shapeMismatch = Code("SHAPE_MISMATCH")
    public static let typeMismatch = Code("TYPE_MISMATCH")
    public static let cancelled = Code("CANCELLED")
    public static let timeout = Code("TIMEOUT")
    public static let memoryLimit = Code("MEMORY_LIMIT")
    public static let scriptError = Code("SCRIPT_ERROR")
    public static let ioError = Code("IO_ERROR")
    public static let internalError = Code("INTERNAL_ERROR")
  }

  public var code: Code
  public var message: String
  /// Where in the user's material it happened: `script.lua:12`, `line 7, column 3`, `data/x.lance, page 2`.
  public var place: String?
  /// Structured extras that a client may read, such as `{"field": "epochs"}`.
  public var details: [String: JSONValue]
  /// Where in Moonlake's own source it was raised: `Room/File.swift:42`, for logs only.
  public let origin: String

  public init(
    _ code: Code, _ message: String, place: String? = nil, details: [String: JSONValue] = [:], file: StaticString = #fileID,
    line: UInt = #line
  ) {
    self.code = code
    self.message = message
    self.place = place
    self.details = details
    self.origin = "\(file):\(line)"
  }

  /// `CODE: message (place)`.
  public var description: String {
    place.map { "\(code): \(message) (\($0))" } ?? "\(code): \(message)"
  }

  /// The same failure with `prefix: ` put before the message; used when a caller can say what was being done.
  public func context(_ prefix: String) -> Failure {
    var copy = self
    copy.message = "\(prefix): \(message)"
    return copy
  }

  /// Any error as a `Failure`; one that is none already becomes `INTERNAL_ERROR`.
  public static func wrapping(_ error: any Error, file: StaticString = #fileID, line: UInt = #line) -> Failure {
    if let failure = error as? Failure { return failure }
    return Failure(.internalError, "\(error)", file: file, line: line)
  }
}

/// `name` quoted and the nearest of `known` named: "'lable'; did you mean 'label'? known: image, label".
public func nearNames(_ name: String, known: [String], what: String) -> String {
  var best: (String, Int)?
  for candidate in known {
    let distance = editDistance(Array(name.utf8), Array(candidate.utf8))
    if distance <= max(2, name.utf8.count / 3), distance < (best?.1 ?? Int.max) { best = (candidate, distance) }
  }
  let shown = known.prefix(12).joined(separator: ", ") + (known.count > 12 ? ", ... (\(known.count) in all)" : "")
  if let best { return "'\(name)'; did you mean '\(best.0)'? \(what) are: \(shown)" }
  return "'\(name)'" + (known.isEmpty ? "; there are no \(what)" : "; \(what) are: \(shown)")
}

/// Levenshtein distance, two rows.
private func editDistance(_ a: [UInt8], _ b: [UInt8]) -> Int {
  guard a.count <= 64, b.count <= 64 else { return Int.max }
  var previous = Array(0...b.count)
  for i in 0..<a.count {
    var current = [i + 1]
    for j in 0..<b.count {
      current.append(min(previous[j] + (a[i] == b[j] ? 0 : 1), previous[j + 1] + 1, current[j] + 1))
    }
    previous = current
  }
  return previous[b.count]
}
