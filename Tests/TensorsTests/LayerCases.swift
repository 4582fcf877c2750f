import Core
import Glibc
import TensorKernels
import Tensors

/// The table's rows of `ConvTranspose`, `Pool1d`, `GroupNorm`, `Upsample`, `Pad`, `Activation` and `ClassLosses`.
extension OpCase {
  static let layers: [OpCase] = lines + sizes + activations + classLosses

  private static func text(_ a: Attributes, _ name: String) -> String { a.object[name]?.stringValue ?? "" }

  /// y[i s + r d - p] += x[i] w[r], for images; `o`: (stride, padding, output padding, dilation) of height and width.
  private static func transposed(_ x: [Array], groups: Int, _ s: [Int], _ p: [Int], _ op: [Int], _ d: [Int]) -> Array {
    let (n, c, h, w) = (x[0].shape[0], x[0].shape[1], x[0].shape[2], x[0].shape[3])
    let (outs, kh, kw) = (x[1].shape[1], x[1].shape[2], x[1].shape[3])
    let oh = (h - 1) * s[0] - 2 * p[0] + d[0] * (kh - 1) + op[0] + 1
    let ow = (w - 1) * s[1] - 2 * p[1] + d[1] * (kw - 1) + op[1] + 1
    var out = Array([n, outs * groups, oh, ow]) { at in x.count > 2 ? x[2].values[at[1]] : 0 }
    for b in 0..<n {
      for i in 0..<c {
        for (r, q) in (0..<h).flatMap({ r in (0..<w).map { (r, $0) } }) {
          for o in 0..<outs {
            for (u, v) in (0..<kh).flatMap({ u in (0..<kw).map { (u, $0) } }) {
              let (row, column) = (r * s[0] + u * d[0] - p[0], q * s[1] + v * d[1] - p[1])
              guard row >= 0, row < oh, column >= 0, column < ow else { continue }
              let channel = i / (c / groups) * outs + o
              out.values[((b * outs * groups + channel) * oh + row) * ow + column] +=
                x[0].at([b, i, r, q]) * x[1].at([i, o, u, v])
            }
          }
        }
      }
    }
    return out
  }
  /// (N,C,L) as (N,C,1,L) and back.
  private static func images(_ x: [Array]) -> [Array] {
    x.map { $0.shape.count == 3 ? Array([$0.shape[0], $0.shape[1], 1, $0.shape[2]], $0.values) : $0 }
  }
  private static func line(_ x: Array) -> Array { Array([x.shape[0], x.shape[1], x.shape[3]], x.values) }

  private static func pooled(_ x: Array, _ a: Attributes, _ f: ([Double], Double) -> Double) -> Array {
    let (k, s, p, l) = (a.int("kernel") ?? 1, a.int("stride") ?? 1, a.int("padding") ?? 0, x.shape[2])
    return Array([x.shape[0], x.shape[1], (l + 2 * p - k) / s + 1]) { at in
      let inside = (at[2] * s - p..<at[2] * s - p + k).filter { $0 >= 0 && $0 < l }
      return f(inside.map { x.at([at[0], at[1], $0]) }, Double(k))
    }
  }
  /// Windows of which the last may hang over the edge: f(values inside, size with padding but without what hangs over).
  private static func hanging(_ x: Array, _ a: Attributes, _ f: ([Double], Double) -> Double) -> Array {
    let (k, s, p) = (a.ints("kernel") ?? [], a.ints("stride") ?? [], a.ints("padding") ?? [])
    let extents = Swift.Array(x.shape[2...])
    let counts = (0..<2).map { d -> Int in
      let n = Int((Double(extents[d] + 2 * p[d] - k[d]) / Double(s[d])).rounded(.up)) + 1
      return (n - 1) * s[d] >= extents[d] + p[d] ? n - 1 : n
    }
    let shape: [Int] = Swift.Array(x.shape[..<2]) + counts
    return Array(shape) { at in
      var insides: [[Int]] = []
      var area = 1
      for d in 0..<2 {
        let first: Int = at[d + 2] * s[d] - p[d]
        let end: Int = min(first + k[d], extents[d] + p[d])
        area *= end - first
        insides.append((first..<end).filter { $0 >= 0 && $0 < extents[d] })
      }
      var values: [Double] = []
      for r in insides[0] { for c in insides[1] { values.append(x.at([at[0], at[1], r, c])) } }
      return f(values, Double(area))
    }
  }
  private static func adaptive(_ x: Array, _ size: [Int], _ f: ([Double]) -> Double) -> Array {
    let lead = Swift.Array(x.shape.dropLast(size.count))
    return Array(lead + size) { at in
      let windows = size.indices.map { d -> [Int] in
        let (i, h) = (at[lead.count + d], x.shape[lead.count + d])
        return Swift.Array(i * h / size[d]..<((i + 1) * h + size[d] - 1) / size[d])
      }
      let places = windows.reduce([[]]) { heads, window in heads.flatMap { head in window.map { head + [$0] } } }
      return f(places.map { x.at(at.prefix(lead.count) + $0) })
    }
  }
  private static func mean(_ v: [Double]) -> Double { v.reduce(0, +) / Double(v.count) }

  private static let lines: [OpCase] = [
    OpCase(
      "conv_transpose2d",
      naive: { x, a in
        transposed(
          x, groups: a.int("groups") ?? 1, a.ints("stride") ?? [1, 1], a.ints("padding") ?? [0, 0],
          a.ints("output_padding") ?? [0, 0], a.ints("dilation") ?? [1, 1])
      }
    ) { x, a in
      var o = ConvTransposeOptions()
      (o.stride, o.padding, o.dilation) = (a.pair("stride", 1), a.pair("padding", 0), a.pair("dilation", 1))
      (o.outputPadding, o.groups) = (a.pair("output_padding", 0), a.int("groups") ?? 1)
      return [try Tensor.convTranspose2d(x[0], x[1], x.count > 2 ? x[2] : nil, o)]
    },
    OpCase(
      "conv_transpose1d",
      naive: { x, a in
        line(
          transposed(
            images(x), groups: a.int("groups") ?? 1, [1, a.int("stride") ?? 1], [0, a.int("padding") ?? 0],
            [0, a.int("output_padding") ?? 0], [1, a.int("dilation") ?? 1]))
      }
    ) { x, a in
      [
        try Tensor.convTranspose1d(
          x[0], x[1], x[2], stride: a.int("stride") ?? 1, padding: a.int("padding") ?? 0,
          outputPadding: a.int("output_padding") ?? 0, dilation: a.int("dilation") ?? 1, groups: a.int("groups") ?? 1)
      ]
    },
    OpCase(
      "conv1d",
      naive: { x, a in
        let (s, p, d) = (a.int("stride") ?? 1, a.int("padding") ?? 0, a.int("dilation") ?? 1)
        let (l, k, ins) = (x[0].shape[2], x[1].shape[2], x[1].shape[1])
        let outs = x[1].shape[0] / (a.int("groups") ?? 1)
        return Array([x[0].shape[0], x[1].shape[0], (l + 2 * p - d * (k - 1) - 1) / s + 1]) { at in
          var y = x.count > 2 ? x[2].values[at[1]] : 0
          for c in 0..<ins {
            for r in 0..<k {
              let i = at[2] * s + r * d - p
              if i >= 0, i < l { y += x[0].at([at[0], at[1] / outs * ins + c, i]) * x[1].at([at[1], c, r]) }
            }
          }
          return y
        }
      }
    ) { x, a in
      [
        try Tensor.conv1d(
          x[0], x[1], x.count > 2 ? x[2] : nil, stride: a.int("stride") ?? 1, padding: a.int("padding") ?? 0,
          dilation: a.int("dilation") ?? 1, groups: a.int("groups") ?? 1)
      ]
    },
    OpCase("max_pool1d", naive: { x, a in pooled(x[0], a) { v, _ in v.max() ?? .nan } }) { x, a in
      [try x[0].maxPool1d(kernel: a.int("kernel") ?? 1, stride: a.int("stride") ?? 1, padding: a.int("padding") ?? 0)]
    },
    OpCase("avg_pool1d", naive: { x, a in pooled(x[0], a) { $0.reduce(0, +) / $1 } }) { x, a in
      [try x[0].averagePool1d(kernel: a.int("kernel") ?? 1, stride: a.int("stride") ?? 1, padding: a.int("padding") ?? 0)]
    },
    OpCase("max_pool2d_ceil", naive: { x, a in hanging(x[0], a) { v, _ in v.max() ?? .nan } }) { x, a in
      [
        try x[0].maxPool2d(
          kernel: a.pair("kernel", 1), stride: a.pair("stride", 1), padding: a.pair("padding", 0), ceil: true)
      ]
    },
    OpCase(
      "avg_pool2d_ceil",
      naive: { x, a in hanging(x[0], a) { $0.reduce(0, +) / (a.bool("counts") ? $1 : Double($0.count)) } }
    ) { x, a in
      [
        try x[0].averagePool2d(
          kernel: a.pair("kernel", 1), stride: a.pair("stride", 1), padding: a.pair("padding", 0), ceil: true,
          countsPadding: a.bool("counts"))
      ]
    },
    OpCase("adaptive_avg_pool1d", naive: { x, a in adaptive(x[0], [a.int("size") ?? 1], mean) }) { x, a in
      [try x[0].adaptiveAveragePool1d(size: a.int("size") ?? 1)]
    },
    OpCase("adaptive_max_pool1d", naive: { x, a in adaptive(x[0], [a.int("size") ?? 1]) { $0.max() ?? .nan } }) { x, a in
      [try x[0].adaptiveMaxPool1d(size: a.int("size") ?? 1)]
    },
    OpCase("adaptive_max_pool2d", naive: { x, a in adaptive(x[0], a.ints("size") ?? []) { $0.max() ?? .nan } }) { x, a in
      [try x[0].adaptiveMaxPool2d(out: a.pair("size", 1))]
    },
  ]

  /// Each group of channels of a sample to mean 0 and variance 1, then weight x + bias.
  private static func grouped(_ x: [Array], _ groups: Int) -> Array {
    let per = x[0].shape[1] / groups
    return Array(x[0].shape) { at in
      let v = Array.indices(x[0].shape).filter { $0[0] == at[0] && $0[1] / per == at[1] / per }.map { x[0].at($0) }
      let m = mean(v)
      let s = mean(v.map { ($0 - m) * ($0 - m) })
      return (x[0].at(at) - m) / (s + 1e-5).squareRoot() * x[1].values[at[1]] + x[2].values[at[1]]
    }
  }

  /// Where result position i of `size` comes from: [(position, share)].
  private static func sources(_ i: Int, _ extent: Int, _ size: Int, _ scale: Double?, _ a: Attributes) -> [(Int, Double)] {
    let step = scale.map { 1 / $0 } ?? Double(extent) / Double(size)
    if !a.bool("linear") { return [(min(Int(Float(i) * Float(step)), extent - 1), 1)] }
    let at =
      a.bool("corners")
      ? (size > 1 ? Double(i) * Double(extent - 1) / Double(size - 1) : 0) : max(0, (Double(i) + 0.5) * step - 0.5)
    let low = min(Int(at), extent - 1)
    return low == extent - 1 ? [(low, 1)] : [(low, 1 - (at - Double(low))), (low + 1, at - Double(low))]
  }

  private static let sizes: [OpCase] = [
    OpCase("group_norm", naive: { x, a in grouped(x, a.int("groups") ?? 1) }) { x, a in
      [try Tensor.groupNorm(x[0], groups: a.int("groups") ?? 1, gamma: x[1], beta: x[2])]
    },
    OpCase("instance_norm", naive: { x, _ in grouped(x, x[0].shape[1]) }) { x, _ in
      [try Tensor.instanceNorm(x[0], gamma: x[1], beta: x[2])]
    },
    OpCase(
      "upsample",
      naive: { x, a in
        let given = Swift.Array(x[0].shape[2...])
        let scale = a.object["scale"]?.arrayValue?.compactMap(\.doubleValue)
        let size = a.ints("size") ?? given.indices.map { Int((Double(given[$0]) * (scale?[$0] ?? 1)).rounded(.down)) }
        return Array(Swift.Array(x[0].shape[..<2]) + size) { at in
          var parts: [([Int], Double)] = [([at[0], at[1]], 1)]
          for d in given.indices {
            let found = sources(at[d + 2], given[d], size[d], scale?[d], a)
            parts = parts.flatMap { head in found.map { (head.0 + [$0.0], head.1 * $0.1) } }
          }
          return parts.reduce(0) { $0 + x[0].at($1.0) * $1.1 }
        }
      }
    ) { x, a in
      [
        try x[0].upsampled(
          size: a.ints("size"), scale: a.object["scale"]?.arrayValue?.compactMap(\.doubleValue), linear: a.bool("linear"),
          alignsCorners: a.bool("corners"))
      ]
    },
    OpCase("pixel_shuffle") { x, a in [try x[0].pixelShuffled(a.int("factor") ?? 1)] },
    OpCase("pixel_unshuffle") { x, a in [try x[0].pixelUnshuffled(a.int("factor") ?? 1)] },
    OpCase(
      "pad",
      naive: { x, a in
        let amounts = a.ints("amounts") ?? []
        let rank = x[0].shape.count
        var before = [Int](repeating: 0, count: rank)
        var shape = x[0].shape
        for i in 0..<amounts.count / 2 {
          before[rank - 1 - i] = amounts[2 * i]
          shape[rank - 1 - i] += amounts[2 * i] + amounts[2 * i + 1]
        }
        return Array(shape) { at in
          var from = [Int]()
          for d in at.indices {
            let (i, n) = (at[d] - before[d], x[0].shape[d])
            if i >= 0, i < n {
              from.append(i)
              continue
            }
            switch text(a, "mode") {
            case "reflect": from.append(i < 0 ? -i : 2 * n - 2 - i)
            case "replicate": from.append(i < 0 ? 0 : n - 1)
            case "circular": from.append((i + n) % n)
            default: return a.double("value")
            }
          }
          return x[0].at(from)
        }
      }
    ) { x, a in
      [
        try x[0].padded(
          a.ints("amounts") ?? [], mode: PadMode(rawValue: text(a, "mode")) ?? .constant, value: a.double("value"))
      ]
    },
  ]

  private static let activations: [OpCase] = {
    let naive: [Activation: @Sendable (Double, Double) -> Double] = [
      .leakyRelu: { $0 > 0 ? $0 : $1 * $0 }, .elu: { $0 > 0 ? $0 : $1 * expm1($0) },
      .selu: { x, _ in 1.0507009873554805 * (x > 0 ? x : 1.6732632423543772 * expm1(x)) },
      .mish: { x, _ in x * tanh(log1p(exp(x))) }, .hardswish: { x, _ in x * min(max(x + 3, 0), 6) / 6 },
      .hardsigmoid: { x, _ in min(max(x + 3, 0), 6) / 6 }, .relu6: { x, _ in min(max(x, 0), 6) },
      .softsign: { x, _ in x / (1 + Swift.abs(x)) }, .erf: { x, _ in erf(x) },
      .logSigmoid: { x, _ in -log1p(exp(-x)) },
      .geluTanh: { x, _ in x / 2 * (1 + tanh((2 / Double.pi).squareRoot() * (x + 0.044715 * x * x * x))) },
    ]
    var rows = Activation.allCases.map { op in
      OpCase(
        op.rawValue,
        naive: { x, a in Array(x[0].shape, x[0].values.map { (naive[op] ?? { _, _ in .nan })($0, a.double("slope")) }) }
      ) { x, a in [try x[0].activated(op, slope: a.double("slope"))] }
    }
    rows.append(
      OpCase(
        "prelu",
        naive: { x, _ in
          Array(x[0].shape) { at in
            let (v, w) = (x[0].at(at), x[1].values[x[1].values.count == 1 ? 0 : at[1]])
            return v > 0 ? v : w * v
          }
        }
      ) { x, _ in [try Tensor.prelu(x[0], x[1])] })
    return rows
  }()

  /// Sums of -w log p per place and what the mean divides by; `x` are logits or log-probabilities.
  private static func places(_ x: [Array], _ a: Attributes, logits: Bool) -> Array {
    let classes = x[0].shape[x[0].shape.count == 1 ? 0 : 1]
    let shape = x[0].shape.count == 1 ? [] : [x[0].shape[0]] + Swift.Array(x[0].shape[2...])
    let weight = a.object["weight"]?.arrayValue?.compactMap(\.doubleValue) ?? [Double](repeating: 1, count: classes)
    let smoothing = a.double("smoothing")
    let isSoft = x[1].shape == x[0].shape
    var norm = 0.0
    let loss = Array(shape) { at in
      func place(_ k: Int) -> [Int] { at.isEmpty ? [k] : [at[0], k] + at[1...] }
      var logp = (0..<classes).map { x[0].at(place($0)) }
      if logits {
        let total = log(logp.reduce(0) { $0 + exp($1) })
        logp = logp.map { $0 - total }
      }
      if isSoft {
        norm += 1
        return -(0..<classes).reduce(0.0) {
          $0 + weight[$1] * ((1 - smoothing) * x[1].at(place($1)) + smoothing / Double(classes)) * logp[$1]
        }
      }
      let id = Int(x[1].at(at))
      if let ignored = a.int("ignore"), id == ignored { return 0 }
      norm += weight[id]
      let spread = (0..<classes).reduce(0.0) { $0 + weight[$1] * logp[$1] }
      return -(1 - smoothing) * weight[id] * logp[id] - smoothing / Double(classes) * spread
    }
    switch a.reduction() {
    case .none: return loss
    case .sum: return Array([], [loss.values.reduce(0, +)])
    case .mean: return Array([], [loss.values.reduce(0, +) / norm])
    }
  }
  private static func reduced(_ x: Array, _ a: Attributes) -> Array {
    let total = x.values.reduce(0, +)
    switch text(a, "reduction") {
    case "none": return x
    case "sum": return Array([], [total])
    case "batchmean": return Array([], [total / Double(x.shape[0])])
    default: return Array([], [total / Double(x.values.count)])
    }
  }

  private static let classLosses: [OpCase] = [
    OpCase("cross_entropy_places", naive: { x, a in places(x, a, logits: true) }) { x, a in
      [
        try Tensor.crossEntropy(
          x[0], classes: x[1], weight: a.tensor("weight", x[0].dtype), ignored: a.int("ignore").map { Int64($0) },
          smoothing: a.double("smoothing"), reduction: a.reduction())
      ]
    },
    OpCase("nll_places", naive: { x, a in places(x, a, logits: false) }) { x, a in
      [
        try Tensor.nll(
          x[0], classes: x[1], weight: a.tensor("weight", x[0].dtype), ignored: a.int("ignore").map { Int64($0) },
          reduction: a.reduction())
      ]
    },
    OpCase(
      "kl_div",
      naive: { x, a in
        let each = zip(x[0].values, x[1].values).map { p, y in
          a.bool("log") ? exp(y) * (y - p) : y == 0 ? 0 : y * (log(y) - p)
        }
        return reduced(Array(x[0].shape, each), a)
      }
    ) { x, a in
      [
        try Tensor.klDivergence(
          x[0], x[1], logTarget: a.bool("log"), reduction: a.reduction(), perRow: text(a, "reduction") == "batchmean")
      ]
    },
    OpCase(
      "bce",
      naive: { x, a in
        let each = zip(x[0].values, x[1].values).map { p, y in -(y * max(log(p), -100) + (1 - y) * max(log(1 - p), -100)) }
        return reduced(Array(x[0].shape, each), a)
      }
    ) { x, a in [try Tensor.bce(x[0], x[1], reduction: a.reduction())] },
    OpCase(
      "bce_weighted",
      naive: { x, a in
        let each = Array(x[0].shape) { at in
          let (v, y, w, p) = (x[0].at(at), x[1].at(at), x[2].at(at), x[3].at(at))
          return w * (p * y * log1p(exp(-v)) + (1 - y) * log1p(exp(v)))
        }
        return reduced(each, a)
      }
    ) { x, a in [try Tensor.bceWithLogits(x[0], x[1], weight: x[2], positiveWeight: x[3], reduction: a.reduction())] },
    OpCase(
      "smooth_l1",
      naive: { x, a in
        let beta = a.double("beta")
        let each = zip(x[0].values, x[1].values).map { p, y in
          let d = Swift.abs(p - y)
          return d < beta ? d * d / (2 * beta) : d - beta / 2
        }
        return reduced(Array(x[0].shape, each), a)
      }
    ) { x, a in [try Tensor.smoothL1(x[0], x[1], beta: a.double("beta"), reduction: a.reduction())] },
  ]
}
