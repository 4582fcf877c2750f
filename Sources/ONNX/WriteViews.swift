import Core
import TensorGraph
import TensorKernels
import Tensors

/// Ops that show the same elements under another shape.
extension GraphWriter {
  mutating func view(_ op: GraphOp, _ input: Graph.Value) throws(Failure) -> String {
    let x = try name(input)
    let (extents, isFree) = try shape(input)
    switch op {
    case .reshape(let wanted):
      // 0 would copy an extent there; here it is an extent without elements.
      return node("Reshape", [x, try constant(wanted)], wanted.contains(0) ? [.int("allowzero", 1)] : [])
    case .flatten(let from, let to): return try flatten(x, extents, isFree, from, to)
    case .permute(let order): return node("Transpose", [x], [.ints("perm", order)])
    case .expand(let wanted):
      // 1 keeps an extent there.
      return node("Expand", [x, try constant(wanted.map { $0 == -1 ? 1 : $0 })])
    case .unsqueeze(let dim): return node("Unsqueeze", [x, try constant([dim])])
    case .squeeze(let dims):
      let ones = dims.filter { extents.indices.contains($0) && extents[$0] == 1 && !isFree[$0] }
      return ones.isEmpty ? x : node("Squeeze", [x, try constant(ones)])
    case .slice(let dim, let from, let to, let step):
      return node(
        "Slice", [x, try constant([from]), try constant([to ?? Int.max]), try constant([dim]), try constant([step])])
    case .select(let dim, let index):
      return node("Gather", [x, try constant(Tensor.scalar(integer: Int64(index), .i64))], [.int("axis", dim)])
    default:
      throw Failure(.internalError, "onnx: \(op.name) is no view")
    }
  }

  /// Flatten where all but the batch is joined, else Reshape. Source: onnx.ai/onnx/operators/onnx__Flatten.html.
  private mutating func flatten(_ x: String, _ extents: [Int], _ isFree: [Bool], _ from: Int, _ to: Int) throws(Failure)
    -> String
  {
    guard from <= to, from >= 0, to < extents.count else { return node("Reshape", [x, try constant([1])]) }
    if from == 1, to == extents.count - 1 { return node("Flatten", [x], [.int("axis", 1)]) }
    var wanted = [Int](repeating: 0, count: from)
    // One extent can be left open: the joined one, unless one behind it depends on the batch.
    let behind = (to + 1)..<extents.count
    let freeBehind = behind.filter { isFree[$0] }
    let joinedIsFree = (from...to).contains { isFree[$0] }
    guard freeBehind.count <= (joinedIsFree ? 0 : 1) else {
      throw Failure(.unsupported, "more than one extent behind the joined ones depends on the batch")
    }
    wanted.append(freeBehind.isEmpty ? -1 : extents[from...to].reduce(1, *))
    wanted += behind.map { isFree[$0] ? -1 : extents[$0] }
    return node("Reshape", [x, try constant(wanted)])
  }
}
