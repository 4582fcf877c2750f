import Synchronization

#if canImport(Glibc)
  import Glibc
#elseif canImport(Darwin)
  import Darwin
#endif

/// A block of memory that columns and tensors share: 64-byte aligned when allocated here, or a view of memory that
/// somebody else owns (a mapped file). Never resized.
///
/// Writing is only for the code that created the buffer, before it hands it out; afterwards it is read-only by
/// convention, except for tensor storage, which belongs to one thread.
///
/// **Pointers do not keep the memory.** `pointer`, `bytes` and `values(of:)` are good while the buffer lives, and optimised code frees an
/// object after its last use. Take them from a *named* owner: a variable or parameter whose type is a class (`Buffer`, `Column`,
/// `RecordBatch`, `Tensor`) or a struct with such a member, such as `Operand`. The compiler keeps those until the end of their scope where
/// pointers are read ("lexical lifetimes", Swift 5.7). It does not keep the result of a call (`make().bytes`), nor the elements of a local
/// array, dictionary or struct of arrays (`parts[0].bytes`): name the element first, or use `withBytes`, `array` or `withExtendedLifetime`.
/// `make lint` looks for such places.
public final class Buffer: @unchecked Sendable {  // Sendable: contents are frozen before a buffer crosses threads.
  public let pointer: UnsafeMutableRawPointer
  public let byteCount: Int
  private let owner: AnyObject?
  private let charged: Int
  /// What malloc gave; `pointer` is the first aligned place in it.
  private let block: UnsafeMutableRawPointer?

  /// Alignment of allocated buffers, in bytes; Arrow's recommendation and one cache line.
  public static let alignment = 64
  private static let hugePage = 2 << 20

  /// New memory of `byteCount` bytes, zeroed unless `zeroed` is false; at least 64 spare bytes follow for vector loads.
  /// - Throws: `INVALID_ARGUMENT` for a negative size, `MEMORY_LIMIT` when the process budget or the system has no room.
  public init(byteCount: Int, zeroed: Bool = true) throws(Failure) {
    guard byteCount >= 0, byteCount < Int.max - 4096 else {
      throw Failure(.invalidArgument, "a buffer of \(byteCount) bytes is not possible")
    }
    let capacity = (byteCount + 127) & ~63
    // Not posix_memalign: glibc before 2.38 does not find a freed aligned block again, and the heap grows without end
    // (https://sourceware.org/bugzilla/show_bug.cgi?id=14581). malloc aligns to 16.
    let size = capacity + Buffer.alignment - 16
    try MemoryBudget.charge(size)
    func allocated() -> UnsafeMutableRawPointer? { zeroed ? calloc(1, size) : malloc(size) }
    var found = allocated()
    if found == nil, MemoryBudget.giveBack() { found = allocated() }
    guard let block = found else {
      MemoryBudget.release(size)
      throw Failure(.memoryLimit, "out of memory: \(byteCount) bytes were asked for")
    }
    let pointer = block.alignedUp(toMultipleOf: Buffer.alignment)
    #if os(Linux)
      // One entry of the processor's table of pages then stands for 512, and a first touch for as many faults (measured: a
      // convolution that writes 22 MB takes a third less). Only whole huge pages inside the block: nothing is wasted.
      if byteCount >= 2 * Buffer.hugePage {
        let first = pointer.alignedUp(toMultipleOf: Buffer.hugePage)
        let whole = (byteCount - (first - pointer)) / Buffer.hugePage * Buffer.hugePage
        madvise(first, whole, Int32(MADV_HUGEPAGE))
      }
    #endif
    if !zeroed { memset(pointer + byteCount, 0, capacity - byteCount) }
    self.pointer = pointer
    self.byteCount = byteCount
    self.owner = nil
    self.charged = size
    self.block = block
  }

  /// A view of `byteCount` bytes at `pointer`, alive as long as `owner` lives. Not counted in the memory budget.
  public init(viewing pointer: UnsafeMutableRawPointer, byteCount: Int, owner: AnyObject) {
    self.pointer = pointer
    self.byteCount = byteCount
    self.owner = owner
    self.charged = 0
    self.block = nil
  }

  /// A copy of `bytes`.
  public convenience init(copying bytes: UnsafeRawBufferPointer) throws(Failure) {
    try self.init(byteCount: bytes.count, zeroed: false)
    if let base = bytes.baseAddress, bytes.count > 0 { pointer.copyMemory(from: base, byteCount: bytes.count) }
  }

  /// A copy of an array's elements, which must be plain values (numbers).
  public convenience init<T: BitwiseCopyable>(_ array: [T]) throws(Failure) {
    try self.init(byteCount: array.count * MemoryLayout<T>.stride, zeroed: false)
    array.withUnsafeBytes { source in
      if let base = source.baseAddress, source.count > 0 { pointer.copyMemory(from: base, byteCount: source.count) }
    }
  }

  deinit {
    guard let block else { return }
    free(block)
    MemoryBudget.release(charged)
  }

  /// A buffer over bytes `offset ..< offset + byteCount` of this one, sharing the memory.
  /// - Throws: `INVALID_ARGUMENT` when the range leaves the buffer.
  public func slice(offset: Int, byteCount length: Int) throws(Failure) -> Buffer {
    guard offset >= 0, length >= 0, offset <= byteCount, length <= byteCount - offset else {
      throw Failure(.invalidArgument, "bytes \(offset) + \(length) leave a buffer of \(byteCount) bytes")
    }
    if offset == 0, length == byteCount { return self }
    return Buffer(viewing: pointer + offset, byteCount: length, owner: self)
  }

  /// All bytes, read-only; see above for how long.
  public var bytes: UnsafeRawBufferPointer { UnsafeRawBufferPointer(start: pointer, count: byteCount) }

  /// Runs `body` over the bytes, with the buffer kept alive for as long as it runs.
  public func withBytes<Result, E: Error>(_ body: (UnsafeRawBufferPointer) throws(E) -> Result) throws(E) -> Result {
    defer { withExtendedLifetime(self) {} }
    return try body(bytes)
  }

  /// A copy of the bytes.
  public func array() -> [UInt8] { withBytes { Array($0) } }

  /// The bytes as values of `T`; the count is rounded down. See above for how long.
  @inlinable
  public func values<T: BitwiseCopyable>(of type: T.Type) -> UnsafeBufferPointer<T> {
    UnsafeBufferPointer(
      start: UnsafePointer(pointer.assumingMemoryBound(to: type)), count: byteCount / MemoryLayout<T>.stride)
  }

  /// The bytes as writable values of `T`; for the code that fills the buffer.
  @inlinable
  public func mutableValues<T: BitwiseCopyable>(of type: T.Type) -> UnsafeMutableBufferPointer<T> {
    UnsafeMutableBufferPointer(start: pointer.assumingMemoryBound(to: type), count: byteCount / MemoryLayout<T>.stride)
  }
}

/// The bytes held by all allocated `Buffer`s of this process, and the most they may be.
///
/// A worker sets the limit from its task's memory limit, so a tensor bomb ends in `MEMORY_LIMIT` instead of the
/// kernel's OOM killer.
public enum MemoryBudget {
  private static let used = Atomic<Int>(0)
  private static let limit = Atomic<Int>(Int.max)
  private static let peak = Atomic<Int>(0)
  private static let reserve = Mutex<(@Sendable () -> Void)?>(nil)

  /// Bytes held now.
  public static var usedBytes: Int { used.load(ordering: .relaxed) }
  /// The most bytes ever held.
  public static var peakBytes: Int { peak.load(ordering: .relaxed) }
  /// The most bytes that may be held; `Int.max` when unlimited.
  public static var limitBytes: Int { limit.load(ordering: .relaxed) }
  /// Sets the limit for the whole process.
  public static func setLimit(bytes: Int) { limit.store(max(0, bytes), ordering: .relaxed) }

  /// `giveBack` frees what is only kept for reuse; it is called before memory is refused, by any thread.
  public static func setReserve(_ giveBack: @escaping @Sendable () -> Void) { reserve.withLock { $0 = giveBack } }

  /// Frees what is only kept for reuse; false when nobody keeps any.
  static func giveBack() -> Bool {
    guard let giveBack = reserve.withLock({ $0 }) else { return false }
    giveBack()
    return true
  }

  static func charge(_ bytes: Int) throws(Failure) {
    var now = used.add(bytes, ordering: .relaxed).newValue
    let most = limit.load(ordering: .relaxed)
    if now > most {
      used.subtract(bytes, ordering: .relaxed)
      _ = giveBack()
      now = used.add(bytes, ordering: .relaxed).newValue
    }
    if now > most {
      used.subtract(bytes, ordering: .relaxed)
      throw Failure(
        .memoryLimit, "memory limit: \(bytes) more bytes with \(now - bytes) of \(most) in use",
        details: ["limit_bytes": .int(Int64(most)), "used_bytes": .int(Int64(now - bytes))])
    }
    if now > peak.load(ordering: .relaxed) { peak.max(now, ordering: .relaxed) }
  }
  static func release(_ bytes: Int) { used.subtract(bytes, ordering: .relaxed) }
}
