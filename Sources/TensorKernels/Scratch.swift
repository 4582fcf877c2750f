package import Core
import Synchronization

/// Recycles big blocks of memory: fresh pages cost more than the arithmetic of a small layer. Freed tensor storage and
/// the work space of kernels come here and go out again by exact capacity. What lies here stays charged to
/// `MemoryBudget` and is given up before the budget refuses anything.
package enum BufferPool {
  /// Smaller blocks are left to malloc.
  package static let smallest = 16384
  private struct State {
    var free: [Int: [Buffer]] = [:]
    var held = 0
  }
  private static let state = Mutex(State())

  /// The most bytes kept; a quarter of the memory limit where that is less.
  private static var most: Int { min(512 << 20, MemoryBudget.limitBytes / 4) }

  private static func capacity(_ byteCount: Int) -> Int { (byteCount + 4095) & ~4095 }

  /// A block of at least `byteCount` bytes with undefined contents (zeroed on request).
  package static func take(byteCount: Int, zeroed: Bool) throws(Failure) -> Buffer {
    guard byteCount >= smallest, byteCount < 1 << 46 else { return try Buffer(byteCount: byteCount, zeroed: zeroed) }
    let wanted = capacity(byteCount)
    let found: Buffer? = state.withLock { state in
      guard let buffer = state.free[wanted]?.popLast() else { return nil }
      state.held -= wanted
      return buffer
    }
    if let found {
      if zeroed { Kernels.fill(.u8, byteCount, out: found.pointer, value: 0) }
      return found
    }
    do {
      return try Buffer(byteCount: wanted, zeroed: zeroed)
    } catch {
      empty()
      return try Buffer(byteCount: wanted, zeroed: zeroed)
    }
  }

  /// Takes back a block that nobody else holds.
  package static func give(_ buffer: consuming Buffer) {
    let size = buffer.byteCount
    guard size >= smallest, size == capacity(size), size <= most / 2 else { return }
    let kept = buffer
    let evicted: [Int: [Buffer]] = state.withLock { state in
      var out: [Int: [Buffer]] = [:]
      if state.held + size > most {  // stale sizes: start again
        out = state.free
        state.free = [:]
        state.held = 0
      }
      state.free[size, default: []].append(kept)
      state.held += size
      return out
    }
    _ = evicted  // freed outside the lock
  }

  /// Gives all kept memory back to the system.
  package static func empty() {
    let evicted = state.withLock { state in
      let out = state.free
      state = State()
      return out
    }
    _ = evicted
  }

  /// Bytes kept for reuse.
  package static var heldBytes: Int { state.withLock { $0.held } }
}

/// Work space for the blocks of one `Parallel.forEach`: one piece per thread, handed out by a lock.
final class Scratch: Sendable {
  private let free: Mutex<[Buffer]>

  init(bytes: Int, blocks: Int) throws(Failure) {
    var all: [Buffer] = []
    for _ in 0..<max(1, min(Parallel.threads, blocks)) { all.append(try BufferPool.take(byteCount: bytes, zeroed: false)) }
    free = Mutex(all)
  }
  deinit {
    for buffer in free.withLock({ $0 }) { BufferPool.give(buffer) }
  }

  @inline(__always)
  func use(_ body: (UnsafeMutableRawPointer) -> Void) {
    // As many pieces as threads, so one is always there.
    guard let buffer = free.withLock({ $0.popLast() }) else { return }
    body(buffer.pointer)
    free.withLock { $0.append(buffer) }
  }
}
