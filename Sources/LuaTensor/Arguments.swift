package import Core
package import LuaHost
import TensorKernels
package import Tensors

/// Tensors as scripts hold them.
extension Tensor: LuaObject {
  /// Bytes that decide when Lua collects: views cost nothing of their own.
  package var luaBytes: Int { isView ? 64 : byteCount + 64 }
}

/// A tensor as a column of a frame.
extension Tensor: NumericArray {
  package var numericType: NumericType {
    switch dtype {
    case .f32: .f32
    case .f64: .f64
    case .i64: .i64
    case .i32: .i32
    case .u8: .u8
    case .bool: .bool
    }
  }

  /// A copy: columns never change, and a tensor may be written to later.
  package func denseBuffer() throws(Failure) -> Buffer {
    let source = try detached().contiguous()
    defer { withExtendedLifetime(source) {} }
    return try Buffer(copying: UnsafeRawBufferPointer(start: source.pointer, count: source.byteCount))
  }
}

/// Reading arguments. The one place where Lua's counting from 1 becomes Swift's counting from 0: dims, positions and
/// tensors of positions go through here; class ids and token ids do not, they are data.
extension Call {
  package func tensor(_ index: Int32) throws(Failure) -> Tensor { try object(index, as: Tensor.self) }
  package func optionalTensor(_ index: Int32) throws(Failure) -> Tensor? { try optionalObject(index, as: Tensor.self) }

  /// 1 is the first dim, -1 the last.
  func dim(_ index: Int32) throws(Failure) -> Int { try fromOne(index, "dims") }
  func optionalDim(_ index: Int32) throws(Failure) -> Int? { isNil(index) ? nil : try dim(index) }
  /// 1 is the first position, -1 the last.
  func position(_ index: Int32) throws(Failure) -> Int { try fromOne(index, "positions") }

  private func fromOne(_ index: Int32, _ what: String) throws(Failure) -> Int {
    let value = try integer(index)
    guard value != 0 else { throw bad(index, "\(what) count from 1, and -1 is the last; got 0") }
    return value > 0 ? value - 1 : value
  }

  /// One dim, a list of dims, or nil for all.
  func dims(_ index: Int32) throws(Failure) -> [Int]? {
    if isNil(index) { return nil }
    if !isTable(index) { return [try dim(index)] }
    var out: [Int] = []
    for value in try integers(index) {
      guard value != 0 else { throw bad(index, "dims count from 1, and -1 is the last; got 0") }
      out.append(value > 0 ? value - 1 : value)
    }
    return out
  }

  /// Integers given one by one or as one list, with a table of options allowed after single integers.
  func shape(_ index: Int32) throws(Failure) -> [Int] {
    if isTable(index) { return try integers(index) }
    var out: [Int] = []
    var i = index
    while i <= count, isNumber(i) {
      out.append(try integer(i))
      i += 1
    }
    return out
  }

  /// A tensor of positions from 1 as one from 0. Negative ones count from the end of `extent`.
  func positions(_ index: Int32, extent: Int) throws(Failure) -> Tensor {
    let given: Tensor
    if isTable(index) {
      given = try Tensor.from(numbers(index), nil, .i64)
    } else {
      given = try tensor(index)
    }
    guard !given.dtype.isFloat, given.dtype != .bool else { throw bad(index, "positions must be integers, not \(given.dtype)") }
    let source = try given.detached().cast(.i64)
    let fromEnd = try Tensor.compare(.lt, source, Tensor.scalar(0, .i64))
    let zero = try Tensor.compare(.eq, source, Tensor.scalar(0, .i64))
    if try zero.sum().item() > 0 { throw bad(index, "positions count from 1, and -1 is the last; got 0") }
    return try Tensor.select(fromEnd, source.add(Double(extent)), source.add(-1))
  }

  /// A tensor, or a number or boolean as a scalar that takes the type of `like` (see `DType`).
  func operand(_ index: Int32, like: Tensor?) throws(Failure) -> Tensor {
    if let tensor = objectIfPresent(index, as: Tensor.self) { return tensor }
    if isBoolean(index) { return try Tensor.scalar(boolean(index) ? 1 : 0, .bool) }
    guard isNumber(index) else { throw bad(index, "Tensor or number expected, got \(typeName(index))") }
    let isWhole = isInteger(index)
    guard let like else { return try scalar(index, isWhole ? .i64 : .f32) }
    if like.dtype.isFloat { return try scalar(index, like.dtype) }
    if !isWhole { return try scalar(index, .f32) }
    if like.dtype == .bool { return try scalar(index, .i64) }
    // An integer that the tensor's type cannot hold raises the type instead of being cut.
    let narrow = try scalar(index, like.dtype)
    return try narrow.integerItem() == Int64(try integer(index)) ? narrow : scalar(index, .i64)
  }

  /// A number as a 0-dim tensor of `dtype`. A whole one keeps all of its 64 bits.
  func scalar(_ index: Int32, _ dtype: DType) throws(Failure) -> Tensor {
    isInteger(index)
      ? try Tensor.scalar(integer: Int64(try integer(index)), dtype) : try Tensor.scalar(try number(index), dtype)
  }

  /// Both operands of an operator; at least one is a tensor.
  func operands() throws(Failure) -> (Tensor, Tensor) {
    let (a, b) = (objectIfPresent(1, as: Tensor.self), objectIfPresent(2, as: Tensor.self))
    return (try operand(1, like: b), try operand(2, like: a))
  }

  func dtype(_ name: String) throws(Failure) -> DType {
    guard let type = DType(name: name) else {
      if HalfFormat(rawValue: name) != nil {
        throw Failure(
          .unsupported,
          "dtype '\(name)' is for files only: tensor.to_safetensors(t, {floats = \"\(name)\"}); compute in f32, :to \"f32\"")
      }
      throw Failure(.plain, "dtype \(nearNames(name, known: DType.names, what: "dtypes"))")
    }
    return type
  }

  /// Pushes a tensor.
  func push(_ tensor: Tensor) throws(Failure) -> Int32 {
    try Anomaly.check()
    return try push(object: tensor)
  }

  /// Pushes values and their positions, counted from 1.
  func push(_ found: (values: Tensor, positions: Tensor)) throws(Failure) -> Int32 {
    _ = try push(found.values)
    _ = try push(found.positions.add(1))
    return 2
  }
}

extension Options {
  /// An integer or a list of two: (height, width).
  func pair(_ name: String) throws(Failure) -> (Int, Int)? {
    guard let values = try integers(name) else { return nil }
    guard values.count == 1 || values.count == 2 else { throw bad(name, "must be an integer or {height, width}") }
    return (values[0], values[values.count - 1])
  }
  func dtype() throws(Failure) -> DType? {
    guard let name = try choice("dtype", DType.names) else { return nil }
    return DType(name: name)
  }
  func reduction() throws(Failure) -> Reduction {
    try choice("reduction", Reduction.allCases.map(\.rawValue)).flatMap { Reduction(rawValue: $0) } ?? .mean
  }
}
