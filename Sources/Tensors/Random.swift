package import Core
import Synchronization
package import TensorKernels

/// The process's random numbers: a seed and how many were drawn. The same seed and the same draws give the same values,
/// whatever the number of threads.
package enum RandomState {
  private static let state = Mutex((seed: UInt64(0), next: UInt64(0)))

  package static func seed(_ seed: UInt64) { state.withLock { $0 = (seed, 0) } }

  /// Seed and position, for checkpoints.
  package static var position: (seed: UInt64, next: UInt64) {
    get { state.withLock { $0 } }
    set { state.withLock { $0 = newValue } }
  }

  /// Room for a draw of `count` elements.
  package static func reserve(_ count: Int) -> (Philox, UInt64) {
    state.withLock { state in
      let start = state.next
      state.next &+= max(1, UInt64(count))  // one counter per element covers all kinds of draws
      return (Philox(seed: state.seed), start)
    }
  }
}

extension Tensor {
  /// Uniform in [low, high).
  package static func uniform(_ shape: [Int], low: Double = 0, high: Double = 1, _ dtype: DType = .f32) throws(Failure)
    -> Tensor
  {
    guard dtype.isFloat else { throw Failure(.typeMismatch, "rand: the type must be f32 or f64, not \(dtype)") }
    let out = try empty(shape, dtype, op: "rand")
    let (generator, start) = RandomState.reserve(out.count)
    Kernels.uniform(dtype, out.count, generator, start: start, low: low, high: high, out: out.pointer)
    return out
  }

  /// Normal with mean 0 and deviation 1.
  package static func normal(_ shape: [Int], _ dtype: DType = .f32) throws(Failure) -> Tensor {
    guard dtype.isFloat else { throw Failure(.typeMismatch, "randn: the type must be f32 or f64, not \(dtype)") }
    let out = try empty(shape, dtype, op: "randn")
    let (generator, start) = RandomState.reserve(out.count)
    Kernels.normal(dtype, out.count, generator, start: start, out: out.pointer)
    return out
  }

  /// i64 in low ..< high.
  package static func integers(_ shape: [Int], low: Int64, high: Int64) throws(Failure) -> Tensor {
    guard low < high else { throw Failure(.invalidArgument, "randint: \(low) is not below \(high)") }
    let out = try empty(shape, .i64, op: "randint")
    let (generator, start) = RandomState.reserve(out.count)
    Kernels.integers(out.count, generator, start: start, low: low, high: high, out: out.pointer)
    return out
  }

  /// A random order of 0 ..< count (i64): of its own `seed`, or the process's numbers.
  package static func permutation(_ count: Int, seed: UInt64? = nil) throws(Failure) -> Tensor {
    guard count >= 0 else { throw Failure(.invalidArgument, "randperm: \(count) is negative") }
    let out = try empty([count], .i64, op: "randperm")
    let (generator, start) = seed.map { (Philox(seed: $0), UInt64(0)) } ?? RandomState.reserve(count)
    Kernels.permutation(count, generator, start: start, out: out.pointer.assumingMemoryBound(to: Int64.self))
    return out
  }
}
