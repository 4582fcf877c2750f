package import Core
import Synchronization

#if canImport(Glibc)
  import Glibc
#elseif canImport(Darwin)
  import Darwin
#endif

/// Recycles big blocks of memory: fresh pages cost more than the arithmetic of a small layer. Freed tensor storage and
/// the work space of kernels come here and go out again by exact capacity. What lies here stays charged to
/// `MemoryBudget` and is given up before the budget refuses anything.
package enum BufferPool {
  /// Smaller blocks are left to malloc.
  package static let smallest = 16384
  private struct State {
    /// Blocks of one capacity, and when one of them was last given or taken.
    struct Shelf {
      var blocks: [Buffer] = []
      var used = 0
    }
    var shelves: [Int: Shelf] = [:]
    var held = 0
    var clock = 0

    mutating func touch(_ size: Int) {
      clock += 1
      shelves[size]?.used = clock
    }

    /// Takes blocks away until no more than `most` bytes are held; those of sizes that nobody wanted for the longest time first.
    mutating func shrink(to most: Int) -> [Buffer] {
      var out: [Buffer] = []
      while held > most, let size = shelves.min(by: { $0.value.used < $1.value.used })?.key {
        while held > most, let block = shelves[size]?.blocks.popLast() {
          out.append(block)
          held -= size
        }
        if shelves[size]?.blocks.isEmpty == true { shelves[size] = nil }
      }
      return out
    }
  }
  private static let state: Mutex<State> = {
    MemoryBudget.setReserve { empty() }
    return Mutex(State())
  }()

  /// The most bytes kept; a quarter of the memory limit where that is less. A training step gives and takes all of its activations, so what
  /// does not fit is fresh memory in every step (measured: ResNet-18 with 32 pictures is 8 % slower with 512 MiB, of which it needs more).
  private static var limit: Int { min(2 << 30, MemoryBudget.limitBytes / 4) }

  private static func capacity(_ byteCount: Int) -> Int { (byteCount + 4095) & ~4095 }

  /// A block of at least `byteCount` bytes with undefined contents (zeroed on request).
  package static func take(byteCount: Int, zeroed: Bool) throws(Failure) -> Buffer {
    guard byteCount >= smallest, byteCount < 1 << 46 else { return try Buffer(byteCount: byteCount, zeroed: zeroed) }
    let wanted = capacity(byteCount)
    let found: Buffer? = state.withLock { state in
      guard let buffer = state.shelves[wanted]?.blocks.popLast() else { return nil }
      state.touch(wanted)
      state.held -= wanted
      return buffer
    }
    if let found {
      if zeroed { Kernels.fill(.u8, byteCount, out: found.pointer, value: 0) }
      return found
    }
    return try Buffer(byteCount: wanted, zeroed: zeroed)
  }

  /// Takes back a block that nobody else holds.
  package static func give(_ buffer: consuming Buffer) {
    let size = buffer.byteCount
    guard size >= smallest, size == capacity(size), size <= limit / 2 else { return }
    let (kept, limit) = (buffer, limit)
    let evicted = state.withLock { state in
      state.shelves[size, default: State.Shelf()].blocks.append(kept)
      state.touch(size)
      state.held += size
      return state.shrink(to: limit)
    }
    _ = evicted  // freed outside the lock
  }

  /// Gives all kept memory back to the system.
  package static func empty() {
    let evicted = state.withLock { state in
      let out = state.shelves
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
    // As many pieces as threads, so one is there; unless somebody has set more threads meanwhile, who then wait for each other.
    while true {
      guard let buffer = free.withLock({ $0.popLast() }) else {
        sched_yield()
        continue
      }
      body(buffer.pointer)
      free.withLock { $0.append(buffer) }
      return
    }
  }
}
