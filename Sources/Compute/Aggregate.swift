package import Columnar
package import Core

/// The aggregate functions. Nulls are left out unless said.
///
/// | function | over nothing | result |
/// |---|---|---|
/// | count | 0 | int64; without a column it counts rows |
/// | sum | 0 | int64 (uint64 for uint64), f64 for floats; overflow is an error |
/// | mean, median, quantile(q) | null | f64; quantiles interpolate linearly |
/// | std, var | null below two values | f64, of a sample (n - 1) |
/// | min, max | null | the column's type; NaN only if there is nothing else |
/// | first, last, list | null, null, empty | the column's type (a list of it), nulls included |
/// | n_unique | 0 | int64; null is one value |
/// | any, all | false, true | bool |
package enum Aggregate: Hashable, Sendable {
  case count, sum, mean, min, max, std, variance, median
  case quantile(Double)
  case nUnique, first, last, list, any, all

  package var name: String {
    switch self {
    case .count: "count"
    case .sum: "sum"
    case .mean: "mean"
    case .min: "min"
    case .max: "max"
    case .std: "std"
    case .variance: "var"
    case .median: "median"
    case .quantile: "quantile"
    case .nUnique: "n_unique"
    case .first: "first"
    case .last: "last"
    case .list: "list"
    case .any: "any"
    case .all: "all"
    }
  }

  /// The type of the result over values of `type`; nil when the function does not take that type.
  package func resultType(_ type: DataType) -> DataType? {
    switch self {
    case .count: return .int64
    case .nUnique: return Hashing.isKey(type) ? .int64 : nil
    case .first, .last: return type
    case .list: return .list(Field("item", type))
    case .any, .all: return type == .bool || type == .null ? .bool : nil
    case .sum:
      if type.isFloat { return .float64 }
      if case .duration = type { return type }
      return type == .uint64 ? .uint64 : type.isInteger || type == .bool || type == .null ? .int64 : nil
    case .mean, .std, .variance, .median, .quantile:
      if case .decimal128 = type { return .float64 }
      return type.isNumeric || type == .bool || type == .null ? .float64 : nil
    case .min, .max:
      switch type {
      case .list, .largeList, .fixedSizeList, .structure, .map, .decimal128, .decimal256, .dictionary, .fixedSizeBinary:
        return nil
      case .float16: return .float32
      default: return type
      }
    }
  }

  /// An empty accumulator over values of `type` (nil: rows are counted).
  /// - Throws: `TYPE_MISMATCH` when the function does not take that type.
  package func accumulator(_ type: DataType?) throws(Failure) -> any Accumulator {
    guard let type else { return CountAccumulator() }
    guard let result = resultType(type) else { throw Failure(.typeMismatch, "\(name) does not take \(type) values") }
    switch self {
    case .count: return CountAccumulator()
    case .sum: return result == .float64 ? FloatSum() : IntegerSum(result)
    case .mean: return MeanAccumulator()
    case .std, .variance: return MomentAccumulator(root: self == .std)
    case .median: return ValuesAccumulator(.float64, .float64, .quantile(0.5))
    case .quantile: return ValuesAccumulator(.float64, .float64, self)
    case .nUnique: return UniqueAccumulator(type)
    case .list: return ValuesAccumulator(type, result, .list)
    case .first: return EndAccumulator(type, last: false)
    case .last: return EndAccumulator(type, last: true)
    case .any, .all: return BoolAccumulator(all: self == .all)
    case .min, .max:
      if type == .null { return EndAccumulator(type, last: false) }
      if type.isVariableWidth { return BytesExtreme(type, max: self == .max) }
      return NumberExtreme(result, max: self == .max)
    }
  }
}

/// The running state of one aggregate for groups 0 ..< n. States made from parts of the input are merged in the order of
/// the parts, so results do not depend on threads.
package protocol Accumulator: AnyObject, Sendable {
  /// Adds rows; row i belongs to group `ids[i]` < groups. `column` is nil only for count over rows.
  func update(_ column: Column?, _ ids: [Int32], groups: Int) throws(Failure)
  /// Adds another state of the same kind, whose group g is our group `mapping[g]`.
  func merge(_ other: any Accumulator, _ mapping: [Int32], groups: Int) throws(Failure)
  /// One row per group.
  func finish(groups: Int) throws(Failure) -> Column
}

extension Array {
  /// Appends `value` until there are `count` elements.
  mutating func grow(to count: Int, _ value: Element) {
    if count > self.count { append(contentsOf: repeatElement(value, count: count - self.count)) }
  }
}

func foreign(_ other: any Accumulator) -> Failure {
  Failure(.internalError, "accumulators of different kinds were merged: \(type(of: other))")
}
