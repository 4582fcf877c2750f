package import Core
import Glibc
import TensorKernels

extension Failure.Code {
  /// A result or gradient holds NaN or an infinity, and somebody asked to be told.
  package static let notFinite = Failure.Code("NOT_FINITE")
}

/// Finds the op whose result, or gradient, first holds NaN (or an infinity): `torch.autograd.detect_anomaly`, but for the
/// forward pass too. On for one thread while `watching` runs; off, an op pays one look at thread-local storage.
///
/// Every op's result passes `Tensor.recorded`, which cannot throw: what is found there is kept, and `check` (called when a
/// result is handed to a script) throws it, so that the error points to the line that called the op.
package enum Anomaly {
  fileprivate final class Watch {
    let countsInfinities: Bool
    var found: Failure?
    /// The layer that runs, and those that made the nodes of the graph (by their order).
    var layer = ""
    var layers: [UInt64: String] = [:]
    var isLooking = false
    init(countsInfinities: Bool) { self.countsInfinities = countsInfinities }
  }

  private static let key: pthread_key_t = {
    var key = pthread_key_t()
    pthread_key_create(&key, nil)
    return key
  }()
  private static var current: Watch? {
    pthread_getspecific(key).map { Unmanaged<Watch>.fromOpaque($0).takeUnretainedValue() }
  }
  static var isOn: Bool { pthread_getspecific(key) != nil }

  /// Runs `body`; what is found at its very end is thrown too.
  package static func watching<R>(infinities: Bool, _ body: () throws(Failure) -> R) throws(Failure) -> R {
    let watch = Watch(countsInfinities: infinities)
    let before = pthread_getspecific(key)
    pthread_setspecific(key, Unmanaged.passUnretained(watch).toOpaque())
    defer {
      pthread_setspecific(key, before)
      withExtendedLifetime(watch) {}
    }
    let result = try body()
    if let found = watch.found { throw found }
    return result
  }

  /// Throws what an op has left to be found.
  @inline(__always) package static func check() throws(Failure) {
    if isOn, let watch = current, let found = watch.found {
      watch.found = nil
      throw found
    }
  }

  /// The place in front of messages about gradients of ops that run from now on; gives the one before.
  package static func enter(layer: String) -> String {
    guard let watch = current else { return "" }
    defer { watch.layer = layer }
    return watch.layer
  }

  /// Looks at the result of an op.
  static func look(_ result: Tensor, _ op: String, _ inputs: [Tensor]) {
    guard let watch = current else { return }
    if let node = result.node, !watch.layer.isEmpty { watch.layers[node.order] = watch.layer }
    // A view has the values it had; what is looked at below may be copied, which is an op.
    guard !watch.isLooking, watch.found == nil, !result.isView else { return }
    watch.isLooking = true
    defer { watch.isLooking = false }
    guard let what = watch.odd(result) else { return }
    var cause = "; its inputs are finite"
    for (i, input) in inputs.enumerated() {
      if let why = watch.odd(input) {
        cause = "; input \(i + 1) of it, \(input.dtype) \(Shape.text(input.shape)), holds \(why) already"
        break
      }
    }
    watch.found = Failure(.notFinite, "'\(op)' gave \(what) in \(result.dtype) \(Shape.text(result.shape))\(cause)")
  }

  /// Looks at the gradients that an op gives to its inputs, `gradient` being the one it got.
  static func check(_ node: Node, _ gradient: Tensor, _ results: [Tensor?]) throws(Failure) {
    guard let watch = current else { return }
    watch.isLooking = true
    defer { watch.isLooking = false }
    for (i, result) in results.enumerated() {
      guard let result, let what = watch.odd(result) else { continue }
      let place = watch.layers[node.order] ?? ""
      let cause = watch.odd(gradient).map { "the gradient of its result holds \($0) already" } ?? "that of its result is finite"
      throw Failure(
        .notFinite,
        "\(place)backward of '\(node.op)' gave \(what) in the gradient of its input \(i + 1), \(result.dtype) \(Shape.text(result.shape)); \(cause)"
      )
    }
  }
}

extension Anomaly.Watch {
  /// "NaN (3 of 640, first at (1, 5))", or nil when all is well.
  fileprivate func odd(_ tensor: Tensor) -> String? {
    guard tensor.dtype.isFloat, let dense = try? tensor.detached().contiguous() else { return nil }
    let (nan, infinite, first) = Kernels.notFinite(dense.dtype, dense.count, dense.pointer)
    let count = nan + (countsInfinities ? infinite : 0)
    guard count > 0, var rest = first else { return nil }
    withExtendedLifetime(dense) {}
    var position = dense.shape
    for d in position.indices.reversed() {
      position[d] = rest % dense.shape[d] + 1
      rest /= dense.shape[d]
    }
    let what = nan == 0 ? "infinity" : countsInfinities && infinite > 0 ? "NaN and infinity" : "NaN"
    return "\(what) (\(count) of \(dense.count), first at \(Shape.text(position)))"
  }
}
