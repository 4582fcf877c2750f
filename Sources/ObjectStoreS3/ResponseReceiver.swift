import AsyncHTTPClient
import Core
import NIOCore
import NIOHTTP1
import Synchronization

/// Takes one answer off the wire: small ones as text, objects straight into their buffer.
///
/// Every size is checked before memory is taken or written: against the `Content-Range` and `Content-Length` of the head, and
/// again as the bytes come.
final class ResponseReceiver: HTTPClientResponseDelegate {
  typealias Response = S3Response

  private struct State {
    var response = S3Response(status: 0, fields: HTTPHeaders())
    /// Where object bytes go; nil: the body is text.
    var target: Target?
    /// The next body byte's place in the object.
    var position = 0
    var textLimit = 64 << 10
    /// Text beyond the limit: an error, or left out.
    var isTextCut = false
  }
  private struct Target {
    let buffer: Buffer
    let offset: Int
    /// Bytes of the object that are wanted.
    let range: Range<Int>
  }
  private let landing: S3Request.Landing
  private let state = Mutex(State())

  init(_ landing: S3Request.Landing) { self.landing = landing }

  /// An answer that breaks the protocol. It may be a passing fault of something on the way, so it counts as a lost answer.
  struct Broken: Error, CustomStringConvertible { let description: String }

  func didReceiveHead(task: HTTPClient.Task<S3Response>, _ head: HTTPResponseHead) -> EventLoopFuture<Void> {
    finish(task) { () throws in
      try self.state.withLock { state throws in
        state.response = S3Response(status: head.status.code, fields: head.headers)
        guard (200..<300).contains(head.status.code) else {
          state.isTextCut = true
          return
        }
        switch self.landing {
        case .text(let limitBytes): state.textLimit = limitBytes
        case .part(let buffer, let offset, let range):
          let (first, size) = try ResponseReceiver.extent(head)
          state.response.objectSize = size
          // The object ends before the range does: the caller says so; these bytes are of no use.
          if range.upperBound > size {
            state.isTextCut = true
            state.textLimit = 0
            return
          }
          guard first <= range.lowerBound else {
            throw Broken(description: "bytes from \(first) on instead of \(range.lowerBound)")
          }
          guard offset >= 0, range.count <= buffer.byteCount - offset else {
            throw Failure(.internalError, "a part of \(range.count) bytes does not fit at \(offset) of \(buffer.byteCount)")
          }
          state.position = first
          state.target = Target(buffer: buffer, offset: offset, range: range)
        case .beginning(let limitBytes):
          let (first, size) = try ResponseReceiver.extent(head)
          guard first == 0 else { throw Broken(description: "bytes from \(first) on instead of 0") }
          let buffer = try Buffer(byteCount: size, zeroed: false)
          state.response.objectSize = size
          state.response.buffer = buffer
          let end = head.status == .partialContent ? min(size, limitBytes) : size
          state.target = Target(buffer: buffer, offset: 0, range: 0..<end)
        }
      }
    }
  }

  func didReceiveBodyPart(task: HTTPClient.Task<S3Response>, _ part: ByteBuffer) -> EventLoopFuture<Void> {
    finish(task) { () throws in
      try self.state.withLock { state throws in
        guard let target = state.target else {
          let room = state.textLimit - state.response.text.count
          if part.readableBytes > room, !state.isTextCut {
            throw Failure(.corruptData, "the server's answer has more than \(state.textLimit) bytes")
          }
          state.response.text += part.readableBytesView.prefix(max(0, room))
          return
        }
        let (end, overflow) = state.position.addingReportingOverflow(part.readableBytes)
        guard !overflow else { throw Broken(description: "too many bytes") }
        // The bytes that are wanted; all of them, unless the server ignored the range.
        let from = max(state.position, target.range.lowerBound)
        let to = min(end, target.range.upperBound)
        if from < to {
          part.withUnsafeReadableBytes { bytes in
            guard let base = bytes.baseAddress else { return }
            (target.buffer.pointer + target.offset + (from - target.range.lowerBound))
              .copyMemory(from: base + (from - state.position), byteCount: to - from)
          }
        }
        state.position = end
      }
    }
  }

  func didFinishRequest(task: HTTPClient.Task<S3Response>) throws -> S3Response {
    try state.withLock { state throws in
      if let target = state.target, state.position < target.range.upperBound {
        throw Broken(description: "the answer ended at byte \(state.position) of \(target.range.upperBound)")
      }
      return state.response
    }
  }

  private func finish(_ task: HTTPClient.Task<S3Response>, _ body: () throws -> Void) -> EventLoopFuture<Void> {
    do {
      try body()
      return task.eventLoop.makeSucceededVoidFuture()
    } catch {
      return task.eventLoop.makeFailedFuture(error)
    }
  }

  /// The place of the body's first byte in the object, and the object's size: `Content-Range: bytes 5-9/20`, or the length of
  /// a whole object (200).
  static func extent(_ head: HTTPResponseHead) throws -> (first: Int, size: Int) {
    guard head.status == .partialContent else {
      guard let text = head.headers.first(name: "content-length"), let size = Int(text), size >= 0 else {
        throw Broken(description: "the answer does not say its length")
      }
      return (0, size)
    }
    let text = head.headers.first(name: "content-range") ?? ""
    let parts = text.split(whereSeparator: { $0 == " " || $0 == "-" || $0 == "/" })
    guard parts.count == 4, parts[0] == "bytes", let first = Int(parts[1]), let last = Int(parts[2]), let size = Int(parts[3]),
      first >= 0, first <= last, last < size
    else { throw Broken(description: "the range of the answer is '\(text.prefix(60))'") }
    return (first, size)
  }
}
