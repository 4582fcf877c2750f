import Core
import Foundation
import NIOCore
import NIOHTTP1
import NIOPosix
import ObjectStoreS3
import Synchronization

/// An S3 server in this process, for what a real one does too seldom: faults on demand. Objects are in memory; signatures are
/// not checked (SeaweedFS does that).
final class FakeS3: Sendable {
  static let bucket = "lake"

  struct Call: Sendable {
    var method: String
    /// Without the bucket; `""` for the bucket.
    var key: String
    var query: [String: String]
    var fields: [String: String]
    var body: [UInt8]
    /// `PUT key`, `GET key bytes=0-9`, `LIST prefix`, `POST key?uploads`: for tests to compare.
    var summary: String {
      if key.isEmpty { return query["delete"] != nil ? "DELETE many" : "LIST \(query["prefix"] ?? "")" }
      let part =
        query["partNumber"].map { "?part=\($0)" }
        ?? (query["uploads"] != nil ? "?uploads" : query["uploadId"] != nil ? "?upload" : "")
      return "\(method) \(key)\(part)"
    }
  }

  enum Fault: Sendable {
    /// Answers so and does nothing.
    case answer(Int, code: String = "", fields: [(String, String)] = [], body: String? = nil)
    /// Does what is asked and closes the connection without an answer.
    case loseAnswer
    /// Does what is asked and answers with this status.
    case doAndAnswer(Int, code: String)
    /// Closes the connection, having done nothing.
    case close
    /// Never answers.
    case hang
    /// Sends the head and this many bytes of the body, then closes.
    case cut(Int)
    /// Replaces fields of the good answer.
    case fields([(String, String)])
    /// Ignores `If-None-Match` and `Range`, as servers do that do not know them.
    case ignoreConditions
  }

  struct Object: Sendable {
    var bytes: [UInt8]
    var tag: String
    var meta: [String: String]
    var modified = Instant.now
  }
  struct State: Sendable {
    var objects: [String: Object] = [:]
    var uploads: [String: (key: String, parts: [Int: [UInt8]])] = [:]
    var calls: [Call] = []
    var serial = 0
  }
  let state = Mutex(State())
  /// Entries of one page of a listing, at most.
  let pageLimit: Int
  /// The server's clock, ahead of ours.
  let clockOffsetSeconds: Int64
  let keepsMetadata: Bool
  private let fault: @Sendable (Call, _ number: Int) -> Fault?
  private let channel: Mutex<(any Channel)?> = Mutex(nil)
  let port: Int

  private static let loops = MultiThreadedEventLoopGroup(numberOfThreads: 1)

  /// - Parameter fault: what goes wrong with a call; `number` counts the calls of the same summary from 1.
  init(
    pageLimit: Int = 1000, clockOffsetSeconds: Int64 = 0, keepsMetadata: Bool = true,
    _ fault: @escaping @Sendable (Call, _ number: Int) -> Fault? = { _, _ in nil }
  ) throws {
    self.fault = fault
    self.pageLimit = pageLimit
    self.clockOffsetSeconds = clockOffsetSeconds
    self.keepsMetadata = keepsMetadata
    let box = Box()
    let channel = try ServerBootstrap(group: FakeS3.loops)
      .serverChannelOption(ChannelOptions.socketOption(.so_reuseaddr), value: 1)
      .childChannelInitializer { channel in
        channel.eventLoop.makeCompletedFuture {
          try channel.pipeline.syncOperations.configureHTTPServerPipeline()
          try channel.pipeline.syncOperations.addHandler(Connection(box))
        }
      }
      .bind(host: "127.0.0.1", port: 0).wait()
    port = channel.localAddress?.port ?? 0
    self.channel.withLock { $0 = channel }
    box.server.withLock { $0 = self }
  }

  /// What connections know of the server; it lives until the process ends.
  final class Box: Sendable {
    let server = Mutex<FakeS3?>(nil)
  }

  func stop() {
    channel.withLock { channel in
      try? channel?.close().wait()
      channel = nil
    }
  }

  /// A store over this server. Small delays, so that tests of faults are quick.
  func store(prefix: String = "", attempts: Int = 4, silenceSeconds: Double = 5) throws -> S3Store {
    var settings = try S3Settings(location: "s3://\(FakeS3.bucket)" + (prefix.isEmpty ? "" : "/" + prefix), allowsHTTP: true)
    settings.endpoint = "http://127.0.0.1:\(port)"
    var retries = RetryPolicy()
    retries.attempts = attempts
    retries.firstDelaySeconds = 0.002
    var timeouts = S3Timeouts()
    timeouts.silenceSeconds = silenceSeconds
    return try S3Store(
      settings, environment: ["AWS_ACCESS_KEY_ID": "AKIDEXAMPLE", "AWS_SECRET_ACCESS_KEY": "verysecret"], retries: retries,
      timeouts: timeouts)
  }

  /// Summaries of the calls so far, those of the probe for conditional puts left out.
  var calls: [String] { state.withLock { $0.calls.map(\.summary).filter { !$0.contains(".moonlake-probe-") } } }

  func bytes(_ key: String) -> [UInt8]? { state.withLock { $0.objects[key]?.bytes } }

  // MARK: answers

  struct Answer: Sendable {
    var status = 200
    var fields: [(String, String)] = []
    var body: [UInt8] = []
  }

  func receive(_ call: Call) -> (Answer?, cut: Int?, hangs: Bool) {
    let number = state.withLock { state in
      state.calls.append(call)
      return state.calls.filter { $0.summary == call.summary }.count
    }
    let isProbe = call.key.contains(".moonlake-probe-")
    let fault = isProbe && number > 2 ? nil : self.fault(call, number)
    let time = Instant(seconds: Instant.now.seconds + clockOffsetSeconds)
    if let stamp = call.fields["x-amz-date"], abs(FakeS3.seconds(stamp) - time.seconds) > 900 {
      return (FakeS3.error(403, "RequestTimeTooSkewed"), nil, false)
    }
    switch fault {
    case nil: return (perform(call), nil, false)
    case .answer(let status, let code, let fields, let body)?:
      var answer = FakeS3.error(status, code, body: body)
      answer.fields += fields
      return (answer, nil, false)
    case .loseAnswer?:
      _ = perform(call)
      return (nil, nil, false)
    case .doAndAnswer(let status, let code)?:
      _ = perform(call)
      return (FakeS3.error(status, code), nil, false)
    case .close?: return (nil, nil, false)
    case .hang?: return (nil, nil, true)
    case .cut(let count)?: return (perform(call), count, false)
    case .fields(let fields)?:
      var answer = perform(call)
      for (name, value) in fields {
        answer.fields = answer.fields.filter { $0.0 != name } + (value.isEmpty ? [] : [(name, value)])
      }
      return (answer, nil, false)
    case .ignoreConditions?:
      var plain = call
      plain.fields["if-none-match"] = nil
      plain.fields["range"] = nil
      return (perform(plain), nil, false)
    }
  }

  /// 20130524T000000Z in seconds.
  static func seconds(_ stamp: String) -> Int64 {
    let c = Array(stamp)
    guard c.count == 16 else { return 0 }
    func part(_ range: Range<Int>) -> String { String(c[range]) }
    return Instant("\(part(0..<4))-\(part(4..<6))-\(part(6..<8))T\(part(9..<11)):\(part(11..<13)):\(part(13..<15))Z")?.seconds
      ?? 0
  }

  static func error(_ status: Int, _ code: String, body: String? = nil) -> Answer {
    let text =
      body ?? "<?xml version=\"1.0\"?>\n<Error><Code>\(code)</Code><Message>fake</Message><RequestId>r-1</RequestId></Error>"
    return Answer(status: status, fields: [("content-type", "application/xml")], body: Array(text.utf8))
  }

  static func xml(_ text: String) -> Answer {
    Answer(
      fields: [("content-type", "application/xml")], body: Array(("<?xml version=\"1.0\" encoding=\"UTF-8\"?>\n" + text).utf8))
  }

  static func escaped(_ text: String) -> String {
    text.replacingOccurrences(of: "&", with: "&amp;").replacingOccurrences(of: "<", with: "&lt;").replacingOccurrences(
      of: ">", with: "&gt;")
  }

  private func perform(_ call: Call) -> Answer {
    state.withLock { state in
      if call.key.isEmpty { return call.query["delete"] != nil ? deleteMany(call, &state) : list(call, state) }
      switch call.method {
      case "PUT":
        if let source = call.fields["x-amz-copy-source"]?.removingPercentEncoding?.dropFirst("/\(FakeS3.bucket)/".count) {
          guard let object = state.objects[String(source)] else { return FakeS3.error(404, "NoSuchKey") }
          state.objects[call.key] = object
          return FakeS3.xml("<CopyObjectResult><ETag>\(object.tag)</ETag></CopyObjectResult>")
        }
        if let id = call.query["uploadId"], let number = call.query["partNumber"].flatMap({ Int($0) }) {
          guard state.uploads[id] != nil else { return FakeS3.error(404, "NoSuchUpload") }
          state.uploads[id]?.parts[number] = call.body
          return Answer(fields: [("etag", "\"part-\(number)\"")])
        }
        if call.fields["if-none-match"] == "*", state.objects[call.key] != nil {
          return FakeS3.error(412, "PreconditionFailed")
        }
        return Answer(fields: [("etag", store(call.key, call.body, call.fields, &state))])
      case "POST" where call.query["uploads"] != nil:
        state.serial += 1
        let id = "up/load+\(state.serial)"
        state.uploads[id] = (call.key, [:])
        return FakeS3.xml("<InitiateMultipartUploadResult><UploadId>\(id)</UploadId></InitiateMultipartUploadResult>")
      case "POST":
        guard let id = call.query["uploadId"], let upload = state.uploads[id], let xml = try? S3XML(parsing: call.body) else {
          return FakeS3.error(404, "NoSuchUpload")
        }
        var bytes: [UInt8] = []
        for part in xml.all("Part") {
          guard let number = part.text("PartNumber").flatMap({ Int($0) }), let body = upload.parts[number],
            part.text("ETag") == "\"part-\(number)\""
          else { return FakeS3.error(400, "InvalidPart") }
          bytes += body
        }
        state.uploads[id] = nil
        let tag = store(call.key, bytes, call.fields, &state)
        return FakeS3.xml("<CompleteMultipartUploadResult><ETag>\(tag)</ETag></CompleteMultipartUploadResult>")
      case "DELETE":
        if let id = call.query["uploadId"] { state.uploads[id] = nil } else { state.objects[call.key] = nil }
        return Answer(status: 204)
      default: return read(call, state)
      }
    }
  }

  private func store(_ key: String, _ bytes: [UInt8], _ fields: [String: String], _ state: inout State) -> String {
    state.serial += 1
    let tag = "\"tag-\(state.serial)\""
    state.objects[key] = Object(
      bytes: bytes, tag: tag, meta: keepsMetadata ? fields.filter { $0.key.hasPrefix("x-amz-meta-") } : [:])
    return tag
  }

  private func read(_ call: Call, _ state: State) -> Answer {
    guard let object = state.objects[call.key] else { return FakeS3.error(404, "NoSuchKey") }
    if let wanted = call.fields["if-match"], wanted != object.tag { return FakeS3.error(412, "PreconditionFailed") }
    var answer = Answer(fields: [("etag", object.tag), ("last-modified", FakeS3.date(object.modified))], body: object.bytes)
    for (name, value) in object.meta { answer.fields.append((name, value)) }
    if let range = call.fields["range"] {
      let ends = range.dropFirst("bytes=".count).split(separator: "-").compactMap { Int($0) }
      guard ends.count == 2, ends[0] < object.bytes.count else { return FakeS3.error(416, "InvalidRange") }
      let last = min(ends[1], object.bytes.count - 1)
      answer.status = 206
      answer.body = Array(object.bytes[ends[0]...last])
      answer.fields.append(("content-range", "bytes \(ends[0])-\(last)/\(object.bytes.count)"))
    }
    return answer
  }

  static func date(_ time: Instant) -> String {
    let format = DateFormatter()
    format.locale = Locale(identifier: "en_US_POSIX")
    format.timeZone = TimeZone(identifier: "GMT")
    format.dateFormat = "EEE, dd MMM yyyy HH:mm:ss 'GMT'"
    return format.string(from: Date(timeIntervalSince1970: Double(time.seconds)))
  }

  private func list(_ call: Call, _ state: State) -> Answer {
    let prefix = call.query["prefix"] ?? ""
    var entries: [String: Object?] = [:]
    for (key, object) in state.objects where key.hasPrefix(prefix) {
      let rest = key.dropFirst(prefix.count)
      if let delimiter = call.query["delimiter"], let end = rest.range(of: delimiter) {
        entries[prefix + rest[..<end.upperBound]] = .some(nil)
      } else {
        entries[key] = object
      }
    }
    let after = call.query["continuation-token"] ?? ""
    let names = entries.keys.sorted { $0.utf8.lexicographicallyPrecedes($1.utf8) }.filter {
      after.utf8.lexicographicallyPrecedes($0.utf8)
    }
    let page = names.prefix(min(pageLimit, call.query["max-keys"].flatMap { Int($0) } ?? 1000))
    var text = "<ListBucketResult xmlns=\"http://s3.amazonaws.com/doc/2006-03-01/\"><Name>\(FakeS3.bucket)</Name>"
    for name in page {
      if let object = entries[name] ?? nil {
        text += "<Contents><Key>\(FakeS3.escaped(name))</Key><Size>\(object.bytes.count)</Size>"
        text += "<LastModified>\(object.modified.text(fractionDigits: 3))</LastModified><ETag>\(object.tag)</ETag></Contents>"
      } else {
        text += "<CommonPrefixes><Prefix>\(FakeS3.escaped(name))</Prefix></CommonPrefixes>"
      }
    }
    if page.count < names.count, let last = page.last {
      text += "<IsTruncated>true</IsTruncated><NextContinuationToken>\(FakeS3.escaped(last))</NextContinuationToken>"
    } else {
      text += "<IsTruncated>false</IsTruncated>"
    }
    return FakeS3.xml(text + "</ListBucketResult>")
  }

  private func deleteMany(_ call: Call, _ state: inout State) -> Answer {
    guard let xml = try? S3XML(parsing: call.body) else { return FakeS3.error(400, "MalformedXML") }
    for object in xml.all("Object") { if let key = object.text("Key") { state.objects[key] = nil } }
    return FakeS3.xml("<DeleteResult/>")
  }
}

/// One connection to the fake server.
private final class Connection: ChannelInboundHandler {
  typealias InboundIn = HTTPServerRequestPart
  typealias OutboundOut = HTTPServerResponsePart

  private let box: FakeS3.Box
  private var head: HTTPRequestHead?
  private var body = ByteBuffer()

  init(_ box: FakeS3.Box) { self.box = box }

  func channelRead(context: ChannelHandlerContext, data: NIOAny) {
    switch unwrapInboundIn(data) {
    case .head(let head):
      self.head = head
      body = ByteBuffer()
    case .body(var part): body.writeBuffer(&part)
    case .end: answer(context)
    }
  }

  private func answer(_ context: ChannelHandlerContext) {
    guard let head, let server = box.server.withLock({ $0 }) else { return context.close(promise: nil) }
    var fields: [String: String] = [:]
    for (name, value) in head.headers { fields[name.lowercased()] = value }
    let parts = head.uri.split(separator: "?", maxSplits: 1, omittingEmptySubsequences: false)
    var query: [String: String] = [:]
    for item in parts.count > 1 ? parts[1].split(separator: "&") : [] {
      let pair = item.split(separator: "=", maxSplits: 1, omittingEmptySubsequences: false)
      query[String(pair[0]).removingPercentEncoding ?? ""] = pair.count > 1 ? String(pair[1]).removingPercentEncoding : ""
    }
    let path = String(parts[0]).removingPercentEncoding ?? ""
    let call = FakeS3.Call(
      method: head.method.rawValue, key: String(path.dropFirst("/\(FakeS3.bucket)/".count)), query: query, fields: fields,
      body: Array(body.readableBytesView))
    let (answer, cut, hangs) = server.receive(call)
    if hangs { return }
    guard let answer else { return context.close(promise: nil) }
    var headers = HTTPHeaders(answer.fields)
    let time = Instant(seconds: Instant.now.seconds + server.clockOffsetSeconds)
    headers.replaceOrAdd(name: "date", value: FakeS3.date(time))
    if headers["content-length"].isEmpty { headers.add(name: "content-length", value: String(answer.body.count)) }
    context.write(
      wrapOutboundOut(.head(HTTPResponseHead(version: .http1_1, status: .init(statusCode: answer.status), headers: headers))),
      promise: nil)
    let isBare = head.method == .HEAD || answer.status == 204
    let bytes = isBare ? [] : cut.map { Array(answer.body.prefix($0)) } ?? answer.body
    if !bytes.isEmpty { context.write(wrapOutboundOut(.body(.byteBuffer(ByteBuffer(bytes: bytes)))), promise: nil) }
    if cut != nil {
      let context = NIOLoopBound(context, eventLoop: context.eventLoop)
      context.value.writeAndFlush(wrapOutboundOut(.body(.byteBuffer(ByteBuffer())))).whenComplete { _ in
        context.value.close(promise: nil)
      }
      return
    }
    context.writeAndFlush(wrapOutboundOut(.end(nil)), promise: nil)
  }

  func errorCaught(context: ChannelHandlerContext, error: any Error) { context.close(promise: nil) }
}
