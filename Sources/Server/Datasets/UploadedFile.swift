import Core
import Glibc
import Hummingbird
import NIOCore
import Tasks

/// A request's body on disk, in a file without a name that is gone when the last reader closes it.
///
/// `Sendable`: the descriptor is only read from once the upload is over.
final class UploadedFile: Sendable {
  private let descriptor: Int32

  /// Takes the body of `call`, as fast as the disk takes it.
  /// - Throws: `PAYLOAD_TOO_LARGE`, `INSUFFICIENT_STORAGE`, `INVALID_REQUEST` when the body ends early.
  static func receive(_ call: Call, folder: String, limitBytes: Int) async throws(Failure) -> UploadedFile {
    let tooLarge = Failure(.payloadTooLarge, "the body is larger than \(limitBytes) bytes (http.upload_limit)")
    if let length = call.request.headers[.contentLength].flatMap({ Int($0) }), length > limitBytes { throw tooLarge }
    if let coding = call.request.headers[.contentEncoding], coding.lowercased() != "identity" {
      throw Failure(
        .unsupportedMediaType,
        "a body with 'Content-Encoding: \(plainLine(String(coding.prefix(40))))' is not taken; send it plain")
    }
    let file = try await offload { () throws(Failure) in try UploadedFile(folder: folder) }
    var total = 0
    var waiting: [UInt8] = []
    do {
      for try await part in call.request.body {
        total += part.readableBytes
        if total > limitBytes { throw tooLarge }
        waiting.append(contentsOf: part.readableBytesView)
        if waiting.count >= 1 << 20 {
          let bytes = waiting
          waiting.removeAll(keepingCapacity: true)
          try await offload { () throws(Failure) in try file.append(bytes) }
        }
      }
    } catch let failure as Failure { throw failure } catch {
      throw Failure(.invalidRequest, "the body did not come as announced")
    }
    let rest = waiting
    try await offload { () throws(Failure) in try file.append(rest) }
    return file
  }

  private init(folder: String) throws(Failure) {
    var path = Array("\(folder)/moonlake-upload-XXXXXX".utf8CString)
    descriptor = mkstemp(&path)
    guard descriptor >= 0 else {
      throw Failure(.ioError, "no file for the upload can be made in '\(folder)': \(String(cString: strerror(errno)))")
    }
    unlink(path)
    _ = fcntl(descriptor, F_SETFD, FD_CLOEXEC)
  }

  deinit { close(descriptor) }

  private func append(_ bytes: [UInt8]) throws(Failure) {
    var written = 0
    while written < bytes.count {
      let n = bytes.withUnsafeBytes { raw -> Int in
        guard let base = raw.baseAddress else { return 0 }
        return write(descriptor, base + written, raw.count - written)
      }
      if n < 0, errno == EINTR { continue }
      guard n > 0 else {
        let full = errno == ENOSPC || errno == EDQUOT
        throw Failure(
          full ? .insufficientStorage : .ioError, "the upload cannot be stored: \(String(cString: strerror(errno)))")
      }
      written += n
    }
  }

  /// A descriptor of its own for each reading, at the beginning of the file.
  func reopened() throws(Failure) -> Int32 {
    let fd = open("/proc/self/fd/\(descriptor)", O_RDONLY | O_CLOEXEC)
    guard fd >= 0 else { throw Failure(.ioError, "the upload cannot be read: \(String(cString: strerror(errno)))") }
    return fd
  }
}
