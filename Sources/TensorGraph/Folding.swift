package import Core
import TensorKernels
import Tensors

extension Graph {
  /// The graph with each batch norm behind a convolution or a linear layer made part of its weights:
  /// w' = w gamma / sqrt(variance + epsilon), b' = (b - mean) gamma / sqrt(variance + epsilon) + beta, computed in f64.
  package func foldingBatchNorm() throws(Failure) -> Graph {
    var graph = self
    var uses = useCounts
    guard nodes.contains(where: { if case .batchNorm = $0.op { true } else { false } }) else { return self }
    // Channels are dim 2: behind a linear layer they are its outputs only for matrices.
    var ranks: [Value: Int] = [:]
    _ = try run(Tensor.zeros(input.shape, input.dtype)) { node, tensor in ranks[node.output] = tensor.rank }
    var producer: [Value: Int] = [:]
    for (i, node) in nodes.enumerated() { producer[node.output] = i }
    for (i, node) in nodes.enumerated() {
      guard case .batchNorm(let epsilon) = node.op, let before = producer[node.inputs[0]], uses[node.inputs[0]] == 1 else {
        continue
      }
      let layer = graph.nodes[before]
      let isLayer: Bool =
        switch layer.op {
        case .conv2d: true
        case .linear: ranks[node.output] == 2
        default: false
        }
      guard isLayer, let weight = graph.constants[layer.inputs[1]]?.tensor, weight.dtype == .f32 else { continue }
      var statistics: [Tensor] = []
      for value in node.inputs.dropFirst() {
        if let constant = graph.constants[value]?.tensor { statistics.append(try constant.detached().cast(.f64)) }
      }
      guard statistics.count == 4 else { continue }
      let old: Tensor
      if layer.inputs.count > 2 {
        guard let bias = graph.constants[layer.inputs[2]]?.tensor else { continue }
        old = try bias.detached().cast(.f64)
      } else {
        old = try Tensor.zeros([weight.shape[0]], .f64)
      }
      guard statistics.allSatisfy({ $0.shape == [weight.shape[0]] }) else { continue }
      let (mean, variance, gamma, beta) = (statistics[0], statistics[1], statistics[2], statistics[3])
      let scale = try gamma.mul(variance.add(epsilon).unary(.rsqrt))
      let perOut = [weight.shape[0]] + [Int](repeating: 1, count: weight.rank - 1)
      let newWeight = try weight.detached().cast(.f64).mul(scale.reshaped(perOut)).cast(.f32)
      let newBias = try old.sub(mean).mul(scale).add(beta).cast(.f32)
      // The layer gives what the batch norm gave; the batch norm's own node has no reader left.
      let (w, b) = (graph.add(constant: newWeight), graph.add(constant: newBias))
      graph.nodes[before] = Node(layer.op, [layer.inputs[0], w, b], node.output)
      graph.nodes[i].output = graph.makeValue()
      uses += [1, 1, 0]
    }
    graph.removeDeadNodes()
    return graph
  }
}
