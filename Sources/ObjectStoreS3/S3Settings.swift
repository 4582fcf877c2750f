package import Core

// Room ObjectStoreS3: objects in a bucket, over the S3 protocol (docs/s3.md).
//
//   S3Settings, S3Endpoint       where the bucket is and how it is addressed
//   S3Credentials                who asks; never printed
//   SignatureV4, PercentCoding   AWS Signature Version 4
//   S3Request, ResponseReceiver, S3Client, Exchange, RetryPolicy      one request and its answer, tried again when that is safe
//   S3Error, S3XML, HTTPDate     answers taken apart
//   S3Store, S3Writer            the store
//
// Synchronous outside: the calling thread waits, and asks `Cancellation` meanwhile. Inside, AsyncHTTPClient runs on event loops of
// this room's own; nothing here runs on, or waits for, a thread of Swift concurrency's pool.

/// Where a store lies and how it is reached. Holds no secret, so it may be shown and handed to other processes.
package struct S3Settings: Sendable, Hashable {
  package var bucket: String
  /// What all keys begin with, without slashes around it; `""` when the bucket itself is the root.
  package var prefix: String
  /// `https://s3.example.com:9000`; nil: Amazon's for the region.
  package var endpoint: String?
  package var region: String
  /// `endpoint/bucket/key` instead of `bucket.endpoint/key`; nil: when an endpoint is given, or the bucket has a dot in its name.
  package var usesPathStyle: Bool?
  /// A plain `http:` endpoint is refused unless this says so: requests are signed, but everybody on the way reads the data.
  package var allowsHTTP: Bool
  /// A file of `[profile]` sections as the AWS tools keep it, read when the environment names no key; nil: none.
  package var credentialsFile: String?

  package static let scheme = "s3://"

  /// - Parameter location: `s3://bucket` or `s3://bucket/some/prefix`.
  /// - Throws: `INVALID_ARGUMENT` saying what a location looks like.
  package init(location: String, region: String = "us-east-1", allowsHTTP: Bool = false) throws(Failure) {
    guard location.hasPrefix(S3Settings.scheme) else {
      throw Failure(.invalidArgument, "'\(location)' is no S3 location; expected s3://BUCKET or s3://BUCKET/PREFIX")
    }
    let rest = location.dropFirst(S3Settings.scheme.count)
    let parts = rest.split(separator: "/", maxSplits: 1, omittingEmptySubsequences: false)
    bucket = String(parts.first ?? "")
    var path = parts.count > 1 ? parts[1] : ""
    while path.hasSuffix("/") { path = path.dropLast() }
    prefix = String(path)
    self.region = region
    self.allowsHTTP = allowsHTTP
    try S3Settings.check(bucket: bucket, location)
    do throws(Failure) { if !prefix.isEmpty { try S3Key.check(prefix: prefix) } } catch {
      throw Failure(.invalidArgument, "'\(location)': \(error.message)")
    }
    guard S3Settings.isRegion(region) else {
      throw Failure(.invalidArgument, "'\(region)' is no region; expected one such as us-east-1")
    }
  }

  /// `s3://bucket/prefix`, as messages show it.
  package var location: String { S3Settings.scheme + bucket + (prefix.isEmpty ? "" : "/" + prefix) }

  /// General purpose buckets: 3 to 63 lower-case letters, digits, dots and hyphens, a letter or digit at both ends.
  /// Source: docs.aws.amazon.com/AmazonS3/latest/userguide/bucketnamingrules.html
  private static func check(bucket: String, _ location: String) throws(Failure) {
    func isAlphanumeric(_ byte: UInt8) -> Bool { (48...57).contains(byte) || (97...122).contains(byte) }
    let bytes = Array(bucket.utf8)
    guard (3...63).contains(bytes.count), let first = bytes.first, let last = bytes.last, isAlphanumeric(first),
      isAlphanumeric(last),
      bytes.allSatisfy({ isAlphanumeric($0) || $0 == UInt8(ascii: "-") || $0 == UInt8(ascii: ".") }), !bucket.contains("..")
    else {
      throw Failure(
        .invalidArgument,
        "'\(location)': '\(bucket)' is no bucket name; it has 3 to 63 lower-case letters, digits, '-' and '.', with a letter or digit at both ends"
      )
    }
  }

  /// Regions go into host names and signatures.
  private static func isRegion(_ text: String) -> Bool {
    (1...64).contains(text.utf8.count)
      && text.utf8.allSatisfy {
        (48...57).contains($0) || (97...122).contains($0) || (65...90).contains($0) || $0 == UInt8(ascii: "-")
      }
  }
}

extension S3Settings {
  /// What the environment says where `self` says nothing: `AWS_ENDPOINT_URL_S3` or `AWS_ENDPOINT_URL`.
  package func completed(from environment: [String: String]) -> S3Settings {
    var settings = self
    if settings.endpoint == nil {
      settings.endpoint = ["AWS_ENDPOINT_URL_S3", "AWS_ENDPOINT_URL"].lazy.compactMap { environment[$0] }.first { !$0.isEmpty }
    }
    return settings
  }

  /// The region that the environment names: `AWS_REGION` or `AWS_DEFAULT_REGION`.
  package static func region(from environment: [String: String]) -> String? {
    ["AWS_REGION", "AWS_DEFAULT_REGION"].lazy.compactMap { environment[$0] }.first { !$0.isEmpty }
  }

  /// For another process: the members of `storage` in a worker's job (docs/worker-protocol.md). No secret is in it.
  package var json: JSONObject {
    var object: JSONObject = ["location": .string(location), "region": .string(region), "allow_http": .bool(allowsHTTP)]
    if let endpoint { object["endpoint"] = .string(endpoint) }
    if let usesPathStyle { object["path_style"] = .bool(usesPathStyle) }
    if let credentialsFile { object["credentials"] = .string(credentialsFile) }
    return object
  }

  /// The inverse of `json`.
  /// - Throws: `INVALID_ARGUMENT`.
  package init(json: JSONValue) throws(Failure) {
    guard let location = json["location"]?.stringValue, let region = json["region"]?.stringValue else {
      throw Failure(.invalidArgument, "storage: location and region must be text")
    }
    try self.init(location: location, region: region, allowsHTTP: json["allow_http"]?.boolValue ?? false)
    endpoint = json["endpoint"]?.stringValue
    usesPathStyle = json["path_style"]?.boolValue
    credentialsFile = json["credentials"]?.stringValue
  }
}
