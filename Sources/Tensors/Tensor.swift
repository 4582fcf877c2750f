package import Core
package import TensorKernels

/// The memory behind tensors; views share it. Big blocks go back to `BufferPool` when the last view is gone.
package final class Storage {
  private var memory: Buffer
  private let isOurs: Bool
  /// Raised by every in-place change, so that backward notices when a value it needs was overwritten.
  package fileprivate(set) var version = 0

  package var buffer: Buffer { memory }

  /// New memory.
  init(byteCount: Int, zeroed: Bool) throws(Failure) {
    memory = try BufferPool.take(byteCount: byteCount, zeroed: zeroed)
    isOurs = true
  }
  /// Memory that others may hold too.
  init(sharing buffer: Buffer) {
    memory = buffer
    isOurs = false
  }
  deinit {
    if isOurs, isKnownUniquelyReferenced(&memory) { BufferPool.give(memory) }
  }
  func changed() { version &+= 1 }
  /// Whether others may write here without `version` telling: each tensor over a column's memory has a storage of its own.
  var isForeign: Bool { !isOurs }
}

/// An n-dimensional array: shared storage, element type, shape, strides and offset (in elements).
///
/// Views (`reshaped`, `permuted`, `narrowed`...) share storage. Tensors belong to one thread and are not Sendable.
/// When gradients are on and an input `tracksGradient`, each op notes how to go back (`Autograd.swift`).
package final class Tensor {
  package let storage: Storage
  package let dtype: DType
  package let shape: [Int]
  package let strides: [Int]
  package let offset: Int
  package let count: Int
  /// Whether another tensor (or a column) made the memory; such views cost nothing of their own.
  package private(set) var isView = false

  /// Set on leaves (parameters): backward leaves a gradient in `grad`.
  package internal(set) var requiresGrad = false
  /// The gradient of the last backward passes, summed; nil before the first and after `zeroGrad`.
  package var grad: Tensor?
  var node: Node?

  init(storage: Storage, dtype: DType, shape: [Int], strides: [Int], offset: Int) {
    self.storage = storage
    self.dtype = dtype
    self.shape = shape
    self.strides = strides
    self.offset = offset
    count = shape.reduce(1, *)  // checked when the storage was made or the view was cut
  }

  // MARK: Making

  /// Uninitialised, contiguous.
  package static func empty(_ shape: [Int], _ dtype: DType, op: String = "empty", zeroed: Bool = false) throws(Failure)
    -> Tensor
  {
    try Cancellation.check()
    let count = try Shape.count(shape, op: op)
    let storage: Storage
    do {
      storage = try Storage(byteCount: count * dtype.size, zeroed: zeroed)
    } catch {
      throw error.context("\(op): a \(dtype) tensor of shape \(Shape.text(shape))")
    }
    return Tensor(storage: storage, dtype: dtype, shape: shape, strides: Shape.strides(shape), offset: 0)
  }

  package static func zeros(_ shape: [Int], _ dtype: DType = .f32) throws(Failure) -> Tensor {
    try empty(shape, dtype, op: "zeros", zeroed: true)
  }

  package static func full(_ shape: [Int], _ value: Double, _ dtype: DType = .f32) throws(Failure) -> Tensor {
    let out = try empty(shape, dtype, op: "full")
    Kernels.fill(dtype, out.count, out: out.pointer, value: value)
    return out
  }

  /// All of one whole number, which an i64 tensor holds exactly.
  package static func full(_ shape: [Int], integer value: Int64, _ dtype: DType) throws(Failure) -> Tensor {
    let out = try empty(shape, dtype, op: "full")
    Kernels.fill(dtype, out.count, out: out.pointer, integer: value)
    return out
  }

  /// A 0-dim tensor.
  package static func scalar(_ value: Double, _ dtype: DType = .f32) throws(Failure) -> Tensor { try full([], value, dtype) }
  package static func scalar(integer value: Int64, _ dtype: DType) throws(Failure) -> Tensor {
    try full([], integer: value, dtype)
  }

  /// first, first + step, ... up to and including `last` (down to it, for a negative step).
  package static func arange(from first: Int64, through last: Int64, by step: Int64, _ dtype: DType) throws(Failure) -> Tensor {
    guard step != 0 else { throw Failure(.invalidArgument, "arange: the step must not be 0") }
    let (distance, overflow) = last.subtractingReportingOverflow(first)
    guard !overflow, step != .min, distance != .min, abs(distance) / abs(step) < 1 << 48 else {
      throw Failure(.invalidArgument, "arange: \(first) to \(last) by \(step) are too many elements")
    }
    let isEmpty = distance != 0 && (distance < 0) != (step < 0)
    let out = try empty([isEmpty ? 0 : Int(distance / step) + 1], dtype, op: "arange")
    // Whole steps from `first` stay between the two ends: nothing can overflow.
    for i in 0..<out.count { Kernels.fill(dtype, 1, out: out.pointer + i * dtype.size, integer: first + Int64(i) * step) }
    return out
  }

  /// An i64 tensor of `values` in row-major order.
  package static func from(integers values: [Int64], _ shape: [Int]) throws(Failure) -> Tensor {
    guard try Shape.count(shape, op: "tensor") == values.count else {
      throw Failure(.shapeMismatch, "tensor: \(values.count) values do not fill shape \(Shape.text(shape))")
    }
    let out = try empty(shape, .i64, op: "tensor")
    values.withUnsafeBytes { raw in
      if let base = raw.baseAddress, raw.count > 0 { out.pointer.copyMemory(from: base, byteCount: raw.count) }
    }
    return out
  }

  /// start, start + step, ... below (above, for a negative step) `end`.
  package static func arange(_ start: Double, _ end: Double, _ step: Double = 1, _ dtype: DType) throws(Failure) -> Tensor {
    guard step != 0, start.isFinite, end.isFinite, step.isFinite else {
      throw Failure(.invalidArgument, "arange: start, end and step must be finite and step not 0")
    }
    let length = ((end - start) / step).rounded(.up)
    guard length < 0x1p48 else { throw Failure(.invalidArgument, "arange: \(length) elements are too many") }
    let out = try empty([max(0, Int(length))], dtype, op: "arange")
    for i in 0..<out.count { Kernels.store(dtype, out.pointer, i, start + Double(i) * step) }
    return out
  }

  /// A tensor over shared memory: `byteOffset` must be a multiple of the element size.
  package static func sharing(_ buffer: Buffer, byteOffset: Int = 0, _ dtype: DType, shape: [Int]) throws(Failure) -> Tensor {
    let count = try Shape.count(shape, op: "tensor")
    guard byteOffset >= 0, byteOffset % dtype.size == 0, byteOffset <= buffer.byteCount,
      count <= (buffer.byteCount - byteOffset) / dtype.size
    else {
      throw Failure(
        .invalidArgument,
        "tensor: shape \(Shape.text(shape)) of \(dtype) does not fit \(buffer.byteCount) bytes from byte \(byteOffset)")
    }
    guard Int(bitPattern: buffer.pointer + byteOffset) % dtype.size == 0 else {
      throw Failure(.invalidArgument, "tensor: memory is not aligned for \(dtype)")
    }
    let shared = Tensor(
      storage: Storage(sharing: buffer), dtype: dtype, shape: shape, strides: Shape.strides(shape),
      offset: byteOffset / dtype.size)
    shared.isView = true
    return shared
  }

  /// A copy of `values` in row-major order.
  package static func from(_ values: [Double], _ shape: [Int]? = nil, _ dtype: DType = .f32) throws(Failure) -> Tensor {
    let shape = shape ?? [values.count]
    let count = try Shape.count(shape, op: "tensor")
    guard count == values.count else {
      throw Failure(.shapeMismatch, "tensor: \(values.count) values do not fill shape \(Shape.text(shape))")
    }
    let out = try empty(shape, dtype, op: "tensor")
    for i in 0..<count { Kernels.store(dtype, out.pointer, i, values[i]) }
    return out
  }

  // MARK: Looking

  package var rank: Int { shape.count }
  package var byteCount: Int { count * dtype.size }
  /// The first element.
  package var pointer: UnsafeMutableRawPointer { storage.buffer.pointer + offset * dtype.size }
  package var isContiguous: Bool {
    var step = 1
    for d in shape.indices.reversed() where shape[d] != 1 {
      if strides[d] != step { return count == 0 }
      step *= shape[d]
    }
    return true
  }

  /// The one element as a Double.
  /// - Throws: `SHAPE_MISMATCH` when there is not exactly one.
  package func item() throws(Failure) -> Double {
    try Cancellation.check()
    guard count == 1 else { throw Failure(.shapeMismatch, "item: shape \(Shape.text(shape)) has \(count) elements, not 1") }
    return Kernels.load(dtype, pointer, 0)
  }
  /// The one element of an integer or bool tensor, exactly.
  package func integerItem() throws(Failure) -> Int64 {
    guard dtype == .i64 else { return Int64(try item()) }
    _ = try item()
    return pointer.assumingMemoryBound(to: Int64.self)[0]
  }

  /// All elements in row-major order.
  package func values() throws(Failure) -> [Double] {
    try Cancellation.check()
    let source = try detached().contiguous()
    return (0..<count).map { Kernels.load(dtype, source.pointer, $0) }
  }

  // MARK: Sharing and copying

  /// The same elements without history.
  package func detached() -> Tensor { view(shape, strides, offset) }

  func view(_ shape: [Int], _ strides: [Int], _ offset: Int) -> Tensor {
    let view = Tensor(storage: storage, dtype: dtype, shape: shape, strides: strides, offset: offset)
    view.isView = true
    return view
  }

  /// This tensor when it is row-major already, else a copy.
  package func contiguous() throws(Failure) -> Tensor { isContiguous ? self : try clone() }

  /// Whole numbers as contiguous i64 that nobody else can write: backward uses positions that forward has checked as they are.
  func ownPositions() throws(Failure) -> Tensor {
    let out = try detached().cast(.i64).contiguous()
    return out.storage.isForeign ? try out.clone() : out
  }

  /// A row-major copy.
  package func clone() throws(Failure) -> Tensor {
    let out = try Tensor.empty(shape, dtype, op: "clone")
    out.fill(from: self)
    out.traced(.reshape(shape), [self])
    return out.recorded("clone", [self]) { (g, _, _) throws(Failure) in [g] }
  }

  /// Writes `source` (same shape and type) into this memory. No history.
  func fill(from source: Tensor) {
    Kernels.copy(
      size: dtype.size, StridedLoop(shape: shape, [strides, source.strides]), out: pointer, a: source.pointer)
  }

  /// Writes `source` into this tensor, broadcast and converted.
  package func assign(_ source: Tensor) throws(Failure) {
    try checkInPlace("copy_")
    let value = try source.detached().cast(dtype)
    guard try Shape.broadcast(shape, value.shape, op: "copy_") == shape else {
      throw Failure(.shapeMismatch, "copy_: shape \(Shape.text(value.shape)) does not fit into \(Shape.text(shape))")
    }
    // The two may overlap in memory: copy first.
    let safe = value.storage === storage ? try value.clone() : value
    fill(from: try safe.expanded(shape))
    storage.changed()
  }

  /// Sets every element.
  package func assign(_ value: Double) throws(Failure) { try assign(Tensor.scalar(value, dtype)) }

  /// In-place changes are refused where they would falsify gradients.
  func checkInPlace(_ op: String) throws(Failure) {
    if GradMode.isEnabled, tracksGradient {
      throw Failure(
        .invalidArgument, "\(op): this tensor is part of a gradient graph; change it inside tensor.no_grad or use a copy")
    }
  }

  /// Conversion; gradients pass through when both types are floats.
  package func cast(_ to: DType) throws(Failure) -> Tensor {
    if to == dtype { return self }
    let out = try Tensor.empty(shape, to, op: "cast")
    Kernels.cast(from: dtype, to: to, StridedLoop(shape: shape, [out.strides, strides]), out: out.pointer, a: pointer)
    out.traced(.cast(to), [self])
    guard to.isFloat, dtype.isFloat else { return out }
    let from = dtype
    return out.recorded("cast", [self]) { (g, _, _) throws(Failure) in [try g.cast(from)] }
  }
}
