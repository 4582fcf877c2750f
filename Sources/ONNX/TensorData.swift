import Core
import Foundation
import TensorKernels
import Tensors

extension PBTensorData {
  /// A tensor as an initializer or attribute: raw little-endian bytes.
  init(_ tensor: Tensor, name: String) throws(Failure) {
    let source = try tensor.detached().contiguous()
    self.init()
    self.name = name
    dims = source.shape.map { Int64($0) }
    dataType = ElementType(source.dtype).rawValue
    rawData = source.count == 0 ? Data() : Data(bytes: source.pointer, count: source.byteCount)
    withExtendedLifetime(source) {}
  }

  /// The tensor: from `raw_data` or from the list that its type uses. Sizes are checked against the bytes that are there.
  ///
  /// Source: onnx/onnx.proto, TensorProto.
  /// - Parameter what: "initializer 'conv1.weight'".
  func tensor(_ what: String) throws(Failure) -> Tensor {
    guard dataLocation != 1, externalData.isEmpty else {
      let path = externalData.first { $0.key == "location" }?.value ?? ""
      throw Failure(
        .unsupported, "onnx: \(what) lies in another file, '\(path)'; other files are not opened: save the model as one file")
    }
    guard let type = ElementType(rawValue: dataType) else {
      throw Failure(.unsupported, "onnx: \(what) is of \(ElementType.name(dataType)), which tensors here cannot be")
    }
    let shape = dims.map { Int(clamping: $0) }
    let count: Int
    do { count = try Shape.count(shape, op: "onnx") } catch { throw Failure(.corruptData, "onnx: \(what): \(error.message)") }
    let there: Int
    if !rawData.isEmpty {
      guard rawData.count == count * type.size else {
        throw Failure(
          .corruptData,
          "onnx: \(what) \(Shape.text(shape)) of \(type) needs \(count * type.size) bytes, \(rawData.count) are there")
      }
      there = count
    } else {
      there =
        switch type {
        case .float: floatData.count
        case .double: doubleData.count
        case .int64: int64Data.count
        case .uint32, .uint64: uint64Data.count
        default: int32Data.count
        }
    }
    guard there == count else {
      throw Failure(.corruptData, "onnx: \(what) \(Shape.text(shape)) needs \(count) elements, \(there) are there")
    }
    let out = try Tensor.empty(shape, type.dtype, op: "onnx: \(what)")
    guard count > 0 else { return out }
    if type == .uint64 {
      let largest = rawData.isEmpty ? uint64Data.max() ?? 0 : (0..<count).reduce(0) { max($0, raw(UInt64.self, $1)) }
      guard largest <= UInt64(Int64.max) else {
        throw Failure(.unsupported, "onnx: \(what) holds \(largest), which is too large for i64")
      }
    }
    rawData.isEmpty ? fillFromLists(out, type) : fillFromRaw(out, type)
    return out
  }

  private func raw<T: FixedWidthInteger>(_: T.Type, _ i: Int) -> T {
    rawData.withUnsafeBytes { T(littleEndian: $0.loadUnaligned(fromByteOffset: i * MemoryLayout<T>.size, as: T.self)) }
  }

  private func fillFromRaw(_ out: Tensor, _ type: ElementType) {
    rawData.withUnsafeBytes { bytes in
      func each<T: FixedWidthInteger, U>(_: T.Type, _ convert: (T) -> U) {
        let target = out.pointer.assumingMemoryBound(to: U.self)
        for i in 0..<out.count {
          target[i] = convert(T(littleEndian: bytes.loadUnaligned(fromByteOffset: i * MemoryLayout<T>.size, as: T.self)))
        }
      }
      switch type {
      case .float, .double, .int32, .int64, .uint8:
        if let base = bytes.baseAddress { out.pointer.copyMemory(from: base, byteCount: out.byteCount) }
      case .int8: each(Int8.self) { Int32($0) }
      case .int16: each(Int16.self) { Int32($0) }
      case .uint16: each(UInt16.self) { Int32($0) }
      case .uint32: each(UInt32.self) { Int64($0) }
      case .uint64: each(UInt64.self) { Int64(truncatingIfNeeded: $0) }
      case .bool: each(UInt8.self) { $0 == 0 ? UInt8(0) : 1 }
      case .float16, .bfloat16: if let base = bytes.baseAddress { widen(type, base, out) }
      }
    }
  }

  private func fillFromLists(_ out: Tensor, _ type: ElementType) {
    func each<T, U>(_ list: [T], _ convert: (T) -> U) {
      let target = out.pointer.assumingMemoryBound(to: U.self)
      for i in 0..<out.count { target[i] = convert(list[i]) }
    }
    switch type {
    case .float: each(floatData) { $0 }
    case .double: each(doubleData) { $0 }
    case .int64: each(int64Data) { $0 }
    case .uint32, .uint64: each(uint64Data) { Int64(truncatingIfNeeded: $0) }
    case .int32, .int16, .uint16, .int8: each(int32Data) { $0 }
    case .uint8: each(int32Data) { UInt8(truncatingIfNeeded: $0) }
    case .bool: each(int32Data) { $0 == 0 ? UInt8(0) : 1 }
    case .float16, .bfloat16:
      int32Data.map { UInt16(truncatingIfNeeded: $0).littleEndian }.withUnsafeBytes { bytes in
        if let base = bytes.baseAddress { widen(type, base, out) }
      }
    }
  }

  private func widen(_ type: ElementType, _ bytes: UnsafeRawPointer, _ out: Tensor) {
    Kernels.widen(type == .bfloat16 ? .bf16 : .f16, out.count, from: bytes, to: out.pointer)
  }
}
