package import Core

#if canImport(FoundationEssentials)
  import FoundationEssentials
#else
  import Foundation
#endif

/// An access key. Printing, dumping or interpolating one shows nothing of it.
package struct S3Credentials: Sendable, Equatable, CustomStringConvertible, CustomDebugStringConvertible, CustomReflectable {
  let accessKey: String
  let secretKey: String
  /// Of temporary credentials.
  let sessionToken: String?

  /// - Throws: `INVALID_ARGUMENT` for an empty part or one that cannot stand in a request; the message has nothing of it.
  package init(accessKey: String, secretKey: String, sessionToken: String? = nil) throws(Failure) {
    for (part, name) in [(accessKey, "access key"), (secretKey, "secret key"), (sessionToken ?? "x", "session token")] {
      guard !part.isEmpty, part.utf8.allSatisfy({ $0 > 32 && $0 < 127 }) else {
        throw Failure(.invalidArgument, "S3: the \(name) is empty or has characters in it that no \(name) has")
      }
    }
    self.accessKey = accessKey
    self.secretKey = secretKey
    self.sessionToken = sessionToken
  }

  package var description: String { "S3Credentials(hidden)" }
  package var debugDescription: String { description }
  package var customMirror: Mirror { Mirror(self, children: []) }

  /// The names under which workers of the server find them, and nobody else.
  package static let environmentNames = ["AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY", "AWS_SESSION_TOKEN", "AWS_PROFILE"]
}

/// Where credentials come from: the environment, else a file.
struct CredentialSource: Sendable {
  let environment: [String: String]
  let file: String?

  /// Looks at the file anew each time, as whoever renews temporary credentials writes it.
  /// - Throws: `INVALID_ARGUMENT` that says where credentials are looked for.
  func load() throws(Failure) -> S3Credentials {
    if let access = environment["AWS_ACCESS_KEY_ID"], !access.isEmpty {
      guard let secret = environment["AWS_SECRET_ACCESS_KEY"], !secret.isEmpty else {
        throw Failure(.invalidArgument, "S3: AWS_ACCESS_KEY_ID is set in the environment, AWS_SECRET_ACCESS_KEY is not")
      }
      let token = environment["AWS_SESSION_TOKEN"] ?? ""
      return try S3Credentials(accessKey: access, secretKey: secret, sessionToken: token.isEmpty ? nil : token)
    }
    guard let file else {
      throw Failure(
        .invalidArgument,
        "S3: there are no credentials; set AWS_ACCESS_KEY_ID and AWS_SECRET_ACCESS_KEY in the environment, or name a file as storage.credentials"
      )
    }
    let profile = environment["AWS_PROFILE"].flatMap { $0.isEmpty ? nil : $0 } ?? "default"
    guard let data = FileManager.default.contents(atPath: file), data.count < 1 << 20,
      let text = String(data: data, encoding: .utf8)
    else { throw Failure(.invalidArgument, "S3: the credentials file '\(file)' cannot be read") }
    let values = CredentialSource.section(profile, of: text)
    guard let access = values["aws_access_key_id"], let secret = values["aws_secret_access_key"] else {
      throw Failure(
        .invalidArgument,
        "S3: the credentials file '\(file)' has no aws_access_key_id and aws_secret_access_key in a section [\(profile)]")
    }
    return try S3Credentials(accessKey: access, secretKey: secret, sessionToken: values["aws_session_token"])
  }

  /// `name = value` lines below `[section]`; `#` and `;` begin comments.
  static func section(_ wanted: String, of text: String) -> [String: String] {
    var current = ""
    var values: [String: String] = [:]
    for line in text.split(whereSeparator: \.isNewline) {
      let line = line.trimming()
      if line.isEmpty || line.hasPrefix("#") || line.hasPrefix(";") { continue }
      if line.hasPrefix("["), line.hasSuffix("]") {
        current = String(line.dropFirst().dropLast().trimming())
      } else if current == wanted, let mark = line.firstIndex(of: "=") {
        values[line[..<mark].trimming().lowercased()] = String(line[line.index(after: mark)...].trimming())
      }
    }
    return values
  }
}

extension Substring {
  /// Without blanks and tabs around.
  fileprivate func trimming() -> Substring {
    var rest = self
    while let first = rest.first, first == " " || first == "\t" { rest.removeFirst() }
    while let last = rest.last, last == " " || last == "\t" || last == "\r" { rest.removeLast() }
    return rest
  }
}
