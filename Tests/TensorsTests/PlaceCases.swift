import Core
import Glibc
import TensorKernels
import Tensors

/// The table's rows of `Rearrange`, `Extremes` and `Einsum`.
extension OpCase {
  static let places: [OpCase] = [
    OpCase("einsum", naive: einsum) { x, a in [try Tensor.einsum(a.object["equation"]?.stringValue ?? "", x)] },
    OpCase(
      "flip",
      naive: { x, a in
        let dims = a.ints("dims") ?? []
        return Array(x[0].shape) { at in
          x[0].at(at.indices.map { dims.contains($0) ? x[0].shape[$0] - 1 - at[$0] : at[$0] })
        }
      }
    ) { x, a in [try x[0].flipped(a.ints("dims") ?? [])] },
    OpCase(
      "roll",
      naive: { x, a in
        let (shift, dim) = (a.int("shift") ?? 0, a.int("dim") ?? 0)
        let n = x[0].shape[dim]
        return Array(x[0].shape) { at in
          var from = at
          from[dim] = ((at[dim] - shift) % n + n) % n
          return x[0].at(from)
        }
      }
    ) { x, a in [try x[0].rolled(a.int("shift") ?? 0, a.int("dim") ?? 0)] },
    OpCase(
      "tile",
      naive: { x, a in
        let times = a.ints("times") ?? []
        let rank = max(times.count, x[0].shape.count)
        let extents = [Int](repeating: 1, count: rank - x[0].shape.count) + x[0].shape
        let counts = [Int](repeating: 1, count: rank - times.count) + times
        let wide = Array(extents, x[0].values)
        return Array(zip(extents, counts).map { $0 * $1 }) { at in wide.at(zip(at, extents).map { $0 % $1 }) }
      }
    ) { x, a in [try x[0].tiled(a.ints("times") ?? [])] },
    OpCase(
      "repeat_interleave",
      naive: { x, a in
        let (times, dim) = (a.int("times") ?? 1, a.int("dim") ?? 0)
        var shape = x[0].shape
        shape[dim] *= times
        return Array(shape) { at in x[0].at(at.indices.map { $0 == dim ? at[$0] / times : at[$0] }) }
      }
    ) { x, a in [try x[0].interleaved(a.int("times") ?? 1, a.int("dim") ?? 0)] },
    OpCase("diagonal") { x, a in [try x[0].diagonal(a.int("offset") ?? 0, a.int("a") ?? 0, a.int("b") ?? 1)] },
    OpCase("tril", naive: { x, a in triangle(x[0]) { $1 - $0 <= a.int("offset") ?? 0 } }) { x, a in
      [try x[0].triangle(lower: true, a.int("offset") ?? 0)]
    },
    OpCase("triu", naive: { x, a in triangle(x[0]) { $1 - $0 >= a.int("offset") ?? 0 } }) { x, a in
      [try x[0].triangle(lower: false, a.int("offset") ?? 0)]
    },
    OpCase(
      "masked_fill", naive: { x, a in Array(x[0].shape) { x[1].at($0) != 0 ? a.double("value") : x[0].at($0) } }
    ) { x, a in [try x[0].maskedFilled(x[1], Tensor.scalar(a.double("value"), x[0].dtype))] },
    OpCase("scatter", naive: { x, a in scatter(x[0], x[1], a.int("dim") ?? 0) { x[2].at($0) } }) { x, a in
      [try x[0].scattered(a.int("dim") ?? 0, x[1], x[2])]
    },
    OpCase("scatter_value", naive: { x, a in scatter(x[0], x[1], a.int("dim") ?? 0) { _ in a.double("value") } }) { x, a in
      [try x[0].scattered(a.int("dim") ?? 0, x[1], Tensor.scalar(a.double("value"), x[0].dtype))]
    },
    OpCase(
      "masked_select",
      naive: { x, _ in
        let picked = Array.indices(x[0].shape).filter { x[1].at($0) != 0 }.map { x[0].at($0) }
        return Array([picked.count], picked)
      }
    ) { x, _ in [try x[0].maskedSelected(x[1])] },
    OpCase(
      "nonzero",
      naive: { x, _ in
        let found = Array.indices(x[0].shape).filter { x[0].at($0) != 0 }
        return Array([found.count, x[0].shape.count], found.flatMap { $0.map { Double($0) } })
      }
    ) { x, _ in [try x[0].nonZero()] },
    OpCase(
      "scatter_part",
      naive: { x, a in scatter(x[0], x[1], a.int("dim") ?? 0, adds: a.bool("adds")) { x[2].at($0) } }
    ) { x, a in [try x[0].scatteredPart(a.int("dim") ?? 0, x[1], x[2], adds: a.bool("adds"))] },
    OpCase(
      "gather_part",
      naive: { x, a in
        let dim = a.int("dim") ?? 0
        return Array(x[1].shape) { at in x[0].at(at.indices.map { $0 == dim ? Int(x[1].at(at)) : at[$0] }) }
      }
    ) { x, a in [try x[0].gatheredPart(a.int("dim") ?? 0, x[1])] },
    OpCase(
      "normalize",
      naive: { x, a in
        lines(x[0], a.int("dim") ?? 0) { line in line.map { $0 / length(line) } }
      }
    ) { x, a in [try x[0].unitVectors(a.int("dim") ?? 0)] },
    OpCase(
      "cosine_similarity",
      naive: { x, a in
        let dim = a.int("dim") ?? 0
        let (p, q) = (lines(x[0], dim) { l in l.map { $0 / length(l) } }, lines(x[1], dim) { l in l.map { $0 / length(l) } })
        return fold(Array(p.shape, zip(p.values, q.values).map { $0 * $1 }), [dim], keep: false) { $0.reduce(0, +) }
      }
    ) { x, a in [try Tensor.cosineSimilarity(x[0], x[1], a.int("dim") ?? 0)] },
    OpCase("amax", naive: { x, a in fold(x[0], a.ints("dims"), keep: a.bool("keep")) { $0.max() ?? .nan } }) { x, a in
      [try x[0].amax(largest: true, a.ints("dims"), keepDims: a.bool("keep"))]
    },
    OpCase("amin", naive: { x, a in fold(x[0], a.ints("dims"), keep: a.bool("keep")) { $0.min() ?? .nan } }) { x, a in
      [try x[0].amax(largest: false, a.ints("dims"), keepDims: a.bool("keep"))]
    },
    OpCase(
      "logsumexp",
      naive: { x, a in
        fold(x[0], a.ints("dims"), keep: a.bool("keep")) { line in
          let top = line.max() ?? 0
          return log(line.reduce(0) { $0 + exp($1 - top) }) + top
        }
      }
    ) { x, a in [try x[0].logsumexp(a.ints("dims"), keepDims: a.bool("keep"))] },
  ]

  private static func length(_ v: [Double]) -> Double { v.reduce(0) { $0 + $1 * $1 }.squareRoot() }
  private static func triangle(_ x: Array, _ isKept: (Int, Int) -> Bool) -> Array {
    Array(x.shape) { at in isKept(at[at.count - 2], at[at.count - 1]) ? x.at(at) : 0 }
  }
  private static func scatter(
    _ x: Array, _ index: Array, _ dim: Int, adds: Bool = false, _ source: ([Int]) -> Double
  ) -> Array {
    var out = x
    for at in Array.indices(index.shape) {
      var to = at
      to[dim] = Int(index.at(at))
      var flat = 0
      for d in to.indices { flat = flat * x.shape[d] + to[d] }
      out.values[flat] = source(at) + (adds ? out.values[flat] : 0)
    }
    return out
  }

  /// A loop over all values of all letters; dots become letters.
  @Sendable private static func einsum(_ x: [Array], _ a: Attributes) -> Array {
    var equation = a.object["equation"]?.stringValue ?? ""
    // Dots become letters that no case uses, aligned at the end.
    let sides = equation.split(separator: "-").map { $0.filter { $0 != ">" } }
    let terms = (sides.first ?? "").split(separator: ",", omittingEmptySubsequences: false).map(String.init)
    let open = zip(terms, x).map { $0.contains("...") ? $1.shape.count - ($0.count - 3) : 0 }
    func spelled(_ term: String, _ count: Int) -> [Character] {
      Swift.Array(term.replacing("...", with: String("UVWXYZ".suffix(count))))
    }
    let inputs = zip(terms, open).map(spelled)
    equation = inputs.map { String($0) }.joined()
    let out =
      sides.count > 1
      ? spelled(String(sides[1]), open.max() ?? 0)
      : Set(equation).filter { c in equation.filter { $0 == c }.count == 1 }.sorted()
    var extents: [Character: Int] = [:]
    for (term, t) in zip(inputs, x) { for (c, n) in zip(term, t.shape) { extents[c] = max(extents[c] ?? 1, n) } }
    let summed = Set(equation).subtracting(out).sorted()
    let inner = Array.indices(summed.map { extents[$0] ?? 1 })
    return Array(out.map { extents[$0] ?? 1 }) { at in
      inner.reduce(0.0) { total, rest in
        let place = Dictionary(uniqueKeysWithValues: zip(out + summed, at + rest))
        return total + zip(inputs, x).reduce(1.0) { $0 * $1.1.at($1.0.map { place[$0] ?? 0 }) }
      }
    }
  }
}
