import Core
import LuaHost
import TensorKernels
import Tensors

/// Lua tables to tensors and back.
extension Call {
  /// A tensor of a nested list of numbers or booleans. Numbers become f32 unless `dtype` says otherwise, booleans bool.
  /// - Throws: an argument error that names the ragged or wrong element.
  func tensor(fromList index: Int32, dtype: DType?) throws -> Tensor {
    if isNumber(index) { return try scalar(index, dtype ?? .f32) }
    if isBoolean(index) { return try Tensor.scalar(boolean(index) ? 1 : 0, dtype ?? .bool) }
    var reader = ListReader(integers: dtype == .i64 ? [] : nil)
    try reader.read(self, index, depth: 0, path: "")
    if let integers = reader.integers, integers.count == reader.values.count {
      return try Tensor.from(integers: integers, reader.shape)
    }
    return try Tensor.from(reader.values, reader.shape, dtype ?? (reader.hasBooleans ? .bool : .f32))
  }

  /// Pushes nested lists; a scalar is pushed as one value. Integers stay integers.
  func pushTable(of tensor: Tensor) throws -> Int32 {
    let source = try tensor.detached().contiguous()
    let values = try source.values()
    if source.rank == 0 { return push(value: values[0], source, 0) }
    return try pushRows(source, values, dim: 0, at: 0)
  }

  /// One element in the fitting Lua type.
  func push(value: Double, _ tensor: Tensor, _ index: Int) -> Int32 {
    switch tensor.dtype {
    case .bool: push(value != 0)
    case .i64: push(tensor.pointer.assumingMemoryBound(to: Int64.self)[index])
    case .u8, .i32: push(Int(value))
    case .f32, .f64: push(value)
    }
  }

  private func pushRows(_ source: Tensor, _ values: [Double], dim: Int, at start: Int) throws -> Int32 {
    let extent = source.shape[dim]
    if dim == source.rank - 1 {
      if source.dtype.isFloat { return push(Array(values[start..<start + extent])) }
      return pushTable(array: extent) { t in
        for i in 0..<extent { t.set(i + 1) { $0.push(value: values[start + i], source, start + i) } }
      }
    }
    let step = source.shape[(dim + 1)...].reduce(1, *)
    return try pushTable(array: extent) { t in
      for i in 0..<extent { try t.set(i + 1) { try $0.pushRows(source, values, dim: dim + 1, at: start + i * step) } }
    }
  }
}

/// Collects a nested list in row-major order; the first element of each level decides its length.
private struct ListReader {
  var shape: [Int] = []
  var values: [Double] = []
  /// The values again with all their 64 bits, where that is asked for and as far as all of them are whole.
  var integers: [Int64]?
  var hasBooleans = false
  private var isComplete = false

  init(integers: [Int64]?) { self.integers = integers }

  mutating func read(_ call: borrowing Call, _ index: Int32, depth: Int, path: String) throws {
    let length = call.length(index)
    guard depth < 16 else { throw call.bad(1, "the list is nested more than 16 deep") }
    if depth == shape.count {
      guard !isComplete else { throw call.bad(1, "element\(path) is a list, the ones before are numbers") }
      shape.append(length)
    } else if shape[depth] != length {
      throw call.bad(1, "element\(path) has \(length) elements, the ones before have \(shape[depth])")
    }
    if length == 0 { return }
    var kind = 0  // 1 numbers, 2 booleans, 3 lists
    try call.forEachElement(index) { i in
      guard i == 1 else { return }
      kind = call.isNumber(-1) ? 1 : call.isBoolean(-1) ? 2 : call.isTable(-1) ? 3 : 0
      guard kind != 0 else {
        throw call.bad(1, "element\(path)[1] must be a number, a boolean or a list, got \(call.typeName(-1))")
      }
    }
    switch kind {
    case 3:
      var reader = self
      try call.forEachElement(index) { i in
        guard call.isTable(-1) else { throw call.bad(1, "element\(path)[\(i)] must be a list, got \(call.typeName(-1))") }
        try reader.read(call, -1, depth: depth + 1, path: "\(path)[\(i)]")
      }
      self = reader
    case 2:
      try leaf(call, depth, path)
      var flags: [Double] = []
      try call.forEachElement(index) { i in
        guard call.isBoolean(-1) else { throw call.bad(1, "element\(path)[\(i)] must be a boolean, got \(call.typeName(-1))") }
        flags.append(try call.boolean(-1) ? 1 : 0)
      }
      values += flags
      hasBooleans = true
    default:
      try leaf(call, depth, path)
      values += try call.numbers(index)
      integers = integers.flatMap { known in call.exactIntegers(index).map { known + $0 } }
    }
  }

  private mutating func leaf(_ call: borrowing Call, _ depth: Int, _ path: String) throws {
    guard depth == shape.count - 1 else { throw call.bad(1, "element\(path) holds numbers, the ones before hold lists") }
    isComplete = true
  }
}
