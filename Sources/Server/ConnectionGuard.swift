import Core
import HTTPTypes
import NIOCore
import NIOHTTP1
import NIOHTTPTypes

/// Watches one connection: a first request must come within `headSeconds`, a body within `bodySeconds` of its head (a longer
/// one: each further MiB of it), and a client that does not read for `writeSeconds` is let go. (How long a kept connection may be idle is Hummingbird's timer.)
/// Errors of the HTTP parser get an answer in the contract's shape, and then the connection ends.
///
/// Stands behind the HTTP decoder, so it sees whole heads: a head that comes byte by byte is one that does not come.
final class ConnectionGuard: ChannelDuplexHandler, RemovableChannelHandler {
  typealias InboundIn = HTTPRequestPart
  typealias InboundOut = HTTPRequestPart
  typealias OutboundIn = HTTPResponsePart
  typealias OutboundOut = HTTPResponsePart

  private let limits: MoonlakeServer.Configuration
  private let metrics: ServerMetrics
  private var reading: Scheduled<Void>?
  private var writing: Scheduled<Void>?
  private var closing: Scheduled<Void>?
  /// Of the body since the timer was set.
  private var bodyBytes = 0
  private static let bodyStepBytes = 1 << 20
  private var isAnswering = false
  private var closesAfterAnswer = false
  /// The connection is about to end: what comes in is dropped.
  private var isDone = false
  private var isCounted = false

  init(limits: MoonlakeServer.Configuration, metrics: ServerMetrics) {
    self.limits = limits
    self.metrics = metrics
  }

  func handlerAdded(context: ChannelHandlerContext) { if context.channel.isActive { begin(context) } }

  func channelActive(context: ChannelHandlerContext) {
    begin(context)
    context.fireChannelActive()
  }

  private func begin(_ context: ChannelHandlerContext) {
    guard !isCounted else { return }
    isCounted = true
    metrics.connection(1)
    expect(
      context, seconds: limits.headTimeoutSeconds, "the head of the request did not come within \(limits.headTimeoutSeconds) s")
  }

  func channelInactive(context: ChannelHandlerContext) {
    finish()
    context.fireChannelInactive()
  }

  func handlerRemoved(context: ChannelHandlerContext) { finish() }

  private func finish() {
    for timer in [reading, writing, closing] { timer?.cancel() }
    if isCounted { metrics.connection(-1) }
    isCounted = false
  }

  private func expectBody(_ context: ChannelHandlerContext) {
    expect(
      context, seconds: limits.bodyTimeoutSeconds, "the body of the request did not come within \(limits.bodyTimeoutSeconds) s")
  }

  /// Ends the connection with 408 unless the timer is taken back within `seconds`.
  private func expect(_ context: ChannelHandlerContext, seconds: Double, _ message: String) {
    reading?.cancel()
    let context = NIOLoopBound(context, eventLoop: context.eventLoop)
    let guardian = NIOLoopBound(self, eventLoop: context.value.eventLoop)
    reading = context.value.eventLoop.scheduleTask(in: .milliseconds(Int64(seconds * 1000))) {
      guardian.value.refuse(context.value, Failure(.requestTimeout, message))
    }
  }

  func channelRead(context: ChannelHandlerContext, data: NIOAny) {
    if isDone { return }
    switch unwrapInboundIn(data) {
    case .head(let head):
      reading?.cancel()
      reading = nil
      if (head.path?.utf8.count ?? 0) > limits.urlLimitBytes {
        return refuse(
          context, Failure(.uriTooLong, "the request's path and query are longer than \(limits.urlLimitBytes) bytes"))
      }
      bodyBytes = 0
      expectBody(context)
    case .body(let part):
      bodyBytes += part.readableBytes
      if bodyBytes >= ConnectionGuard.bodyStepBytes {
        bodyBytes = 0
        expectBody(context)
      }
    case .end:
      reading?.cancel()
      reading = nil
    }
    context.fireChannelRead(data)
  }

  func write(context: ChannelHandlerContext, data: NIOAny, promise: EventLoopPromise<Void>?) {
    switch unwrapOutboundIn(data) {
    case .head(let head):
      isAnswering = true
      closesAfterAnswer = head.headerFields[.connection] == "close"
      context.write(data, promise: promise)
    case .body: context.write(data, promise: promise)
    case .end:
      isAnswering = false
      if closesAfterAnswer {
        context.writeAndFlush(data, promise: promise)
        closeSoon(context)
      } else {
        context.write(data, promise: promise)
      }
    }
  }

  func channelWritabilityChanged(context: ChannelHandlerContext) {
    writing?.cancel()
    writing = nil
    if !context.channel.isWritable {
      let context = NIOLoopBound(context, eventLoop: context.eventLoop)
      writing = context.value.eventLoop.scheduleTask(in: .milliseconds(Int64(limits.writeTimeoutSeconds * 1000))) {
        context.value.close(promise: nil)
      }
    }
    context.fireChannelWritabilityChanged()
  }

  func errorCaught(context: ChannelHandlerContext, error: any Error) {
    switch error {
    case HTTPParserError.headerOverflow:
      refuse(
        context,
        Failure(.headersTooLarge, "the request's head is larger than \(limits.headLimitBytes) bytes or has too many fields"))
    case is IOError, is ChannelError:
      isDone = true
      context.close(promise: nil)
    default: refuse(context, Failure(.invalidRequest, "this is not a valid HTTP/1.1 request"))
    }
  }

  /// Answers with an error, if no answer has begun, and ends the connection.
  private func refuse(_ context: ChannelHandlerContext, _ failure: Failure) {
    if isDone { return }
    isDone = true
    guard !isAnswering, context.channel.isActive else { return context.close(promise: nil) }
    let status = ErrorResponse.status(of: failure.code)
    metrics.count(route: -1, method: .get, status: status.code, seconds: 0)
    let body = ByteBuffer(bytes: ErrorResponse.body(failure, requestID: "connection").utf8())
    let head = HTTPResponse(
      status: status,
      headerFields: [
        .contentType: "application/json", .contentLength: "\(body.readableBytes)", .connection: "close",
      ])
    context.write(wrapOutboundOut(.head(head)), promise: nil)
    context.write(wrapOutboundOut(.body(body)), promise: nil)
    context.writeAndFlush(wrapOutboundOut(.end(nil)), promise: nil)
    closeSoon(context)
  }

  /// Closes our side now and the connection a little later, so that a client that still sends can read the answer first.
  private func closeSoon(_ context: ChannelHandlerContext) {
    isDone = true
    reading?.cancel()
    guard closing == nil else { return }
    context.close(mode: .output, promise: nil)
    let context = NIOLoopBound(context, eventLoop: context.eventLoop)
    closing = context.value.eventLoop.scheduleTask(in: .milliseconds(500)) { context.value.close(promise: nil) }
  }
}
