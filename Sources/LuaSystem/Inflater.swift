import CZlib
import Core
import LuaHost

#if canImport(Glibc)
  import Glibc
#elseif canImport(Darwin)
  import Darwin
#endif

/// Bytes of a file, gzip or plain, in order. zlib checks the CRC and length of each gzip member (RFC 1952).
final class Inflater {
  private let descriptor: Int32
  private let name: String
  private var stream = z_stream()
  private let isCompressed: Bool
  private var input: [UInt8]
  private var inputStart = 0
  private var inputEnd = 0
  private var atEnd = false

  /// Takes the descriptor over and closes it at the end of its life.
  init(descriptor: Int32, name: String) throws(Failure) {
    self.descriptor = descriptor
    self.name = name
    input = [UInt8](repeating: 0, count: 1 << 16)
    var magic: (UInt8, UInt8) = (0, 0)
    isCompressed = pread(descriptor, &magic, 2, 0) == 2 && magic.0 == 0x1f && magic.1 == 0x8b
    if isCompressed, inflateInit2_(&stream, 15 + 16, ZLIB_VERSION, Int32(MemoryLayout<z_stream>.size)) != Z_OK {
      close(descriptor)
      throw Failure(.memoryLimit, "\(name): zlib could not start")
    }
  }

  deinit {
    if isCompressed { inflateEnd(&stream) }
    close(descriptor)
  }

  /// Fills `target` as far as there are bytes; returns how many came.
  func read(into target: UnsafeMutableRawBufferPointer) throws(Failure) -> Int {
    var filled = 0
    while filled < target.count, !atEnd {
      try Cancellation.check()
      let part = UnsafeMutableRawBufferPointer(rebasing: target[filled..<min(target.count, filled + (1 << 24))])
      filled += isCompressed ? try inflatePart(part) : try readPart(part)
    }
    return filled
  }

  private func readPart(_ target: UnsafeMutableRawBufferPointer) throws(Failure) -> Int {
    guard let start = target.baseAddress else { return 0 }
    let n = Glibc.read(descriptor, start, target.count)
    if n < 0 {
      if errno == EINTR { return 0 }
      throw Failure(.ioError, "\(name): \(errorText(errno))")
    }
    if n == 0 { atEnd = true }
    return n
  }

  private func inflatePart(_ target: UnsafeMutableRawBufferPointer) throws(Failure) -> Int {
    if inputStart == inputEnd {
      let n = input.withUnsafeMutableBytes { raw in raw.baseAddress.map { Glibc.read(descriptor, $0, raw.count) } ?? 0 }
      if n < 0 {
        if errno == EINTR { return 0 }
        throw Failure(.ioError, "\(name): \(errorText(errno))")
      }
      guard n > 0 else { throw Failure(.corruptData, "\(name): the gzip data is cut off") }
      inputStart = 0
      inputEnd = n
    }
    var status: Int32 = Z_OK
    var produced = 0
    input.withUnsafeMutableBytes { raw in
      stream.next_in = raw.baseAddress?.assumingMemoryBound(to: UInt8.self).advanced(by: inputStart)
      stream.avail_in = UInt32(inputEnd - inputStart)
      stream.next_out = target.baseAddress?.assumingMemoryBound(to: UInt8.self)
      stream.avail_out = UInt32(target.count)
      status = inflate(&stream, Z_NO_FLUSH)
      produced = target.count - Int(stream.avail_out)
      inputStart = inputEnd - Int(stream.avail_in)
    }
    switch status {
    case Z_OK, Z_BUF_ERROR: break
    case Z_STREAM_END: try nextMember()
    default:
      let reason = stream.msg.map { String(cString: $0) } ?? "error \(status)"
      throw Failure(.corruptData, "\(name): bad gzip data (\(reason))")
    }
    return produced
  }

  /// After a member either another one follows or the file ends (RFC 1952, 2.2).
  private func nextMember() throws(Failure) {
    if inputStart == inputEnd {
      let n = input.withUnsafeMutableBytes { raw in raw.baseAddress.map { Glibc.read(descriptor, $0, raw.count) } ?? 0 }
      inputStart = 0
      inputEnd = max(0, n)
    }
    if inputStart == inputEnd || input[inputStart] != 0x1f {
      atEnd = true
    } else {
      inflateReset(&stream)
    }
  }

  static func crc32(_ bytes: UnsafeRawBufferPointer) -> UInt32 {
    var value = CZlib.crc32(0, nil, 0)
    var at = 0
    while at < bytes.count {
      let n = min(bytes.count - at, 1 << 30)
      value = CZlib.crc32(value, bytes.baseAddress?.assumingMemoryBound(to: UInt8.self).advanced(by: at), UInt32(n))
      at += n
    }
    return UInt32(truncatingIfNeeded: value)
  }
}

func errorText(_ code: Int32) -> String { strerror(code).map { String(cString: $0) } ?? "error \(code)" }

/// `gunzip`: unpacking of gzip strings.
enum LuaGunzip {
  static let module = Module(
    "gunzip", "Unpacking of gzip data.",
    [
      Fn(
        "inflate", "fun(data: string, opts?: {limit?: integer}): string",
        "The bytes of a gzip string; more than `limit` (default 256 MiB) is an error."
      ) { call in
        let limit = try call.options(2).integer("limit", in: 1...(1 << 40)) ?? 256 << 20
        let unpacked = try call.withBytes(1) { try inflateAll($0, limit: limit) }
        return call.push(bytes: unpacked)
      },
      Fn("is_gzip", "fun(data: string): boolean", "True when the string begins as gzip does.") { call in
        call.push(try call.withBytes(1) { $0.count > 2 && $0[0] == 0x1f && $0[1] == 0x8b })
      },
    ])

  private static func inflateAll(_ data: UnsafeRawBufferPointer, limit: Int) throws(Failure) -> [UInt8] {
    var stream = z_stream()
    guard data.count < 1 << 31, inflateInit2_(&stream, 15 + 16, ZLIB_VERSION, Int32(MemoryLayout<z_stream>.size)) == Z_OK else {
      throw Failure(.memoryLimit, "gunzip: zlib could not start")
    }
    defer { inflateEnd(&stream) }
    var out: [UInt8] = []
    var chunk = [UInt8](repeating: 0, count: 1 << 16)
    stream.next_in = UnsafeMutablePointer(mutating: data.baseAddress?.assumingMemoryBound(to: UInt8.self))
    stream.avail_in = UInt32(data.count)
    while true {
      let (status, n): (Int32, Int) = chunk.withUnsafeMutableBufferPointer { target in
        stream.next_out = target.baseAddress
        stream.avail_out = UInt32(target.count)
        let status = inflate(&stream, Z_NO_FLUSH)
        return (status, target.count - Int(stream.avail_out))
      }
      guard out.count + n <= limit else { throw Failure(.fileTooLarge, "gunzip: more than the limit of \(limit) bytes") }
      out += chunk[..<n]
      switch status {
      case Z_OK: continue
      case Z_STREAM_END:
        if stream.avail_in == 0 { return out }
        inflateReset(&stream)
      case Z_BUF_ERROR: throw Failure(.corruptData, "gunzip: the data is cut off")
      default: throw Failure(.corruptData, "gunzip: \(stream.msg.map { String(cString: $0) } ?? "error \(status)")")
      }
    }
  }
}
