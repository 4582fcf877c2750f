package import Core
import NIOHTTP1
package import ObjectStore
import Synchronization

/// A bucket, or a prefix of one, as a store.
///
/// Writing: an object appears whole, when the server has all of it; the server answers for its durability. `putIfAbsent` is a PUT with
/// `If-None-Match: *`, which the server must honour; this is tried once per store before the first use.
///
/// Reading: large objects come in parallel ranges of one version (`If-Match`). What has been read is memory of this process.
///
/// Not as on a disk: a folder is nothing but a part that keys share, with no time of its own; `moveTree` copies and deletes, so others
/// can see it half done, and it is never undone by a crash.
package final class S3Store: ObjectStore {
  package let name: String
  let client: S3Client
  /// What all keys begin with: `prefix/` or `""`.
  let rootPrefix: String
  private let conditionalPut = Mutex<Bool>(false)

  /// Ranges of large reads, and parts of large writes. Parts need 5 MiB or more, and all but the last one the same size.
  static let partBytes = 8 << 20
  /// Ranges on their way at once for one read.
  static let window = 4

  /// - Parameter environment: where credentials, endpoint and profile may stand (`AWS_...`).
  /// - Throws: `INVALID_ARGUMENT` for an endpoint or credentials that cannot be; no request is made.
  package init(
    _ settings: S3Settings, environment: [String: String], retries: RetryPolicy = RetryPolicy(),
    timeouts: S3Timeouts = S3Timeouts()
  ) throws(Failure) {
    name = settings.location
    rootPrefix = settings.prefix.isEmpty ? "" : settings.prefix + "/"
    client = try S3Client(
      settings.completed(from: environment), CredentialSource(environment: environment, file: settings.credentialsFile),
      retries: retries, timeouts: timeouts)
  }

  package var movesAtOnce: Bool { false }

  /// The key of a path.
  func key(_ path: String) throws(Failure) -> String {
    try ObjectPath.check(path)
    let key = rootPrefix + path
    guard key.utf8.count <= S3Key.mostBytes else {
      throw Failure(
        .pathNotAllowed, "'\(path.prefix(100))...' makes a key of \(key.utf8.count) bytes; S3 allows \(S3Key.mostBytes)")
    }
    return key
  }

  /// The path of a key that a listing gave; nil for one that cannot be a path (of other programs: `a//b`, `a/`).
  func path(_ key: String) -> String? {
    guard key.hasPrefix(rootPrefix) else { return nil }
    let path = String(key.dropFirst(rootPrefix.count))
    return (try? ObjectPath.check(path)) == nil ? nil : path
  }

  func notFound(_ path: String) -> Failure { Failure(.fileNotFound, "file '\(path)' does not exist in \(name)") }

  /// An answer that is expected in general and no success here.
  func failure(_ response: S3Response, _ doing: String) -> Failure {
    S3Error(response).failure(doing, store: name, settings: client.settings)
  }

  /// True when a 404 says that the bucket is missing, not the object.
  private func isBucketMissing(_ response: S3Response) -> Bool { S3Error(response).code == "NoSuchBucket" }

  // MARK: reading

  package func head(_ path: String) throws(Failure) -> ObjectInfo? {
    if let info = try object(path) { return info }
    let listing = try page(S3Listing.Query(prefix: try key(path) + "/", delimiter: nil, limit: 1))
    guard let first = listing.objects.first else { return nil }
    return ObjectInfo(path: path, size: 0, modified: first.modified, isFolder: true)
  }

  /// Size, time and tag of an object; nil when there is none.
  private func object(_ path: String) throws(Failure) -> ObjectInfo? {
    guard let response = try headers(path) else { return nil }
    guard let size = response.fields.first(name: "content-length").flatMap({ Int($0) }), size >= 0 else {
      throw Failure(.ioError, "cannot look at '\(path)' in \(name): the server does not say its size")
    }
    let modified = response.fields.first(name: "last-modified").flatMap(HTTPDate.parse) ?? Instant(seconds: 0)
    return ObjectInfo(path: path, size: size, modified: modified, tag: response.entityTag)
  }

  /// The answer to HEAD; nil when there is no object.
  func headers(_ path: String, isInterruptible: Bool = true) throws(Failure) -> S3Response? {
    var request = S3Request(.HEAD, try key(path))
    request.expected = [404]
    request.isInterruptible = isInterruptible
    let response = try client.send(request, "look at '\(path)'").response
    return response.isGood ? response : nil
  }

  package func read(_ path: String) throws(Failure) -> Buffer {
    let key = try key(path)
    // An object replaced between two ranges is read anew; one replaced all the time is not waited for.
    for _ in 0..<5 {
      var request = S3Request(.GET, key)
      request.fields = [S3Request.range(0..<S3Store.partBytes)]
      request.landing = .beginning(limitBytes: S3Store.partBytes)
      request.expected = [404, 416]
      let response = try client.send(request, "read '\(path)'").response
      switch response.status {
      case 404: throw isBucketMissing(response) ? failure(response, "read '\(path)'") : notFound(path)
      case 416:
        // No byte 0: an empty object.
        guard let info = try object(path) else { throw notFound(path) }
        if info.size == 0 { return try Buffer(byteCount: 0) }
      default:
        guard let buffer = response.buffer else { throw Failure(.internalError, "an answer without its buffer") }
        let first = response.status == 206 ? min(buffer.byteCount, S3Store.partBytes) : buffer.byteCount
        if first == buffer.byteCount { return buffer }
        if try fetch(path, key, first..<buffer.byteCount, into: buffer, at: first, tag: response.entityTag) { return buffer }
      }
    }
    throw Failure(.ioError, "cannot read '\(path)' in \(name): it was replaced again and again meanwhile; try again later")
  }

  package func read(_ path: String, range: Range<Int>) throws(Failure) -> Buffer {
    let key = try key(path)
    guard range.lowerBound >= 0 else { throw Failure(.invalidArgument, "bytes \(range) of '\(path)' are not possible") }
    for _ in 0..<5 {
      if range.count <= S3Store.partBytes, !range.isEmpty {
        let buffer = try Buffer(byteCount: range.count, zeroed: false)
        _ = try fetch(path, key, range, into: buffer, at: 0, tag: nil)
        return buffer
      }
      // HTTP has no empty range; and parallel ranges must be of one version.
      guard let info = try object(path) else { throw notFound(path) }
      guard range.upperBound <= info.size else { throw outside(path, range, size: info.size) }
      let buffer = try Buffer(byteCount: range.count, zeroed: false)
      if range.isEmpty { return buffer }
      if try fetch(path, key, range, into: buffer, at: 0, tag: info.tag) { return buffer }
    }
    throw Failure(.ioError, "cannot read '\(path)' in \(name): it was replaced again and again meanwhile; try again later")
  }

  /// Reads `range` of an object into `buffer` from `offset` on, several parts at once.
  /// - Parameter tag: of the version that is meant; nil: whatever there is (one part only).
  /// - Returns: false when another version has taken its place.
  private func fetch(_ path: String, _ key: String, _ range: Range<Int>, into buffer: Buffer, at offset: Int, tag: String?)
    throws(Failure) -> Bool
  {
    var pending: [Exchange] = []
    // Whatever happens: nothing may write into the buffer after this returns.
    defer { for exchange in pending { exchange.giveUp() } }
    var next = range.lowerBound
    while next < range.upperBound || !pending.isEmpty {
      if next < range.upperBound, pending.count < S3Store.window {
        let part = next..<min(range.upperBound, next + S3Store.partBytes)
        var request = S3Request(.GET, key)
        request.fields = [S3Request.range(part)]
        if let tag { request.fields.append(("if-match", tag)) }
        request.landing = .part(of: buffer, offset: offset + (part.lowerBound - range.lowerBound), range: part)
        request.expected = [404, 412, 416]
        pending.append(try client.start(request))
        next = part.upperBound
        continue
      }
      let response = try client.finish(pending[0], "read '\(path)'").response
      pending.removeFirst()
      switch response.status {
      case 404: throw isBucketMissing(response) ? failure(response, "read '\(path)'") : notFound(path)
      case 412: return false
      case 416:
        guard let info = try object(path) else { throw notFound(path) }
        throw outside(path, range, size: info.size)
      default:
        if let size = response.objectSize, range.upperBound > size { throw outside(path, range, size: size) }
      }
    }
    return true
  }

  private func outside(_ path: String, _ range: Range<Int>, size: Int) -> Failure {
    Failure(
      .corruptData, "'\(path)' in \(name) has \(size) bytes; \(range.lowerBound) to \(range.upperBound) were asked for")
  }

  // MARK: writing

  package func put(_ path: String, _ bytes: [UInt8]) throws(Failure) {
    var request = S3Request(.PUT, try key(path))
    request.setBody(bytes)
    _ = try client.send(request, "write '\(path)'")
  }

  package func create(_ path: String) throws(Failure) -> any ObjectWriter { S3Writer(self, path: path, key: try key(path)) }

  package func delete(_ path: String) throws(Failure) {
    var request = S3Request(.DELETE, try key(path))
    request.expected = [404]
    request.isInterruptible = false
    let response = try client.send(request, "delete '\(path)'").response
    if response.status == 404, isBucketMissing(response) { throw failure(response, "delete '\(path)'") }
  }

  // MARK: put if absent

  /// The name of the metadata that tells whose put an object came from.
  private static let ownerField = "x-amz-meta-moonlake-put"

  /// The outcome is known even when the answer to a successful put is lost: each put carries a random id as metadata of the
  /// object, and when a later try finds the name taken, the id says by whom.
  package func putIfAbsent(_ path: String, _ bytes: [UInt8]) throws(Failure) -> PutResult {
    let key = try key(path)
    try requireConditionalPut()
    let owner = randomUUID()
    let doing = "write '\(path)', if it is absent,"
    let answer: S3Client.Answer
    do throws(Failure) { answer = try client.send(S3Store.conditional(key, bytes, owner), doing) } catch {
      // Tries ended without a clear answer: one more look decides, if the server lets us.
      if error.code == .ioError, error.details["http_status"] == nil || S3Store.isPassing(error),
        let isOwn = try? isOwn(path, owner, bytes)
      {
        return isOwn ? .written : .alreadyExists
      }
      throw error
    }
    if answer.response.isGood { return .written }
    if answer.isAfterLoss, try isOwn(path, owner, bytes) == true { return .written }
    return .alreadyExists
  }

  private static func isPassing(_ failure: Failure) -> Bool {
    guard let status = failure.details["http_status"]?.intValue else { return false }
    return status == 409 || status >= 500
  }

  private static func conditional(_ key: String, _ bytes: [UInt8], _ owner: String) -> S3Request {
    var request = S3Request(.PUT, key)
    request.setBody(bytes)
    request.fields = [("if-none-match", "*"), (ownerField, owner)]
    request.expected = [412]
    request.isInterruptible = false
    return request
  }

  /// Whether the object at `path` came from the put `owner`; nil when there is none. A server that does not keep metadata is
  /// asked for the bytes.
  private func isOwn(_ path: String, _ owner: String, _ bytes: [UInt8]) throws(Failure) -> Bool? {
    guard let response = try headers(path, isInterruptible: false) else { return nil }
    if let found = response.fields.first(name: S3Store.ownerField) { return found == owner }
    guard response.fields.first(name: "content-length") == String(bytes.count) else { return false }
    return try read(path).array() == bytes
  }

  /// A server that ignores `If-None-Match` would let two commits take one version: the second one would silently replace the
  /// first. Tried once, with an object that is put twice and deleted.
  /// - Throws: `UNSUPPORTED`.
  private func requireConditionalPut() throws(Failure) {
    if conditionalPut.withLock({ $0 }) { return }
    let path = ".moonlake-probe-\(randomUUID())"
    let key = try key(path)
    let doing = "try a conditional write of '\(path)'"
    func refused(_ why: String) -> Failure {
      Failure(.unsupported, "\(name): the server \(why) conditional writes (If-None-Match), without which no commit is safe")
    }
    var statuses: [UInt] = []
    for _ in 0..<2 {
      var request = S3Store.conditional(key, [], randomUUID())
      request.expected = [412, 501]
      let answer = try client.send(request, doing)
      if answer.response.status == 501 { throw refused("does not know") }
      statuses.append(answer.response.status)
      // The second answer of a lost first one says it, too.
      if answer.response.status == 412 { break }
    }
    try delete(path)
    guard statuses.last == 412 else { throw refused("ignores") }
    conditionalPut.withLock { $0 = true }
  }
}
