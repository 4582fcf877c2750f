import Glibc
package import TensorKernels

/// What a node of a graph computes (`TensorGraph`). Dims count from 0 and are not negative. The inputs stand at each case.
package enum GraphOp: Sendable, Equatable {
  /// x, weight, bias (optional). Without activation or pooling.
  case conv2d(ConvOptions)
  /// x, weight, bias (optional): x W' + b.
  case linear
  /// a, b.
  case matmul
  /// a, b: broadcast.
  case binary(BinaryOp)
  /// x.
  case unary(UnaryOp)
  /// x.
  case clamp(low: Double, high: Double)
  /// x.
  case softmax(dim: Int, isLog: Bool)
  /// x (N,C,H,W). Lists of two: height, width.
  case maxPool2d(kernel: [Int], stride: [Int], padding: [Int])
  case averagePool2d(kernel: [Int], stride: [Int], padding: [Int])
  case adaptiveAveragePool2d(out: [Int])
  /// x, mean, variance, gamma, beta, all (C): with the statistics of training.
  case batchNorm(epsilon: Double)
  /// x, gamma, beta of `shape`, the last dims of x.
  case layerNorm(shape: [Int], epsilon: Double)
  /// weight (rows, width), ids.
  case embedding
  /// x. At most one extent is -1: what is left.
  case reshape([Int])
  /// x: dims from ... to joined.
  case flatten(from: Int, to: Int)
  case permute([Int])
  /// x; -1 keeps an extent.
  case expand([Int])
  case unsqueeze(Int)
  case squeeze([Int])
  /// x: start, start + step, ... below end; nil is the extent.
  case slice(dim: Int, from: Int, to: Int?, step: Int)
  /// x: one position of a dim, which is gone.
  case select(dim: Int, index: Int)
  /// The parts.
  case cat(dim: Int)
  /// x.
  case sum(dims: [Int], keepDims: Bool)
  case cast(DType)
  /// x. `slope`: of leaky_relu and elu.
  case activation(Activation, slope: Double)
  /// x, weight, bias (optional).
  case convTranspose2d(ConvTransposeOptions)
  /// x, gamma, beta (C). With as many groups as channels: instance norm.
  case groupNorm(groups: Int, epsilon: Double)
  /// x; pairs (before, after) from the last dim on.
  case pad([Int], mode: PadMode, value: Double)
  /// x; one number per dim after the channels, either list.
  case upsample(size: [Int]?, scale: [Double]?, linear: Bool, alignsCorners: Bool)
}

/// A note of every op that ran on this thread while a body did: what graphs are made of. Off, it costs each op the look at one pointer.
package final class Trace {
  package struct Event {
    package let op: GraphOp
    package let inputs: [Tensor?]
    package let output: Tensor
  }
  /// In the order in which they ran. All tensors are kept, so that an object stands for a value.
  package private(set) var events: [Event] = []
  /// Differentiable ops that ran and cannot be told as a `GraphOp`; those of which other ops are made are among them.
  package private(set) var others: Set<String> = []

  private static let key: pthread_key_t = {
    var key = pthread_key_t()
    pthread_key_create(&key, nil)
    return key
  }()
  static var current: Trace? {
    guard let raw = pthread_getspecific(key) else { return nil }
    return Unmanaged<Trace>.fromOpaque(raw).takeUnretainedValue()
  }

  package init() {}

  /// Runs `body` and notes its ops. Nothing is noted twice: an outer trace rests meanwhile.
  package func record<R>(_ body: () throws -> R) rethrows -> R {
    let before = pthread_getspecific(Trace.key)
    pthread_setspecific(Trace.key, Unmanaged.passUnretained(self).toOpaque())
    defer { pthread_setspecific(Trace.key, before) }
    return try body()
  }

  func note(_ op: GraphOp, _ inputs: [Tensor?], _ output: Tensor) {
    events.append(Event(op: op, inputs: inputs, output: output))
  }
  func note(other: String) { others.insert(other) }
}

extension Tensor {
  /// Tells the trace, if one runs, that `op` of `inputs` gave this.
  @discardableResult
  package func traced(_ op: @autoclosure () -> GraphOp, _ inputs: @autoclosure () -> [Tensor?]) -> Tensor {
    if let trace = Trace.current { trace.note(op(), inputs(), self) }
    return self
  }
}

extension ConvOptions: Equatable {
  package static func == (a: ConvOptions, b: ConvOptions) -> Bool {
    a.stride == b.stride && a.padding == b.padding && a.dilation == b.dilation && a.groups == b.groups && a.relu == b.relu
      && a.maxPool == b.maxPool
  }
}
