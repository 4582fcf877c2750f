/// The element types of tensors, from lowest to highest in promotion.
///
/// Promotion rule: the result of two tensors has the higher of the two types in the order
/// `bool < u8 < i32 < i64 < f32 < f64`. A plain number does not raise a type of its own kind: f32 + 2.5 stays f32,
/// u8 + 1 stays u8; a fraction with an integer tensor gives f32, an integer with a bool tensor gives i64.
package enum DType: UInt8, CaseIterable, Sendable, Comparable, CustomStringConvertible {
  case bool, u8, i32, i64, f32, f64

  /// Bytes of one element; a bool takes one byte, 0 or 1.
  package var size: Int {
    switch self {
    case .bool, .u8: 1
    case .i32, .f32: 4
    case .i64, .f64: 8
    }
  }
  /// `f32`, as users write it.
  package var description: String { DType.names[Int(rawValue)] }
  package static let names = ["bool", "u8", "i32", "i64", "f32", "f64"]
  package init?(name: String) {
    guard let index = DType.names.firstIndex(of: name), let type = DType(rawValue: UInt8(index)) else { return nil }
    self = type
  }
  package var isFloat: Bool { self >= .f32 }
  package static func < (a: DType, b: DType) -> Bool { a.rawValue < b.rawValue }
}

/// Element types with arithmetic that never traps: integers wrap around, conversions saturate and turn NaN into 0.
protocol Element: BitwiseCopyable, Comparable {
  static var zero: Self { get }
  static var one: Self { get }
  static func plus(_ a: Self, _ b: Self) -> Self
  static func minus(_ a: Self, _ b: Self) -> Self
  static func times(_ a: Self, _ b: Self) -> Self
  /// Rounds towards minus infinity; an integer divided by zero gives 0 (callers check for it first).
  static func floorDivide(_ a: Self, _ b: Self) -> Self
  /// `a - floorDivide(a, b) * b`: the sign of `b`, as in Lua and Python.
  static func modulo(_ a: Self, _ b: Self) -> Self
  static func negate(_ a: Self) -> Self
  static func absolute(_ a: Self) -> Self
  /// NaN wins, as in PyTorch's `maximum`.
  static func larger(_ a: Self, _ b: Self) -> Self
  static func smaller(_ a: Self, _ b: Self) -> Self
  var isNaNValue: Bool { get }
  var asDouble: Double { get }
  init(saturating value: Double)
}

extension Element where Self: FixedWidthInteger {
  @inline(__always) static var one: Self { 1 }
  @inline(__always) static func plus(_ a: Self, _ b: Self) -> Self { a &+ b }
  @inline(__always) static func minus(_ a: Self, _ b: Self) -> Self { a &- b }
  @inline(__always) static func times(_ a: Self, _ b: Self) -> Self { a &* b }
  @inline(__always) static func floorDivide(_ a: Self, _ b: Self) -> Self {
    if b == 0 { return 0 }
    if Self.isSigned, b == 0 &- 1 { return 0 &- a }
    let q = a / b
    return (a % b != 0 && (a < 0) != (b < 0)) ? q &- 1 : q
  }
  @inline(__always) static func modulo(_ a: Self, _ b: Self) -> Self { a &- floorDivide(a, b) &* b }
  @inline(__always) static func negate(_ a: Self) -> Self { 0 &- a }
  @inline(__always) static func absolute(_ a: Self) -> Self { a < 0 ? 0 &- a : a }
  @inline(__always) static func larger(_ a: Self, _ b: Self) -> Self { a > b ? a : b }
  @inline(__always) static func smaller(_ a: Self, _ b: Self) -> Self { a < b ? a : b }
  @inline(__always) var isNaNValue: Bool { false }
  @inline(__always) var asDouble: Double { Double(self) }
  @inline(__always) init(saturating value: Double) {
    if value.isNaN {
      self = 0
    } else if value <= Double(Self.min) {
      self = Self.min
    } else if value >= Double(Self.max) {
      self = Self.max
    } else {
      self = Self(value)
    }
  }
}
extension UInt8: Element {}
extension Int32: Element {}
extension Int64: Element {}

/// f32 and f64: what gradients, convolutions and matrix products are made of.
protocol Real: Element, BinaryFloatingPoint {
  static func gemm(
    _ transA: Bool, _ transB: Bool, _ m: Int, _ n: Int, _ k: Int, _ alpha: Self, _ a: UnsafePointer<Self>, _ lda: Int,
    _ b: UnsafePointer<Self>, _ ldb: Int, _ beta: Self, _ c: UnsafeMutablePointer<Self>, _ ldc: Int)
  /// row += b, then max(row, 0) if asked (NaN stays). Concrete per type: a generic loop is not turned into vectors.
  static func addBias(_ row: UnsafeMutablePointer<Self>, _ count: Int, _ b: Self, relu: Bool)
  static func exponential(_ x: Self) -> Self
  static func logarithm(_ x: Self) -> Self
  static func hyperbolicTangent(_ x: Self) -> Self
  static func errorFunction(_ x: Self) -> Self
  static func power(_ x: Self, _ y: Self) -> Self
  static func sine(_ x: Self) -> Self
  static func cosine(_ x: Self) -> Self
  static func log1plus(_ x: Self) -> Self
}

extension Element where Self: BinaryFloatingPoint {
  @inline(__always) static var one: Self { 1 }
  @inline(__always) static func plus(_ a: Self, _ b: Self) -> Self { a + b }
  @inline(__always) static func minus(_ a: Self, _ b: Self) -> Self { a - b }
  @inline(__always) static func times(_ a: Self, _ b: Self) -> Self { a * b }
  @inline(__always) static func floorDivide(_ a: Self, _ b: Self) -> Self { (a / b).rounded(.down) }
  @inline(__always) static func modulo(_ a: Self, _ b: Self) -> Self {
    let r = a.truncatingRemainder(dividingBy: b)
    return r != 0 && (r < 0) != (b < 0) ? r + b : r
  }
  @inline(__always) static func negate(_ a: Self) -> Self { -a }
  @inline(__always) static func absolute(_ a: Self) -> Self { a.magnitude }
  @inline(__always) static func larger(_ a: Self, _ b: Self) -> Self { a > b || a.isNaN ? a : b }
  @inline(__always) static func smaller(_ a: Self, _ b: Self) -> Self { a < b || a.isNaN ? a : b }
  @inline(__always) var isNaNValue: Bool { isNaN }
  @inline(__always) var asDouble: Double { Double(self) }
  @inline(__always) init(saturating value: Double) { self = Self(value) }
}
extension Float: Element {}
extension Double: Element {}
