import Core
import Glibc
import TensorKernels
import Tensors

extension OpCase {
  static let all: [OpCase] =
    elementwise + reductions + matrices + images + normalization + losses + joins + views + steps
    + layers + places

  private static let elementwise: [OpCase] = {
    let naive: [UnaryOp: @Sendable (Double) -> Double] = [
      .neg: { -$0 }, .abs: { Swift.abs($0) }, .sign: { $0 > 0 ? 1 : $0 < 0 ? -1 : 0 }, .square: { $0 * $0 }, .exp: { exp($0) },
      .log: { log($0) }, .log1p: { log1p($0) }, .sqrt: { $0.squareRoot() }, .rsqrt: { 1 / $0.squareRoot() },
      .reciprocal: { 1 / $0 }, .tanh: { tanh($0) }, .sigmoid: { 1 / (1 + exp(-$0)) }, .relu: { max($0, 0) },
      .gelu: { $0 * (1 + erf($0 / 2.0.squareRoot())) / 2 }, .silu: { $0 / (1 + exp(-$0)) }, .sin: { sin($0) },
      .cos: { cos($0) }, .floor: { $0.rounded(.down) }, .ceil: { $0.rounded(.up) }, .round: { $0.rounded(.toNearestOrEven) },
      .softplus: { log(1 + exp($0)) },
    ]
    let binary: [BinaryOp: @Sendable (Double, Double) -> Double] = [
      .add: { $0 + $1 }, .sub: { $0 - $1 }, .mul: { $0 * $1 }, .div: { $0 / $1 }, .pow: { pow($0, $1) },
      .maximum: { max($0, $1) }, .minimum: { min($0, $1) }, .floordiv: { ($0 / $1).rounded(.down) },
      .mod: { $0 - ($0 / $1).rounded(.down) * $1 },
    ]
    @Sendable func compare(_ op: CompareOp, _ a: Double, _ b: Double) -> Bool {
      switch op {
      case .eq: a == b
      case .ne: a != b
      case .lt: a < b
      case .le: a <= b
      case .gt: a > b
      case .ge: a >= b
      }
    }
    var rows: [OpCase] = UnaryOp.allCases.map { op in
      OpCase(op.rawValue, naive: { x, _ in Array(x[0].shape, x[0].values.map(naive[op] ?? { _ in .nan })) }) { x, _ in
        [try x[0].unary(op)]
      }
    }
    rows += BinaryOp.allCases.map { op in
      OpCase(
        op.rawValue,
        naive: { x, _ in Array(x[0].broadcast(with: x[1])) { (binary[op] ?? { _, _ in .nan })(x[0].at($0), x[1].at($0)) } }
      ) { x, _ in [try Tensor.binary(op, x[0], x[1])] }
    }
    rows += CompareOp.allCases.map { op in
      OpCase(
        op.rawValue,
        naive: { x, _ in Array(x[0].broadcast(with: x[1])) { compare(op, x[0].at($0), x[1].at($0)) ? 1 : 0 } }
      ) { x, _ in [try Tensor.compare(op, x[0], x[1])] }
    }
    rows += LogicOp.allCases.map { op in OpCase(op.rawValue) { x, _ in [try Tensor.logic(op, x[0], x[1])] } }
    rows.append(OpCase("where") { x, _ in [try Tensor.select(x[0], x[1], x[2])] })
    rows.append(
      OpCase("clamp", naive: { x, a in Array(x[0].shape, x[0].values.map { min(max($0, a.double("low")), a.double("high")) }) })
      {
        x, a in [try x[0].clamped(a.double("low"), a.double("high"))]
      })
    return rows
  }()

  private static let reductions: [OpCase] = [
    OpCase("sum", naive: { x, a in fold(x[0], a.ints("dims"), keep: a.bool("keep")) { $0.reduce(0, +) } }) { x, a in
      [try x[0].sum(a.ints("dims"), keepDims: a.bool("keep"))]
    },
    OpCase("mean", naive: { x, a in fold(x[0], a.ints("dims"), keep: a.bool("keep")) { $0.reduce(0, +) / Double($0.count) } }) {
      x, a in [try x[0].mean(a.ints("dims"), keepDims: a.bool("keep"))]
    },
    OpCase("var", naive: { x, a in fold(x[0], a.ints("dims"), keep: a.bool("keep"), spread) }) { x, a in
      [try x[0].variance(a.ints("dims"), keepDims: a.bool("keep"))]
    },
    OpCase("std", naive: { x, a in fold(x[0], a.ints("dims"), keep: a.bool("keep")) { spread($0).squareRoot() } }) { x, a in
      [try x[0].deviation(a.ints("dims"), keepDims: a.bool("keep"))]
    },
    OpCase(
      "norm",
      naive: { x, a in fold(x[0], a.ints("dims"), keep: a.bool("keep")) { $0.reduce(0) { $0 + $1 * $1 }.squareRoot() } }
    ) { x, a in [try x[0].norm(a.ints("dims"), keepDims: a.bool("keep"))] },
    OpCase("prod", naive: { x, a in fold(x[0], a.int("dim").map { [$0] }, keep: false) { $0.reduce(1, *) } }) { x, a in
      [try x[0].product(a.int("dim"))]
    },
    OpCase(
      "cumsum",
      naive: { x, a in
        lines(x[0], a.int("dim") ?? 0) { line in line.indices.map { line[...$0].reduce(0, +) } }
      }
    ) { x, a in [try x[0].cumsum(a.int("dim") ?? 0)] },
    OpCase("max", naive: { x, a in fold(x[0], a.int("dim").map { [$0] }, keep: false) { $0.max() ?? .nan } }) { x, a in
      let (values, positions) = try x[0].extreme(largest: true, a.int("dim") ?? 0)
      return [values, positions]
    },
    OpCase("min", naive: { x, a in fold(x[0], a.int("dim").map { [$0] }, keep: false) { $0.min() ?? .nan } }) { x, a in
      let (values, positions) = try x[0].extreme(largest: false, a.int("dim") ?? 0)
      return [values, positions]
    },
    OpCase("max_all", naive: { x, _ in fold(x[0], nil, keep: false) { $0.max() ?? .nan } }) { x, _ in
      [try x[0].extreme(largest: true)]
    },
    OpCase("min_all", naive: { x, _ in fold(x[0], nil, keep: false) { $0.min() ?? .nan } }) { x, _ in
      [try x[0].extreme(largest: false)]
    },
    OpCase(
      "argmax",
      naive: { x, a in
        fold(x[0], a.int("dim").map { [$0] }, keep: false) { line in Double(line.firstIndex(of: line.max() ?? 0) ?? -1) }
      }
    ) { x, a in [try x[0].argExtreme(largest: true, a.int("dim"))] },
    OpCase(
      "argmin",
      naive: { x, a in
        fold(x[0], a.int("dim").map { [$0] }, keep: false) { line in Double(line.firstIndex(of: line.min() ?? 0) ?? -1) }
      }
    ) { x, a in [try x[0].argExtreme(largest: false, a.int("dim"))] },
    OpCase(
      "sort", naive: { x, a in lines(x[0], a.int("dim") ?? 0) { a.bool("descending") ? $0.sorted(by: >) : $0.sorted() } }
    ) { x, a in
      let (values, positions) = try x[0].sorted(a.int("dim") ?? 0, descending: a.bool("descending"))
      return [values, positions]
    },
    OpCase("topk") { x, a in
      let (values, positions) = try x[0].topk(a.int("k") ?? 0, a.int("dim") ?? 0, largest: a.bool("largest"))
      return [values, positions]
    },
  ]
  private static func spread(_ v: [Double]) -> Double {
    let m = v.reduce(0, +) / Double(v.count)
    return v.reduce(0) { $0 + ($1 - m) * ($1 - m) } / Double(v.count - 1)
  }

  private static let matrices: [OpCase] = [
    OpCase(
      "matmul",
      naive: { x, _ in
        var (a, b) = (x[0], x[1])
        if a.shape.count == 1 { a.shape = [1] + a.shape }
        if b.shape.count == 1 { b.shape = b.shape + [1] }
        let (m, k, n) = (a.shape[a.shape.count - 2], a.shape[a.shape.count - 1], b.shape[b.shape.count - 1])
        let batch = Array(Swift.Array(a.shape.dropLast(2)), []).broadcast(with: Array(Swift.Array(b.shape.dropLast(2)), []))
        let out = Array(batch + [m, n]) { index in
          let (head, i, j) = (Swift.Array(index.dropLast(2)), index[index.count - 2], index[index.count - 1])
          return (0..<k).reduce(0.0) { $0 + element(a, head, i, $1) * element(b, head, $1, j) }
        }
        var shape = batch
        if x[0].shape.count > 1 { shape.append(m) }
        if x[1].shape.count > 1 { shape.append(n) }
        return Array(shape, out.values)
      }
    ) { x, _ in [try Tensor.matmul(x[0], x[1])] },
    OpCase(
      "linear",
      naive: { x, a in
        let (ins, outs) = (x[1].shape[1], x[1].shape[0])
        return Array(x[0].shape.dropLast() + [outs]) { index in
          let o = index[index.count - 1]
          var y = x.count > 2 ? x[2].values[o] : 0
          for i in 0..<ins { y += x[0].at(index.dropLast() + [i]) * x[1].at([o, i]) }
          return a.bool("relu") ? max(y, 0) : y
        }
      }
    ) { x, a in [try Tensor.linear(x[0], x[1], x.count > 2 ? x[2] : nil, relu: a.bool("relu"))] },
  ]
  /// An element of a stack of matrices whose leading dims broadcast to `head`.
  private static func element(_ a: Array, _ head: [Int], _ i: Int, _ j: Int) -> Double {
    var flat = 0
    let lead = a.shape.count - 2
    for d in 0..<lead { flat = flat * a.shape[d] + (a.shape[d] == 1 ? 0 : head[d + head.count - lead]) }
    return a.values[(flat * a.shape[lead] + i) * a.shape[lead + 1] + j]
  }

  private static func convOptions(_ a: Attributes) -> ConvOptions {
    var o = ConvOptions()
    (o.stride, o.padding, o.dilation) = (a.pair("stride", 1), a.pair("padding", 0), a.pair("dilation", 1))
    o.groups = a.int("groups") ?? 1
    o.relu = a.bool("relu")
    return o
  }

  private static let images: [OpCase] = [
    OpCase(
      "conv2d",
      naive: { x, a in
        let o = convOptions(a)
        let (h, w, kh, kw) = (x[0].shape[2], x[0].shape[3], x[1].shape[2], x[1].shape[3])
        let (groupIn, groupOut) = (x[1].shape[1], x[1].shape[0] / o.groups)
        let oh = (h + 2 * o.padding.0 - o.dilation.0 * (kh - 1) - 1) / o.stride.0 + 1
        let ow = (w + 2 * o.padding.1 - o.dilation.1 * (kw - 1) - 1) / o.stride.1 + 1
        return Array([x[0].shape[0], x[1].shape[0], oh, ow]) { at in
          var y = x.count > 2 ? x[2].values[at[1]] : 0
          for c in 0..<groupIn {
            for r in 0..<kh {
              for s in 0..<kw {
                let row = at[2] * o.stride.0 + r * o.dilation.0 - o.padding.0
                let column = at[3] * o.stride.1 + s * o.dilation.1 - o.padding.1
                guard row >= 0, row < h, column >= 0, column < w else { continue }
                y += x[0].at([at[0], at[1] / groupOut * groupIn + c, row, column]) * x[1].at([at[1], c, r, s])
              }
            }
          }
          return o.relu ? max(y, 0) : y
        }
      }
    ) { x, a in [try Tensor.conv2d(x[0], x[1], x.count > 2 ? x[2] : nil, convOptions(a))] },
    OpCase("max_pool2d", naive: { x, a in pool(x[0], a) { values, _ in values.max() ?? .nan } }) { x, a in
      [try x[0].maxPool2d(kernel: a.pair("kernel", 1), stride: a.pair("stride", 1), padding: a.pair("padding", 0))]
    },
    OpCase("avg_pool2d", naive: { x, a in pool(x[0], a) { $0.reduce(0, +) / $1 } }) { x, a in
      [try x[0].averagePool2d(kernel: a.pair("kernel", 1), stride: a.pair("stride", 1), padding: a.pair("padding", 0))]
    },
    OpCase(
      "adaptive_avg_pool2d",
      naive: { x, a in
        let (size, h, w) = (a.pair("size", 1), x[0].shape[2], x[0].shape[3])
        return Array([x[0].shape[0], x[0].shape[1], size.0, size.1]) { at in
          let rows = at[2] * h / size.0..<((at[2] + 1) * h + size.0 - 1) / size.0
          let columns = at[3] * w / size.1..<((at[3] + 1) * w + size.1 - 1) / size.1
          return rows.flatMap { r in columns.map { x[0].at([at[0], at[1], r, $0]) } }.reduce(0, +)
            / Double(rows.count * columns.count)
        }
      }
    ) { x, a in [try x[0].adaptiveAveragePool2d(out: a.pair("size", 1))] },
  ]
  /// `f(values inside the image, size of the window with padding)`.
  private static func pool(_ x: Array, _ a: Attributes, _ f: ([Double], Double) -> Double) -> Array {
    let (k, s, p) = (a.pair("kernel", 1), a.pair("stride", 1), a.pair("padding", 0))
    let (h, w) = (x.shape[2], x.shape[3])
    return Array([x.shape[0], x.shape[1], (h + 2 * p.0 - k.0) / s.0 + 1, (w + 2 * p.1 - k.1) / s.1 + 1]) { at in
      var values: [Double] = []
      for r in at[2] * s.0 - p.0..<at[2] * s.0 - p.0 + k.0 where r >= 0 && r < h {
        for c in at[3] * s.1 - p.1..<at[3] * s.1 - p.1 + k.1 where c >= 0 && c < w {
          values.append(x.at([at[0], at[1], r, c]))
        }
      }
      return f(values, Double(k.0 * k.1))
    }
  }

  private static let normalization: [OpCase] = [
    OpCase(
      "batch_norm",
      naive: { x, _ in
        let channels = x[0].shape[1]
        let values = (0..<channels).map { c in
          Array.indices(x[0].shape).filter { $0[1] == c }.map { x[0].at($0) }
        }
        return Array(x[0].shape) { at in
          let v = values[at[1]]
          let m = v.reduce(0, +) / Double(v.count)
          let s = v.reduce(0) { $0 + ($1 - m) * ($1 - m) } / Double(v.count)
          return (x[0].at(at) - m) / (s + 1e-5).squareRoot() * x[1].values[at[1]] + x[2].values[at[1]]
        }
      }
    ) { x, _ in
      let (mean, variance) = (try x[3].detached().clone(), try x[4].detached().clone())
      return [
        try Tensor.batchNorm(x[0], gamma: x[1], beta: x[2], runningMean: mean, runningVariance: variance, training: true), mean,
        variance,
      ]
    },
    OpCase("batch_norm_eval") { x, a in
      [
        try Tensor.batchNorm(
          x[0], gamma: x[1], beta: x[2], runningMean: a.tensor("mean", x[0].dtype),
          runningVariance: a.tensor("var", x[0].dtype),
          training: false)
      ]
    },
    OpCase("layer_norm") { x, a in [try Tensor.layerNorm(x[0], shape: a.ints("shape") ?? [], gamma: x[1], beta: x[2])] },
    OpCase(
      "softmax",
      naive: { x, a in
        lines(x[0], a.int("dim") ?? 0) { line in
          let top = line.max() ?? 0
          let e = line.map { exp($0 - top) }
          return e.map { $0 / e.reduce(0, +) }
        }
      }
    ) { x, a in [try x[0].softmax(a.int("dim") ?? 0)] },
    OpCase(
      "log_softmax",
      naive: { x, a in
        lines(x[0], a.int("dim") ?? 0) { line in
          let top = line.max() ?? 0
          let total = log(line.reduce(0) { $0 + exp($1 - top) }) + top
          return line.map { $0 - total }
        }
      }
    ) { x, a in [try x[0].softmax(a.int("dim") ?? 0, log: true)] },
  ]

  private static let losses: [OpCase] = [
    OpCase("cross_entropy") { x, a in
      [
        try Tensor.crossEntropy(
          x[0], x[1], weight: a.tensor("weight", x[0].dtype), smoothing: a.double("smoothing"), reduction: a.reduction())
      ]
    },
    OpCase("nll") { x, a in [try Tensor.nll(x[0], x[1], weight: a.tensor("weight", x[0].dtype), reduction: a.reduction())] },
    OpCase("mse") { x, a in [try Tensor.mse(x[0], x[1], reduction: a.reduction())] },
    OpCase("l1") { x, a in [try Tensor.l1(x[0], x[1], reduction: a.reduction())] },
    OpCase("huber") { x, a in [try Tensor.huber(x[0], x[1], delta: a.double("delta"), reduction: a.reduction())] },
    OpCase("bce_with_logits") { x, a in [try Tensor.bceWithLogits(x[0], x[1], reduction: a.reduction())] },
  ]

  private static let joins: [OpCase] = [
    OpCase("cat") { x, a in [try Tensor.cat(x, a.int("dim") ?? 0)] },
    OpCase("stack") { x, a in [try Tensor.stack(x, a.int("dim") ?? 0)] },
    OpCase("split") { x, a in try x[0].split(a.int("dim") ?? 0, size: a.int("size") ?? 1) },
    OpCase("index_select") { x, a in [try x[0].indexSelected(a.int("dim") ?? 0, x[1])] },
    OpCase("gather") { x, a in [try x[0].gathered(a.int("dim") ?? 0, x[1])] },
    OpCase("scatter_add") { x, a in [try x[0].scatterAdded(a.int("dim") ?? 0, x[1], x[2])] },
    OpCase("embedding") { x, _ in [try Tensor.embedding(x[0], x[1])] },
    OpCase("one_hot") { x, a in [try Tensor.oneHot(x[0], classes: a.int("classes") ?? 0)] },
  ]

  private static let views: [OpCase] = [
    OpCase("reshape") { x, a in [try x[0].reshaped(a.ints("shape") ?? [])] },
    OpCase("permute") { x, a in [try x[0].permuted(a.ints("dims") ?? [])] },
    OpCase("transpose") { x, a in [try x[0].transposed(a.int("a") ?? 0, a.int("b") ?? 1)] },
    OpCase("unsqueeze") { x, a in [try x[0].unsqueezed(a.int("dim") ?? 0)] },
    OpCase("squeeze") { x, a in [try x[0].squeezed(a.int("dim"))] },
    OpCase("expand") { x, a in [try x[0].expanded(a.ints("shape") ?? [])] },
    OpCase("slice") { x, a in
      [try x[0].sliced(a.int("dim") ?? 0, from: a.int("start") ?? 0, to: a.int("end") ?? 0, step: a.int("step") ?? 1)]
    },
    OpCase("narrow") { x, a in [try x[0].narrowed(a.int("dim") ?? 0, from: a.int("start") ?? 0, length: a.int("length") ?? 0)]
    },
    OpCase("select") { x, a in [try x[0].selected(a.int("dim") ?? 0, a.int("index") ?? 0)] },
    OpCase("flatten") { x, a in [try x[0].flattened(from: a.int("start") ?? 0)] },
  ]

  private static let steps: [OpCase] = [
    OpCase("adam") { x, a in
      let p = try x[0].detached().clone()
      let (m, v) = (try Tensor.zeros(p.shape, p.dtype), try Tensor.zeros(p.shape, p.dtype))
      let options = AdamOptions(
        lr: a.double("lr"), beta1: 0.9, beta2: 0.999, epsilon: 1e-8, weightDecay: a.double("decay"),
        decoupled: a.bool("decoupled"))
      for i in 0..<x[1].shape[0] {
        p.grad = try x[1].detached().selected(0, i)
        try p.adamStep(options, step: i + 1, m: m, v: v)
      }
      return [p]
    },
    OpCase("sgd") { x, a in
      let p = try x[0].detached().clone()
      let velocity = try a.double("momentum") == 0 ? nil : Tensor.zeros(p.shape, p.dtype)
      let options = SGDOptions(
        lr: a.double("lr"), momentum: a.double("momentum"), dampening: a.double("dampening"), weightDecay: a.double("decay"),
        nesterov: a.bool("nesterov"))
      for i in 0..<x[1].shape[0] {
        p.grad = try x[1].detached().selected(0, i)
        try p.sgdStep(options, first: i == 0, velocity: velocity)
      }
      return [p]
    },
  ]
}
