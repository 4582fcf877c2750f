import Core
import TensorKernels
import Tensors

/// Attributes of a case, as in the golden file.
struct Attributes {
  let object: JSONObject
  func int(_ name: String) -> Int? { object[name]?.intValue.map { Int($0) } }
  func double(_ name: String, _ fallback: Double = 0) -> Double { object[name]?.doubleValue ?? fallback }
  func bool(_ name: String) -> Bool { object[name]?.boolValue ?? false }
  func ints(_ name: String) -> [Int]? { object[name]?.arrayValue?.compactMap { $0.intValue.map { Int($0) } } }
  func pair(_ name: String, _ fallback: Int) -> (Int, Int) { ints(name).map { ($0[0], $0[1]) } ?? (fallback, fallback) }
  func reduction() -> Reduction { object["reduction"]?.stringValue.flatMap { Reduction(rawValue: $0) } ?? .mean }
  func tensor(_ name: String, _ dtype: DType) throws -> Tensor? {
    try object[name]?.arrayValue.map { try Tensor.from($0.compactMap(\.doubleValue), nil, dtype) }
  }
}

/// One op as the table knows it: how to call it, and how a plain loop over Doubles computes its first output.
///
/// Adding an op is adding a row here and cases in `Tests/golden/make_tensor_golden.py`.
struct OpCase: Sendable {
  typealias Run = @Sendable ([Tensor], Attributes) throws -> [Tensor]
  typealias Naive = @Sendable ([Array], Attributes) -> Array
  let name: String
  let run: Run
  var naive: Naive?
  init(_ name: String, naive: Naive? = nil, _ run: @escaping Run) { (self.name, self.run, self.naive) = (name, run, naive) }

  /// A plain row-major array for the naive loops.
  struct Array {
    var shape: [Int]
    var values: [Double]
    init(_ shape: [Int], _ values: [Double]) { (self.shape, self.values) = (shape, values) }
    init(_ shape: [Int], of f: ([Int]) -> Double) {
      self.shape = shape
      values = Array.indices(shape).map(f)
    }
    static func indices(_ shape: [Int]) -> [[Int]] {
      var all: [[Int]] = [[]]
      for extent in shape { all = all.flatMap { head in (0..<extent).map { head + [$0] } } }
      return all
    }
    /// The element at an index, with broadcasting.
    func at(_ index: [Int]) -> Double {
      var flat = 0
      let extra = index.count - shape.count
      for d in shape.indices { flat = flat * shape[d] + (shape[d] == 1 ? 0 : index[d + extra]) }
      return values[flat]
    }
    func broadcast(with other: Array) -> [Int] {
      let rank = max(shape.count, other.shape.count)
      return (0..<rank).map { d in
        let x = d < rank - shape.count ? 1 : shape[d - rank + shape.count]
        let y = d < rank - other.shape.count ? 1 : other.shape[d - rank + other.shape.count]
        return x == 1 ? y : x
      }
    }
  }

  /// Folds one dim (or all) by `f` over its values.
  static func fold(_ x: Array, _ dims: [Int]?, keep: Bool, _ f: ([Double]) -> Double) -> Array {
    let axes = dims ?? Swift.Array(x.shape.indices)
    var kept = x.shape
    for a in axes { kept[a] = 1 }
    let inner = Array.indices(axes.map { x.shape[$0] })
    let full = Array(kept) { index in
      f(
        inner.map { offsets in
          var at = index
          for (a, o) in zip(axes, offsets) { at[a] = o }
          return x.at(at)
        })
    }
    return keep ? full : Array(x.shape.indices.filter { !axes.contains($0) }.map { x.shape[$0] }, full.values)
  }

  /// Applies `f` to each line along `dim`.
  static func lines(_ x: Array, _ dim: Int, _ f: ([Double]) -> [Double]) -> Array {
    Array(x.shape) { index in
      let line = (0..<x.shape[dim]).map { i -> Double in
        var at = index
        at[dim] = i
        return x.at(at)
      }
      return f(line)[index[dim]]
    }
  }
}
