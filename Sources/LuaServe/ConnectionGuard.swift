import Core
import HTTPTypes
import NIOCore
import NIOHTTP1
import NIOHTTPTypes
import NIOHTTPTypesHTTP1
import Synchronization

/// What the network side knows of one connection, for the code that answers its requests.
final class Connection: Sendable {
  private struct State {
    var current: PendingRequest?
    var hasLeft = false
  }
  private let state = Mutex(State())

  /// The request that is being answered. False when the client has left already.
  func begin(_ request: PendingRequest) -> Bool {
    state.withLock {
      $0.current = request
      return !$0.hasLeft
    }
  }
  func end() { state.withLock { $0.current = nil } }

  /// The client closed its side; returns the request it no longer waits for.
  func leave() -> PendingRequest? {
    state.withLock {
      $0.hasLeft = true
      return $0.current
    }
  }
}

/// The open connections by their channel.
final class ConnectionTable: Sendable {
  private let connections = Mutex<[ObjectIdentifier: Connection]>([:])
  func add(_ channel: any Channel) -> Connection {
    let connection = Connection()
    connections.withLock { $0[ObjectIdentifier(channel)] = connection }
    return connection
  }
  func find(_ channel: any Channel) -> Connection? { connections.withLock { $0[ObjectIdentifier(channel)] } }
  func remove(_ channel: any Channel) { connections.withLock { $0[ObjectIdentifier(channel)] = nil } }
  var count: Int { connections.withLock { $0.count } }
}

/// Stands between the HTTP parser and Hummingbird, one per connection, on its event loop.
///
/// Passes on whole requests only, so that no handler sees a body that was cut off, and keeps the deadlines that a bare
/// idle timer cannot keep: a head must come within `headSeconds` of connecting and within `idleSeconds` of the last answer,
/// a body within `bodySeconds` of its head, and a client must take an answer within `writeSeconds`. A drop of a byte now
/// and then extends none of them. Requests that cannot be parsed or are too large are answered in the contract's error
/// shape, after the answers that came before them, and the connection is closed without cutting the answer off.
final class ConnectionGuard: ChannelDuplexHandler, RemovableChannelHandler {
  typealias InboundIn = HTTPRequestPart
  typealias InboundOut = HTTPRequestPart
  typealias OutboundIn = HTTPResponsePart
  typealias OutboundOut = HTTPResponsePart

  struct Limits: Sendable {
    var bodyBytes: Int
    var headSeconds: Double
    var bodySeconds: Double
    var idleSeconds: Double
    var writeSeconds: Double
    /// How long a closed connection is still read, so that the client gets to see the last answer.
    var lingerSeconds = 1.0
  }

  private enum Phase {
    case betweenRequests
    case receiving(HTTPRequest, ByteBuffer?)
    /// The last request is in: what follows is ignored. A rejection is written once the earlier answers are out.
    case last(Answer?)
    /// The last answer is written; the rest of the input is thrown away.
    case closing
  }

  private let limits: Limits
  private let table: ConnectionTable
  private let queue: RequestQueue
  private let statistics: Statistics
  private var connection: Connection?
  private var phase = Phase.betweenRequests
  private var unanswered = 0
  private var timer: Scheduled<Void>?
  private var writeTimer: Scheduled<Void>?

  init(limits: Limits, table: ConnectionTable, queue: RequestQueue, statistics: Statistics) {
    self.limits = limits
    self.table = table
    self.queue = queue
    self.statistics = statistics
  }

  // MARK: life of the connection

  func handlerAdded(context: ChannelHandlerContext) {
    connection = table.add(context.channel)
    let operations = context.pipeline.syncOperations
    if let codec = try? operations.handler(type: HTTP1ToHTTPServerCodec.self) {
      try? operations.addHandler(OldClientHandler(), position: .before(codec))
    }
    setTimer(context, limits.headSeconds)
  }

  /// A connection that nobody will take any more must end before NIO hands it over: what is handed over and dropped ends the process
  /// (NIOAsyncWriter's precondition, apple/swift-nio#2637).
  func channelActive(context: ChannelHandlerContext) {
    if queue.isClosed { context.close(promise: nil) } else { context.fireChannelActive() }
  }

  func handlerRemoved(context: ChannelHandlerContext) { gone(context) }

  func channelInactive(context: ChannelHandlerContext) {
    gone(context)
    context.fireChannelInactive()
  }

  private func gone(_ context: ChannelHandlerContext) {
    timer?.cancel()
    writeTimer?.cancel()
    timer = nil
    writeTimer = nil
    if case .receiving = phase { queue.noteArriving(-1) }
    phase = .closing
    leave()
    table.remove(context.channel)
  }

  private func leave() {
    if let request = connection?.leave() {
      queue.forget(request)
      request.finish(.left)
    }
  }

  func userInboundEventTriggered(context: ChannelHandlerContext, event: Any) {
    if case .some(.inputClosed) = event as? ChannelEvent {
      // A client that half-closes counts as gone, as with most servers: it cannot be told from one that left.
      switch phase {
      case .last(.some): return
      default:
        leave()
        context.close(promise: nil)
        return
      }
    }
    context.fireUserInboundEventTriggered(event)
  }

  func errorCaught(context: ChannelHandlerContext, error: any Error) {
    guard let error = error as? HTTPParserError else {
      context.fireErrorCaught(error)
      return
    }
    switch error {
    case .headerOverflow:
      reject(context, .error(431, "HEADERS_TOO_LARGE", "the request line or the header fields are too large", closes: true))
    case .invalidEOFState:
      leave()
      context.close(promise: nil)
    default:
      reject(context, .error(400, "INVALID_REQUEST", "this is not a valid HTTP/1.1 request (\(error))", closes: true))
    }
  }

  // MARK: requests

  func channelRead(context: ChannelHandlerContext, data: NIOAny) {
    switch (unwrapInboundIn(data), phase) {
    case (.head(let head), .betweenRequests):
      queue.noteArriving(1)
      phase = .receiving(head, nil)
      let length = head.headerFields[.contentLength].flatMap { Int($0) } ?? 0
      if length > limits.bodyBytes {
        reject(context, .tooLarge(limitBytes: limits.bodyBytes))
        return
      }
      setTimer(context, limits.bodySeconds)
      if head.headerFields[.expect]?.lowercased() == "100-continue", unanswered == 0 {
        context.writeAndFlush(wrapOutboundOut(.head(HTTPResponse(status: .continue))), promise: nil)
      }
    case (.body(var part), .receiving(let head, let body)):
      if (body?.readableBytes ?? 0) + part.readableBytes > limits.bodyBytes {
        reject(context, .tooLarge(limitBytes: limits.bodyBytes))
      } else if var body {
        phase = .receiving(head, nil)  // gives up its hold on the buffer, so that appending does not copy
        body.writeBuffer(&part)
        phase = .receiving(head, body)
      } else {
        phase = .receiving(head, part)
      }
    case (.end, .receiving(let head, let body)):
      timer?.cancel()
      timer = nil
      queue.noteArriving(-1)
      unanswered += 1
      phase =
        head.headerFields[values: .connection].contains { $0.lowercased().contains("close") } ? .last(nil) : .betweenRequests
      context.fireChannelRead(wrapInboundOut(.head(head)))
      if let body { context.fireChannelRead(wrapInboundOut(.body(body))) }
      context.fireChannelRead(wrapInboundOut(.end(nil)))
    default: return
    }
  }

  /// Answers without Hummingbird, after the answers that are still to come, and closes.
  private func reject(_ context: ChannelHandlerContext, _ answer: Answer) {
    switch phase {
    case .last, .closing: return
    case .receiving: queue.noteArriving(-1)
    case .betweenRequests: break
    }
    phase = .last(answer)
    if unanswered == 0 { finish(context) }
  }

  // MARK: answers

  func write(context: ChannelHandlerContext, data: NIOAny, promise: EventLoopPromise<Void>?) {
    if case .closing = phase {
      promise?.fail(ChannelError.ioOnClosedChannel)
      return
    }
    switch unwrapOutboundIn(data) {
    case .head(var head):
      if case .betweenRequests = phase, unanswered == 1, queue.isClosed { phase = .last(nil) }
      if head.headerFields[.connection] == "close" {
        if case .last = phase {} else { phase = .last(nil) }
      } else if case .last(nil) = phase, unanswered == 1 {
        head.headerFields[.connection] = "close"
      }
      context.write(wrapOutboundOut(.head(head)), promise: promise)
    case .body: context.write(data, promise: promise)
    case .end:
      unanswered -= 1
      guard unanswered == 0 else {
        context.write(data, promise: promise)
        return
      }
      switch phase {
      case .betweenRequests:
        setTimer(context, limits.idleSeconds)
        context.write(data, promise: promise)
      case .last:
        context.writeAndFlush(data, promise: promise)
        finish(context)
      case .receiving, .closing: context.write(data, promise: promise)
      }
    }
  }

  /// All answers before it are written: the rejection, if there is one, then the end of the connection.
  private func finish(_ context: ChannelHandlerContext) {
    guard case .last(let rejection) = phase else { return }
    phase = .closing
    if let rejection {
      statistics.count(status: rejection.status)
      let head = HTTPResponse(answer: rejection, requestID: randomUUID())
      context.write(wrapOutboundOut(.head(head)), promise: nil)
      context.write(wrapOutboundOut(.body(ByteBuffer(bytes: rejection.body))), promise: nil)
      context.writeAndFlush(wrapOutboundOut(.end(nil)), promise: nil)
    }
    setTimer(context, queue.isClosed ? limits.lingerSeconds / 4 : limits.lingerSeconds)
    context.close(mode: .output, promise: nil)
  }

  /// The handler behind this one closes as soon as the last answer is written. If bytes of the client were still unread, the
  /// kernel would then tear the connection down and the answer with it, so the end is left to `finish`.
  func close(context: ChannelHandlerContext, mode: CloseMode, promise: EventLoopPromise<Void>?) {
    if case .closing = phase, mode == .all, context.channel.isActive {
      context.channel.closeFuture.cascade(to: promise)
    } else {
      context.close(mode: mode, promise: promise)
    }
  }

  func channelWritabilityChanged(context: ChannelHandlerContext) {
    writeTimer?.cancel()
    writeTimer = nil
    if !context.channel.isWritable {
      let bound = NIOLoopBound(context, eventLoop: context.eventLoop)
      writeTimer = context.eventLoop.scheduleTask(in: .nanoseconds(Int64(limits.writeSeconds * 1e9))) {
        bound.value.close(promise: nil)
      }
    }
    context.fireChannelWritabilityChanged()
  }

  private func setTimer(_ context: ChannelHandlerContext, _ seconds: Double) {
    timer?.cancel()
    let bound = NIOLoopBound((handler: self, context: context), eventLoop: context.eventLoop)
    timer = context.eventLoop.scheduleTask(in: .nanoseconds(Int64(seconds * 1e9))) {
      bound.value.handler.timeIsUp(bound.value.context)
    }
  }

  private func timeIsUp(_ context: ChannelHandlerContext) {
    switch phase {
    case .receiving: reject(context, .bodyTimedOut(seconds: limits.bodySeconds))
    case .betweenRequests, .closing: context.close(promise: nil)
    case .last: break
    }
  }
}

/// Tells the versions apart before the version is lost: HTTP/1.0 clients without keep-alive wait for the connection's end,
/// and need not name a host.
private final class OldClientHandler: ChannelInboundHandler, RemovableChannelHandler {
  typealias InboundIn = HTTPServerRequestPart
  typealias InboundOut = HTTPServerRequestPart

  func channelRead(context: ChannelHandlerContext, data: NIOAny) {
    if case .head(var head) = unwrapInboundIn(data), head.version == .http1_0 || head.version == .http0_9 {
      if !head.isKeepAlive { head.headers.replaceOrAdd(name: "Connection", value: "close") }
      if !head.headers.contains(name: "Host") { head.headers.add(name: "Host", value: "localhost") }
      context.fireChannelRead(wrapInboundOut(.head(head)))
    } else {
      context.fireChannelRead(data)
    }
  }
}
