import Core
import NIOCore
import NIOHTTP1

/// One request to a bucket, not signed yet.
struct S3Request: Sendable {
  var method: HTTPMethod
  /// With the prefix; nil: the bucket itself.
  var key: String?
  /// Not encoded.
  var query: [(name: String, value: String)] = []
  /// Names in lower case.
  var fields: [(name: String, value: String)] = []
  var body: ByteBuffer?
  /// SHA-256 of the body, in hex.
  private(set) var bodyHash = SignatureV4.emptyHash
  var landing = Landing.text(limitBytes: 64 << 10)
  /// Whether a cancelled task may leave it half done. False for what settles or cleans up.
  var isInterruptible = true
  /// Answers besides 2xx that are the caller's to judge, and no reason to try again.
  var expected: Set<UInt> = []

  /// Where the body of a good answer goes. Bodies of error answers are text, their first 64 KiB.
  enum Landing: Sendable {
    /// Into memory of the answer; more bytes are an error.
    case text(limitBytes: Int)
    /// Bytes `range` of the object to `offset` of `buffer`.
    case part(of: Buffer, offset: Int, range: Range<Int>)
    /// Bytes from 0 on, at most `limitBytes` of them when the server honours the range; the buffer is made for the whole object
    /// once the head of the answer tells its size.
    case beginning(limitBytes: Int)
  }

  init(_ method: HTTPMethod, _ key: String?) {
    self.method = method
    self.key = key
  }

  mutating func setBody(_ buffer: ByteBuffer) {
    body = buffer
    bodyHash = buffer.withUnsafeReadableBytes { SignatureV4.hash($0) }
  }

  mutating func setBody(_ bytes: [UInt8]) { setBody(ByteBuffer(bytes: bytes)) }

  /// `bytes=0-9` for 0 ..< 10, which must not be empty.
  static func range(_ range: Range<Int>) -> (name: String, value: String) {
    ("range", "bytes=\(range.lowerBound)-\(range.upperBound - 1)")
  }
}

/// An answer, complete.
struct S3Response: Sendable {
  var status: UInt
  var fields: HTTPHeaders
  /// Of a text landing, and of errors.
  var text: [UInt8] = []
  /// Of a `beginning` landing.
  var buffer: Buffer?
  /// Bytes of the object, where a ranged read tells it.
  var objectSize: Int?

  var isGood: Bool { (200..<300).contains(status) }
  var entityTag: String? { fields.first(name: "etag") }
}
