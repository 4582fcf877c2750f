import Core

/// All kernels, as static functions over raw pointers. Strides and offsets count elements; sizes have been checked by
/// the caller (`Tensors`), which also keeps the memory alive.
package enum Kernels {}

/// A walk over up to four arrays of one shape with own strides: neighbouring dims are joined where all strides
/// allow, the innermost run is handed out as a row, and rows are spread over the cores in fixed blocks.
package struct StridedLoop {
  /// Extent and step of the innermost dim.
  let inner: Int
  let step: SIMD4<Int>
  private let outerShape: [Int]
  private let outerSteps: [SIMD4<Int>]
  private let outer: Int

  /// Elements per parallel block.
  private static let block = 16384

  /// `strides`: one list per array, in the order the kernel takes them, each as long as `shape`.
  package init(shape: [Int], _ strides: [[Int]]) {
    var dims: [Int] = []
    var steps: [SIMD4<Int>] = []
    for d in shape.indices where shape[d] != 1 {
      var s = SIMD4<Int>.zero
      for (i, list) in strides.enumerated() { s[i] = list[d] }
      // Join with the dim before when stepping over this one is one step of that one, for every array.
      if let last = steps.last, let extent = dims.last, last == s &* SIMD4(repeating: shape[d]), shape[d] != 0, extent != 0 {
        dims[dims.count - 1] = extent * shape[d]
        steps[steps.count - 1] = s
      } else {
        dims.append(shape[d])
        steps.append(s)
      }
    }
    inner = dims.popLast() ?? 1
    step = steps.popLast() ?? .zero
    outerShape = dims
    outerSteps = steps
    outer = dims.reduce(1, *)
  }

  /// Calls `body(offsets, count)` for every row, in parallel; `offsets` are the arrays' positions of the row's start.
  @inline(__always)
  func run(_ body: (SIMD4<Int>, Int) -> Void) {
    if inner == 0 || outer == 0 { return }
    let step = step
    if outer == 1 {
      Parallel.forEach(count: inner, grain: StridedLoop.block) { range in
        body(step &* SIMD4(repeating: range.lowerBound), range.count)
      }
      return
    }
    let (shape, steps, inner) = (outerShape, outerSteps, inner)
    Parallel.forEach(count: outer, grain: max(1, StridedLoop.block / inner)) { range in
      var index = [Int](repeating: 0, count: shape.count)
      var offset = SIMD4<Int>.zero
      var rest = range.lowerBound
      for d in shape.indices.reversed() {
        index[d] = rest % shape[d]
        rest /= shape[d]
        offset &+= steps[d] &* SIMD4(repeating: index[d])
      }
      for _ in range {
        body(offset, inner)
        var d = shape.count - 1
        while d >= 0 {
          index[d] += 1
          offset &+= steps[d]
          if index[d] < shape[d] { break }
          offset &-= steps[d] &* SIMD4(repeating: shape[d])
          index[d] = 0
          d -= 1
        }
      }
    }
  }
}

/// Gives raw memory as typed pointers to a generic closure body: `dispatch(type) { ... }` is spelled by hand in each
/// kernel because Swift has no generic closures.
@inline(__always) func typed<T>(_ p: UnsafeRawPointer, _: T.Type = T.self) -> UnsafePointer<T> {
  p.assumingMemoryBound(to: T.self)
}
@inline(__always) func typed<T>(_ p: UnsafeMutableRawPointer, _: T.Type = T.self) -> UnsafeMutablePointer<T> {
  p.assumingMemoryBound(to: T.self)
}

/// Shared read-only memory that a parallel block captures. Sendable proof: `Parallel.forEach` returns before the
/// caller lets go of the memory, and blocks write disjoint ranges.
struct Shared<P>: @unchecked Sendable { let p: P; init(_ p: P) { self.p = p } }
