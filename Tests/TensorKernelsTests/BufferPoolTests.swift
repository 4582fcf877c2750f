import Core
import TensorKernels
import Testing

/// The pool is the process's own: these run with limits in a process of their own.
@Suite("Pool of blocks") struct BufferPoolTests {
  @Test func keptBlocksAreGivenBackBeforeMemoryIsRefused() async {
    await #expect(processExitsWith: .success) {
      MemoryBudget.setLimit(bytes: MemoryBudget.usedBytes + (42 << 20))
      BufferPool.give(try BufferPool.take(byteCount: 2 << 20, zeroed: false))
      #expect(BufferPool.heldBytes == 2 << 20)
      // Buffers of others (columns, files) have a right to it as well.
      let other = try Buffer(byteCount: 41 << 20)
      #expect(BufferPool.heldBytes == 0 && other.byteCount == 41 << 20)
    }
  }

  @Test func sizesThatNobodyWantsGoFirstOneBlockAtATime() async {
    await #expect(processExitsWith: .success) {
      // A quarter of it is kept.
      MemoryBudget.setLimit(bytes: 16 << 20)
      let old = try (0..<2).map { _ in try BufferPool.take(byteCount: 1 << 20, zeroed: false) }
      let new = try (0..<3).map { _ in try BufferPool.take(byteCount: 1 << 20 | 4096, zeroed: false) }
      for block in old { BufferPool.give(block) }
      for block in new.prefix(2) { BufferPool.give(block) }
      #expect(BufferPool.heldBytes == (1 << 20) + 2 * ((1 << 20) + 4096))
      BufferPool.give(new[2])
      #expect(BufferPool.heldBytes == 3 * ((1 << 20) + 4096))
    }
  }
}
