import Core
import TensorKernels
import Tensors

/// Ops element by element, one after the other, on pieces that stay in a core's cache: only the first reads and only the last leaves
/// numbers in memory.
struct Chain {
  enum Link {
    case unary(UnaryOp)
    case clamp(low: Double, high: Double)
    /// Of what came before and operand `other` of the step, which has as many elements (`step` 1) or one (0).
    case binary(BinaryOp, other: Int, step: Int, isOtherFirst: Bool)

    /// Over `count` neighbouring elements.
    func loop(_ count: Int) -> StridedLoop {
      guard case .binary(_, _, let step, let isOtherFirst) = self else { return StridedLoop(shape: [count], [[1], [1]]) }
      return StridedLoop(shape: [count], [[1], isOtherFirst ? [step] : [1], isOtherFirst ? [1] : [step]])
    }
  }

  /// 16 KiB: with another operand, half of a first-level cache.
  private static let piece = 4096
  private let links: [(link: Link, loop: StridedLoop)]
  private let count: Int

  init(_ links: [Link], count: Int) {
    self.links = links.map { ($0, $0.loop(Chain.piece)) }
    self.count = count
  }

  /// - Parameter operands: f32; the first has `count` elements, as y.
  func callAsFunction(_ operands: [UnsafeMutableRawPointer], y: UnsafeMutableRawPointer) {
    nonisolated(unsafe) let (operands, y) = (operands, y)
    Parallel.forEach(count: count, grain: Chain.piece) { range in
      let (start, out) = (range.lowerBound * 4, y + range.lowerBound * 4)
      var x = UnsafeRawPointer(operands[0] + start)
      for (link, whole) in links {
        let loop = range.count == Chain.piece ? whole : link.loop(range.count)
        switch link {
        case .unary(let op): Kernels.unary(op, .f32, loop, out: out, a: x)
        case .clamp(let low, let high): Kernels.clamp(.f32, loop, out: out, a: x, low: low, high: high)
        case .binary(let op, let other, let step, let isOtherFirst):
          let b = UnsafeRawPointer(operands[other] + start * step)
          Kernels.binary(op, .f32, loop, out: out, a: isOtherFirst ? b : x, b: isOtherFirst ? x : b)
        }
        x = UnsafeRawPointer(out)
      }
    }
  }
}

extension Planner {
  /// The chain that begins with node `i`: nodes one after the other, each the only reader of the one before. Gives the first operand's
  /// value and the others'; nil when there are not two.
  func chain(from i: Int) -> (links: [Chain.Link], values: [Graph.Value], names: [String])? {
    guard let shape = shapes[graph.nodes[i].output]?.shape else { return nil }
    func isFull(_ value: Graph.Value) -> Bool { shapes[value].map { $0.shape == shape && $0.dtype == .f32 } ?? false }
    func isSingle(_ value: Graph.Value) -> Bool {
      shapes[value].map { $0.shape.reduce(1, *) == 1 && $0.dtype == .f32 } ?? false
    }
    var (links, values, names): ([Chain.Link], [Graph.Value], [String]) = ([], [], [])
    var before: Graph.Value?
    walk: for node in graph.nodes[i...] {
      guard isFull(node.output) else { break }
      if let before, uses[before] != 1 { break }
      let first: Graph.Value
      var other: Graph.Value?
      let link: Chain.Link
      switch node.op {
      case .unary(let op): (first, link) = (node.inputs[0], .unary(op))
      case .clamp(let low, let high): (first, link) = (node.inputs[0], .clamp(low: low, high: high))
      case .binary(let op):
        let (a, b) = (node.inputs[0], node.inputs[1])
        first = before.map { $0 == a ? a : b } ?? (isFull(a) ? a : b)
        let second = first == a ? b : a
        guard isFull(second) || isSingle(second) else { break walk }
        other = second
        link = .binary(op, other: max(1, values.count), step: isFull(second) ? 1 : 0, isOtherFirst: first != a)
      default: break walk
      }
      guard isFull(first), before == nil || first == before else { break }
      if before == nil { values = [first] }
      if let other { values.append(other) }
      links.append(link)
      names.append(node.op.name)
      before = node.output
    }
    return links.count > 1 ? (links, values, names) : nil
  }
}
