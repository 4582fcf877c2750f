import Columnar
import Compute
import Core
import LanceTable
import TensorKernels

/// A column of vectors of one length, as searches and index builds see it.
///
/// Float32 and Float64 are used where they lie; Float16 and UInt8 are widened to Float32 run by run.
struct VectorColumn: Sendable {
  let name: String
  /// The column's field id.
  let id: Int32
  let dim: Int
  let element: DataType

  /// - Throws: `COLUMN_NOT_FOUND`, `TYPE_MISMATCH` when the column holds no vectors of numbers.
  init(_ table: LanceTable, _ name: String) throws(Failure) {
    let field = table.fields[try table.schema.index(of: name)]
    guard case .fixedSizeList(let item, let size) = field.field.type, size > 0,
      [.float32, .float64, .float16, .uint8].contains(item.type)
    else {
      throw Failure(
        .typeMismatch,
        "column '\(name)' of table '\(table.name)' is \(field.field.type); a search needs a fixed-size list of Float32, Float64, Float16 or UInt8"
      )
    }
    self.name = name
    id = field.id
    dim = size
    element = item.type
  }

  /// The numbers of the rows of `column`, back to back: Float32 or Float64.
  func numbers(_ column: Column) throws(Failure) -> Column {
    let items = column.items()
    return items.type == .float32 || items.type == .float64 ? items : try Cast.cast(items, to: .float32)
  }

  /// True when row `i` of `column` is a vector without nulls.
  static func isWhole(_ column: Column, _ i: Int, _ dim: Int) -> Bool {
    guard column.isValid(i) else { return false }
    let items = column.children[0]
    guard let validity = items.validity else { return items.nullCount == 0 }
    let first = items.offset + (column.offset + i) * dim
    return Bitmap.countSet(validity.pointer, offset: first, count: dim) == dim
  }

  /// Checks the length and the numbers of a query.
  /// - Throws: `SHAPE_MISMATCH`, `INVALID_ARGUMENT`.
  func check(_ query: [Float]) throws(Failure) {
    guard query.count == dim else {
      throw Failure(.shapeMismatch, "column '\(name)' holds vectors of \(dim) numbers, the query has \(query.count)")
    }
    guard query.allSatisfy(\.isFinite) else {
      throw Failure(.invalidArgument, "the query holds a number that is not finite (NaN or infinity)")
    }
  }
}

/// One query, made ready to be measured against rows.
struct DistanceMeasure: Sendable {
  let metric: VectorMetric
  let dim: Int
  /// Of length 1 for the cosine.
  let query: [Float]
  private let wide: [Double]

  init(_ query: [Float], _ metric: VectorMetric) {
    self.metric = metric
    dim = query.count
    var wide = query.map(Double.init)
    if metric == .cosine {
      let length = wide.reduce(0) { $0 + $1 * $1 }.squareRoot()
      if length > 0 { for i in wide.indices { wide[i] /= length } }
    }
    self.wide = wide
    self.query = metric == .cosine ? wide.map(Float.init) : query
  }

  /// Distances of rows `first ..< first + count` of `numbers` (Float32 or Float64, `dim` per row).
  func measure(_ numbers: Column, _ first: Int, _ count: Int, _ out: UnsafeMutablePointer<Float>) {
    query.withUnsafeBufferPointer { narrow in
      wide.withUnsafeBufferPointer { wide in
        guard let q = narrow.baseAddress, let w = wide.baseAddress else { return }
        if numbers.type == .float64 {
          let x = UnsafePointer(numbers.buffers[0].pointer.assumingMemoryBound(to: Double.self)) + numbers.offset + first * dim
          switch metric {
          case .l2: Kernels.squaredDistances(x, count: count, dim: dim, query: w, out: out)
          case .dot: Kernels.dots(x, count: count, dim: dim, query: w, out: out)
          case .cosine: Kernels.projections(x, count: count, dim: dim, query: w, out: out)
          }
        } else {
          let x = UnsafePointer(numbers.buffers[0].pointer.assumingMemoryBound(to: Float.self)) + numbers.offset + first * dim
          switch metric {
          case .l2: Kernels.squaredDistances(x, count: count, dim: dim, query: q, out: out)
          case .dot: Kernels.dots(x, count: count, dim: dim, query: q, out: out)
          case .cosine: Kernels.projections(x, count: count, dim: dim, query: q, out: out)
          }
        }
      }
    }
    if metric != .l2 { for i in 0..<count { out[i] = 1 - out[i] } }
    withExtendedLifetime(numbers) {}
  }
}
