import Core
import Glibc

/// Holds a stream of bytes below a rate by waiting.
enum Pacer {
  /// Waits for as long as `bytes` take at the rate; nil: not at all.
  /// - Throws: `CANCELLED` at the latest a tenth of a second after a stop was asked for.
  static func pass(_ bytes: Int, bytesPerSecond: Int?) throws(Failure) {
    var left = bytesPerSecond.map { Double(bytes) / Double(max(1, $0)) } ?? 0
    repeat {
      try Cancellation.check()
      let part = min(left, 0.1)
      if part > 0 { usleep(UInt32(part * 1e6)) }
      left -= 0.1
    } while left > 0
  }
}
