package import Core

/// Types of elements that cross between rooms without a copy.
package enum NumericType: String, Sendable, CaseIterable {
  case u8, i8, i16, i32, i64, f32, f64, bool
  package var byteCount: Int {
    switch self {
    case .u8, .i8, .bool: 1
    case .i16: 2
    case .i32, .f32: 4
    case .i64, .f64: 8
    }
  }
}

/// A bound object that is a dense row-major array over a `Buffer`: an IDX file, a tensor. `call.numericArray(i)` finds
/// one, so that the faces of frames and tensors take each other's data without knowing each other.
package protocol NumericArray: AnyObject {
  var numericType: NumericType { get }
  /// Sizes of the dimensions, slowest first.
  var shape: [Int] { get }
  /// All elements in little-endian order, without gaps; at least `shape` product times the element size.
  /// - Throws: when the elements cannot be had as one block.
  func denseBuffer() throws(Failure) -> Buffer
}

extension Call {
  /// The Swift object of a userdata argument, whatever its class; nil for other values and released objects.
  package func anyObject(_ index: Int32) -> AnyObject? { LuaValue.object(L, at(index)) }

  /// An argument that is a numeric array; nil for anything else.
  package func numericArray(_ index: Int32) -> (any NumericArray)? { anyObject(index) as? any NumericArray }
}
