package import Core

#if canImport(FoundationEssentials)
  import FoundationEssentials
#else
  import Foundation
#endif

/// The server behind `S3Settings`, and how a key becomes an address there.
///
///     path style            https://host[:port]/bucket/key
///     virtual host style    https://bucket.host[:port]/key
package struct S3Endpoint: Sendable, Hashable {
  /// `https://host:port` with the bucket in it where the style wants so; no slash at the end.
  package let origin: String
  /// As the `Host` field has it: with the port unless it is the scheme's own.
  package let host: String
  /// `/bucket` or `""`.
  package let bucketPath: String

  /// - Throws: `INVALID_ARGUMENT` naming the endpoint and what is wrong with it.
  package init(_ settings: S3Settings) throws(Failure) {
    let text = settings.endpoint ?? "https://s3.\(settings.region).amazonaws.com"
    func fail(_ why: String) -> Failure { Failure(.invalidArgument, "S3 endpoint '\(text)': \(why)") }
    guard let url = URL(string: text), let scheme = url.scheme?.lowercased(), let name = url.host, !name.isEmpty,
      scheme == "http" || scheme == "https"
    else { throw fail("expected an address such as https://s3.example.com or http://127.0.0.1:9000") }
    guard url.user == nil, url.password == nil else {
      throw fail("keys do not belong into the address; put them into the environment")
    }
    guard url.path.isEmpty || url.path == "/", url.query == nil, url.fragment == nil else {
      throw fail("nothing may follow the host and port; the bucket is named in s3://BUCKET/PREFIX")
    }
    guard scheme == "https" || settings.allowsHTTP else {
      throw fail(
        "plain http is refused, as everybody on the way could read the data; set allow_http: true for a network that you trust")
    }
    // A certificate for *.host does not cover a bucket with a dot; an address instead of a name has no subdomains.
    let usesPath = settings.usesPathStyle ?? (settings.endpoint != nil || settings.bucket.contains("."))
    let literal = name.contains(":") ? "[\(name.filter { $0 != "[" && $0 != "]" })]" : name
    let full = usesPath ? literal : "\(settings.bucket).\(literal)"
    let ownPort = scheme == "https" ? 443 : 80
    let port = url.port.flatMap { $0 == ownPort ? nil : $0 }
    host = full + (port.map { ":\($0)" } ?? "")
    origin = "\(scheme)://\(host)"
    bucketPath = usesPath ? "/" + settings.bucket : ""
  }

  /// The path of `key` (nil: of the bucket), percent-encoded, as it is sent and signed.
  package func path(_ key: String?) -> String {
    guard let key else { return bucketPath.isEmpty ? "/" : bucketPath }
    return bucketPath + "/" + PercentCoding.path(key)
  }
}

/// Keys below a prefix.
enum S3Key {
  /// A key has at most 1024 bytes of UTF-8.
  static let mostBytes = 1024

  /// - Throws: `PATH_NOT_ALLOWED` for a prefix with empty, `.` or `..` parts.
  static func check(prefix: String) throws(Failure) {
    for part in prefix.utf8.split(separator: UInt8(ascii: "/"), omittingEmptySubsequences: false) {
      if part.isEmpty || part.elementsEqual(".".utf8) || part.elementsEqual("..".utf8) || part.contains(0) {
        throw Failure(.pathNotAllowed, "the prefix '\(prefix)' has an empty part, '.', '..' or a NUL in it")
      }
    }
    guard prefix.utf8.count <= 512 else { throw Failure(.pathNotAllowed, "the prefix is longer than 512 bytes") }
  }
}
