import CZstd
import Core

/// Working memory of one decoding thread: handed out piece by piece, taken back all at once.
final class Scratch {
  private var blocks: [Buffer] = []
  private var used = 0
  private var decompression: OpaquePointer?

  deinit { if let decompression { ZSTD_freeDCtx(decompression) } }

  /// The thread's zstd state, made once: making it costs more than decompressing a small chunk.
  func zstd() throws(Failure) -> OpaquePointer {
    if let decompression { return decompression }
    guard let made = ZSTD_createDCtx() else { throw Failure(.memoryLimit, "out of memory for zstd") }
    decompression = made
    return made
  }

  /// `count` bytes with at least 16 spare ones behind them, 64-byte aligned, content arbitrary; valid until `reset`.
  func bytes(_ count: Int) throws(Failure) -> UnsafeMutableRawPointer {
    guard count >= 0, count <= 1 << 34 else { throw Failure(.corruptData, "a part of \(count) bytes is not plausible") }
    let need = (count + 79) & ~63
    if let block = blocks.last, need <= block.byteCount - used {
      defer { used += need }
      return block.pointer + used
    }
    let block = try Buffer(byteCount: max(need, 1 << 16), zeroed: false)
    blocks.append(block)
    used = need
    return block.pointer
  }

  /// Takes everything back; the largest block stays for the next user.
  func reset() {
    if blocks.count > 1, let largest = blocks.max(by: { $0.byteCount < $1.byteCount }) { blocks = [largest] }
    used = 0
  }
}

/// Bytes that grow, in a `Buffer`.
struct GrowingBytes {
  private(set) var buffer: Buffer
  private(set) var count = 0

  init(capacity: Int) throws(Failure) { buffer = try Buffer(byteCount: max(64, capacity), zeroed: false) }

  /// Room for `more` further bytes (and 8 spare ones) at the returned place; `added` tells how many were used.
  mutating func room(_ more: Int) throws(Failure) -> UnsafeMutableRawPointer {
    let (need, overflow) = count.addingReportingOverflow(more)
    guard !overflow, need < 1 << 40 else { throw Failure(.corruptData, "a value of \(more) bytes is not plausible") }
    if need > buffer.byteCount {
      let larger = try Buffer(byteCount: max(need, buffer.byteCount * 2), zeroed: false)
      larger.pointer.copyMemory(from: buffer.pointer, byteCount: count)
      buffer = larger
    }
    return buffer.pointer + count
  }
  mutating func added(_ more: Int) { count += more }

  mutating func append(_ bytes: UnsafeRawBufferPointer) throws(Failure) {
    guard let base = bytes.baseAddress, bytes.count > 0 else { return }
    try room(bytes.count).copyMemory(from: base, byteCount: bytes.count)
    count += bytes.count
  }

  /// The bytes; their buffer is shared, not copied.
  func finish() throws(Failure) -> Buffer { try buffer.slice(offset: 0, byteCount: count) }
}
