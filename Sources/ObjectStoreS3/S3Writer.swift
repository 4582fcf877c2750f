import Core
import NIOCore
import NIOHTTP1
import ObjectStore

/// Writes one object: a small one with one PUT, a larger one as a multipart upload of 8 MiB parts, two of them on their way while the
/// next one is gathered (24 MiB in all).
/// Source: docs.aws.amazon.com/AmazonS3/latest/userguide/mpuoverview.html
///
/// Parts of an upload that was neither finished nor aborted (a killed process) take room until the bucket's lifecycle rule for
/// incomplete uploads removes them; nobody sees them.
final class S3Writer: ObjectWriter {
  private let store: S3Store
  private let path: String
  private let key: String
  private(set) var count = 0
  private var isOpen = true
  private var part = ByteBuffer()
  private var upload: String?
  private var pending: [(number: Int, exchange: Exchange)] = []
  private var finished: [(number: Int, tag: String)] = []

  private static let mostPending = 2
  /// The protocol's limit.
  private static let mostParts = 10_000

  init(_ store: S3Store, path: String, key: String) {
    self.store = store
    self.path = path
    self.key = key
  }

  deinit { abort() }

  private var doing: String { "write '\(path)'" }
  private var client: S3Client { store.client }

  private func requireOpen() throws(Failure) {
    guard isOpen else { throw Failure(.internalError, "the writer of '\(path)' is closed") }
  }

  func append(_ bytes: UnsafeRawBufferPointer) throws(Failure) {
    try requireOpen()
    count += bytes.count
    var rest = bytes[...]
    while !rest.isEmpty {
      if part.capacity == 0 { part.reserveCapacity(min(S3Store.partBytes, max(64 << 10, rest.count))) }
      let some = rest.prefix(S3Store.partBytes - part.readableBytes)
      part.writeBytes(some)
      rest = rest.dropFirst(some.count)
      if part.readableBytes == S3Store.partBytes { try send() }
    }
  }

  func finish() throws(Failure) {
    try requireOpen()
    guard upload != nil else {
      var request = S3Request(.PUT, key)
      request.setBody(part)
      _ = try client.send(request, doing)
      close()
      return
    }
    do throws(Failure) {
      if part.readableBytes > 0 { try send() }
      while !pending.isEmpty { try collect() }
      try complete()
    } catch {
      abort()
      throw error
    }
    close()
  }

  func abort() {
    guard isOpen else { return }
    for (_, exchange) in pending { exchange.giveUp() }
    if let upload {
      var request = S3Request(.DELETE, key)
      request.query = [("uploadId", upload)]
      request.expected = [404]
      request.isInterruptible = false
      _ = try? client.send(request, "give up '\(path)'")
    }
    close()
  }

  private func close() {
    isOpen = false
    part = ByteBuffer()
    pending = []
    finished = []
    upload = nil
  }

  // MARK: multipart

  /// Puts the gathered part on its way.
  private func send() throws(Failure) {
    let upload: String
    if let known = self.upload { upload = known } else { upload = try begin() }
    self.upload = upload
    let number = finished.count + pending.count + 1
    guard number <= S3Writer.mostParts else {
      throw Failure(
        .unsupported,
        "'\(path)' grows beyond the \(S3Writer.mostParts) parts of \(S3Store.partBytes >> 20) MiB that S3 allows an object")
    }
    while pending.count >= S3Writer.mostPending { try collect() }
    var request = S3Request(.PUT, key)
    request.query = [("partNumber", String(number)), ("uploadId", upload)]
    request.setBody(part)
    pending.append((number, try client.start(request)))
    part = ByteBuffer()
  }

  /// Waits for the oldest part on its way.
  private func collect() throws(Failure) {
    let (number, exchange) = pending[0]
    let response = try client.finish(exchange, doing).response
    pending.removeFirst()
    guard let tag = response.entityTag, !tag.isEmpty else {
      throw Failure(.ioError, "cannot \(doing) in \(store.name): the server gives no tag for part \(number)")
    }
    finished.append((number, tag))
  }

  /// - Returns: the upload's id. A lost answer leaves an upload that nobody finishes, which is harmless.
  private func begin() throws(Failure) -> String {
    var request = S3Request(.POST, key)
    request.query = [("uploads", "")]
    let response = try client.send(request, doing).response
    let xml: S3XML
    do throws(Failure) { xml = try S3XML(parsing: response.text) } catch {
      throw error.context("cannot \(doing) in \(store.name)")
    }
    guard let id = xml.text("UploadId"), !id.isEmpty else { throw store.failure(response, doing) }
    return id
  }

  private func complete() throws(Failure) {
    guard let upload else { return }
    var text = "<CompleteMultipartUpload>"
    for (number, tag) in finished {
      text += "<Part><PartNumber>\(number)</PartNumber><ETag>\(S3XML.escaped(tag))</ETag></Part>"
    }
    text += "</CompleteMultipartUpload>"
    var request = S3Request(.POST, key)
    request.query = [("uploadId", upload)]
    request.setBody(Array(text.utf8))
    request.fields = [("content-type", "application/xml")]
    request.expected = [404]
    request.isInterruptible = false
    let answer = try client.send(request, doing)
    // After a lost answer the upload may be gone because it is complete.
    if answer.response.status == 404 {
      if answer.isAfterLoss, try store.head(path)?.size == count { return }
      throw store.failure(answer.response, doing)
    }
    // The status is sent before the work is done: what failed is in the body.
    guard let xml = try? S3XML(parsing: answer.response.text), xml.name == "CompleteMultipartUploadResult" else {
      throw store.failure(answer.response, doing)
    }
  }
}
