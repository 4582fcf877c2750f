import TensorKernels

/// Types of elements in ONNX files by their numbers there, and what they become here.
///
/// Source: onnx/onnx.proto, TensorProto.DataType.
enum ElementType: Int32, CaseIterable {
  case float = 1, uint8 = 2, int8 = 3, uint16 = 4, int16 = 5, int32 = 6, int64 = 7, bool = 9, float16 = 10, double = 11
  case uint32 = 12, uint64 = 13, bfloat16 = 16

  init(_ type: DType) {
    self =
      switch type {
      case .bool: .bool
      case .u8: .uint8
      case .i32: .int32
      case .i64: .int64
      case .f32: .float
      case .f64: .double
      }
  }

  /// The narrowest type here that holds all values; the half floats become f32, and uint64 i64 (larger values are refused).
  var dtype: DType {
    switch self {
    case .bool: .bool
    case .uint8: .u8
    case .int8, .int16, .uint16, .int32: .i32
    case .uint32, .int64, .uint64: .i64
    case .float, .float16, .bfloat16: .f32
    case .double: .f64
    }
  }

  /// Bytes of one element in `raw_data`.
  var size: Int {
    switch self {
    case .bool, .uint8, .int8: 1
    case .uint16, .int16, .float16, .bfloat16: 2
    case .float, .int32, .uint32: 4
    case .double, .int64, .uint64: 8
    }
  }

  /// For messages: the name of any number.
  static func name(_ number: Int32) -> String {
    if let known = ElementType(rawValue: number) { return "\(known)" }
    return number == 8 ? "string" : "type \(number)"
  }
}
