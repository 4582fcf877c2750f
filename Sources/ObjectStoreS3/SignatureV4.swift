package import Core
import Crypto

/// AWS Signature Version 4 in the `Authorization` field.
///
///     canonical request = METHOD \n path \n query, sorted \n name:value\n of each field, sorted \n names \n hash of the body
///     string to sign    = AWS4-HMAC-SHA256 \n time \n day/region/service/aws4_request \n hash of the canonical request
///     signature         = HMAC(HMAC(HMAC(HMAC(HMAC("AWS4" + secret, day), region), service), "aws4_request"), string to sign)
///
/// Source: "Signature Calculations for the Authorization Header: Transferring Payload in a Single Chunk"
/// (docs.aws.amazon.com/AmazonS3/latest/API/sig-v4-header-based-auth.html), whose examples are the tests' golden values.
package struct SignatureV4: Sendable {
  package var region: String
  package var service: String

  package init(region: String, service: String = "s3") {
    self.region = region
    self.service = service
  }

  /// The hash of an empty body.
  package static let emptyHash = "e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855"

  /// What is signed. `path` is percent-encoded already and goes in as it is sent (S3 encodes once); `query` is not encoded yet.
  package struct Parts {
    var method: String
    var path: String
    var query: [(name: String, value: String)]
    /// Names in lower case. All of them are signed.
    var fields: [(name: String, value: String)]
    /// SHA-256 of the body, in hex.
    var bodyHash: String

    package init(
      method: String, path: String, query: [(name: String, value: String)] = [], fields: [(name: String, value: String)],
      bodyHash: String
    ) {
      self.method = method
      self.path = path
      self.query = query
      self.fields = fields
      self.bodyHash = bodyHash
    }
  }

  /// The value of `Authorization`.
  package func authorization(_ parts: Parts, _ credentials: S3Credentials, at time: Instant) -> String {
    let stamp = SignatureV4.stamp(time)
    let day = String(stamp.prefix(8))
    let scope = "\(day)/\(region)/\(service)/aws4_request"
    let text = "AWS4-HMAC-SHA256\n\(stamp)\n\(scope)\n\(SignatureV4.hash(Array(SignatureV4.canonical(parts).utf8)))"
    var key = SymmetricKey(data: Array(("AWS4" + credentials.secretKey).utf8))
    for part in [day, region, service, "aws4_request"] { key = SymmetricKey(data: SignatureV4.code(part, key)) }
    let signature = SignatureV4.code(text, key).map { hex($0) }.joined()
    return
      "AWS4-HMAC-SHA256 Credential=\(credentials.accessKey)/\(scope), SignedHeaders=\(SignatureV4.names(parts)), Signature=\(signature)"
  }

  /// The canonical request.
  package static func canonical(_ parts: Parts) -> String {
    let fields = sorted(parts).map { "\($0.name):\(collapsed($0.value))\n" }.joined()
    return "\(parts.method)\n\(parts.path)\n\(query(parts.query))\n\(fields)\n\(names(parts))\n\(parts.bodyHash)"
  }

  /// A query, encoded and sorted by its bytes: as it is signed, and as it is sent.
  static func query(_ items: [(name: String, value: String)]) -> String {
    items.map { (PercentCoding.query($0.name), PercentCoding.query($0.value)) }
      .sorted { $0 < $1 }.map { "\($0.0)=\($0.1)" }.joined(separator: "&")
  }

  /// `20130524T000000Z`.
  static func stamp(_ time: Instant) -> String { time.description.filter { $0 != "-" && $0 != ":" } }

  /// SHA-256 in hex.
  package static func hash(_ bytes: [UInt8]) -> String { bytes.withUnsafeBytes { hash($0) } }

  static func hash(_ bytes: UnsafeRawBufferPointer) -> String {
    var hasher = SHA256()
    hasher.update(bufferPointer: bytes)
    return hasher.finalize().map { hex($0) }.joined()
  }

  private static func names(_ parts: Parts) -> String { sorted(parts).map(\.name).joined(separator: ";") }

  private static func sorted(_ parts: Parts) -> [(name: String, value: String)] {
    parts.fields.sorted { $0.name.utf8.lexicographicallyPrecedes($1.name.utf8) }
  }

  /// Without blanks around, and runs of blanks inside as one.
  private static func collapsed(_ value: String) -> String {
    value.split(separator: " ", omittingEmptySubsequences: true).joined(separator: " ")
  }

  private static func code(_ text: String, _ key: SymmetricKey) -> [UInt8] {
    Array(HMAC<SHA256>.authenticationCode(for: Array(text.utf8), using: key))
  }
}
