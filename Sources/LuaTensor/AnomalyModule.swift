import Core
import LuaHost
import Tensors

/// `tensor.detect_anomaly`, and what `nn.find_nan` needs.
extension TensorFaces {
  static let watching: [Fn] = [
    Fn(
      "detect_anomaly", "fun(body: function, opts?: {infinities?: boolean}): any",
      "Runs body and gives its results; the first op whose result, or whose gradient in backward, holds NaN or an infinity (unless infinities = false) is an error that names it (of plain arithmetic only where it has gradients). Slow: for looking."
    ) { call in
      let body = try call.function(1)
      let infinities = try call.options(2).boolean("infinities") ?? true
      let results = try Anomaly.watching(infinities: infinities) { () throws(Failure) in
        try body.call(call, results: -1) { inner in (0..<inner.count).map { inner.reference($0 + 1) } }
      }
      try call.reserve(results.count)
      for result in results { call.push(reference: result) }
      return Int32(results.count)
    }
  ]

  static let layerNames: [Fn] = [
    Fn("enter_layer", "fun(place: string): string", "Names the layer for detect_anomaly; gives the name before.") { call in
      call.push(Anomaly.enter(layer: try call.string(1)))
    }
  ]
}
