import Core
import Glibc

/// Holds a stream of bytes below a rate by waiting.
struct Pacer: Sendable {
  let bytesPerSecond: Int?
  let stop: @Sendable () -> Bool

  /// Waits for as long as `bytes` take at the rate.
  /// - Throws: `CANCELLED` when `stop` says so, at the latest a tenth of a second after it does.
  func pass(_ bytes: Int) throws(Failure) {
    var left = bytesPerSecond.map { Double(bytes) / Double(max(1, $0)) } ?? 0
    repeat {
      if stop() { throw Failure(.cancelled, "upkeep was told to stop") }
      let part = min(left, 0.1)
      if part > 0 { usleep(UInt32(part * 1e6)) }
      left -= 0.1
    } while left > 0
  }
}
