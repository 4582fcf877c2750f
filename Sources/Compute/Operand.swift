package import Columnar
package import Core

/// One argument of a kernel: a column, or one value that stands for every row.
///
/// A constant is a column of one row, so a kernel reads row `i * step` with step 0 or 1 and needs no copy of a literal.
package struct Operand: Sendable {
  package let column: Column
  /// Rows that the operand stands for.
  package let count: Int
  package let isConstant: Bool

  package init(_ column: Column) {
    self.column = column
    self.count = column.count
    self.isConstant = false
  }

  /// `column` has one row, which stands for `count` rows.
  package init(constant column: Column, count: Int) {
    precondition(column.count == 1, "a constant has one row")
    self.column = column
    self.count = count
    self.isConstant = true
  }

  package var type: DataType { column.type }
  /// 0 for a constant, 1 for a column.
  var step: Int { isConstant ? 0 : 1 }
  /// True when row `i` is not null.
  package func isValid(_ i: Int) -> Bool { column.isValid(isConstant ? 0 : i) }
  /// A constant whose value is null.
  package var isNullConstant: Bool { isConstant && !column.isValid(0) }

  /// The rows as a column; a constant is repeated.
  package func expanded() throws(Failure) -> Column {
    guard isConstant else { return column }
    if !column.isValid(0) { return try Column.nulls(type, count: count) }
    return try column.take([Int32](repeating: 0, count: count))
  }

  /// The same kind of operand (constant or column) over another column.
  func with(_ column: Column) -> Operand { isConstant ? Operand(constant: column, count: count) : Operand(column) }

  /// Pointer to the values of a fixed-width column, row 0 first.
  func pointer<T: BitwiseCopyable>(_ type: T.Type) -> UnsafePointer<T> {
    UnsafePointer(column.buffers[0].pointer.assumingMemoryBound(to: T.self) + column.offset)
  }
}

extension [Operand] {
  /// True when every operand is a constant: the result then has one row as well.
  var areConstant: Bool { allSatisfy(\.isConstant) }
  /// Rows that a kernel over these operands computes: 1 when all are constants.
  func rowsToCompute(_ count: Int) -> Int { areConstant ? 1 : count }
}

/// Validity bits for kernel results.
enum Validity {
  /// The bits of `column` moved to offset 0; nil when nothing is null.
  static func aligned(_ column: Column) throws(Failure) -> Buffer? {
    if column.nullCount == 0 { return nil }
    guard let source = column.validity else { return try Bitmap.filled(column.count, false) }
    if column.offset == 0 { return source }
    let bits = try Bitmap.filled(column.count, false)
    Bitmap.copy(source.pointer, column.offset, to: bits.pointer, 0, count: column.count)
    return bits
  }

  /// Bits that are set where no operand is null, for `count` rows; nil when nothing is null.
  static func intersection(_ operands: [Operand], _ count: Int) throws(Failure) -> Buffer? {
    var result: Buffer?
    for operand in operands {
      if operand.isConstant {
        if !operand.column.isValid(0) { return try Bitmap.filled(count, false) }
        continue
      }
      guard let bits = try aligned(operand.column) else { continue }
      if let so = result {
        let joined = try Buffer(byteCount: Bitmap.byteCount(count))
        let (x, y, z) = (so.values(of: UInt8.self), bits.values(of: UInt8.self), joined.mutableValues(of: UInt8.self))
        for i in 0..<Bitmap.byteCount(count) { z[i] = x[i] & y[i] }
        result = joined
      } else {
        result = bits
      }
    }
    return result
  }

  /// Fills `count` bits from `test(i)`, eight rows to a byte.
  @inline(__always)
  static func pack(_ count: Int, _ out: Buffer, _ test: (Int) -> Bool) {
    let bytes = out.pointer.assumingMemoryBound(to: UInt8.self)
    let whole = count >> 3
    for b in 0..<whole {
      let i = b << 3
      var byte: UInt8 = 0
      byte |= test(i) ? 1 : 0
      byte |= test(i &+ 1) ? 2 : 0
      byte |= test(i &+ 2) ? 4 : 0
      byte |= test(i &+ 3) ? 8 : 0
      byte |= test(i &+ 4) ? 16 : 0
      byte |= test(i &+ 5) ? 32 : 0
      byte |= test(i &+ 6) ? 64 : 0
      byte |= test(i &+ 7) ? 128 : 0
      bytes[b] = byte
    }
    for i in (whole << 3)..<count where test(i) { bytes[whole] |= 1 << UInt8(truncatingIfNeeded: i & 7) }
  }

  /// A bool column from `test`.
  @inline(__always)
  static func boolColumn(_ count: Int, validity: Buffer?, _ test: (Int) -> Bool) throws(Failure) -> Column {
    let out = try Buffer(byteCount: Bitmap.byteCount(count))
    pack(count, out, test)
    return Column(type: .bool, count: count, validity: validity, buffers: [out])
  }
}

/// A failure of row `row` (0-based in the batch); the engine turns it into the row of the whole table.
func rowFailure(_ code: Failure.Code, _ message: String, row: Int) -> Failure {
  Failure(code, message, place: "row \(row + 1)", details: ["row": .int(Int64(row + 1))])
}
