package import Core
import TensorKernels

/// Sums of products named by letters.
extension Tensor {
  /// Einstein's sum: `"bij,bjk->bik"`. A letter per dim, the same letter for dims that go together; letters that are not right of
  /// the arrow are summed over; `...` stands for dims that broadcast. Without an arrow the result has the letters that stand once, in
  /// alphabetical order. A letter twice in one term takes the diagonal. Products are matrix products, from left to right.
  package static func einsum(_ equation: String, _ operands: [Tensor]) throws(Failure) -> Tensor {
    let plan = try EinsumPlan(equation, operands)
    var left = try plan.term(0, operands)
    for i in 1..<max(1, operands.count) {
      let right = try plan.term(i, operands)
      var later = Set(plan.result)
      for t in plan.terms[(i + 1)...] { later.formUnion(t) }
      left = try left.product(right, keeping: later)
    }
    // What is left over is summed; what only had extent 1 may have gone.
    left = try left.summed { plan.result.contains($0) }
    for label in plan.result where !left.labels.contains(label) {
      left = Term(tensor: try left.tensor.unsqueezed(-1), labels: left.labels + [label])
    }
    return try left.tensor.permuted(plan.result.map { left.labels.firstIndex(of: $0) ?? 0 })
  }
}

/// A tensor whose dims have names.
private struct Term {
  var tensor: Tensor
  var labels: [Int]

  func extent(_ label: Int) -> Int { labels.firstIndex(of: label).map { tensor.shape[$0] } ?? 1 }

  /// Summed over the labels that are not wanted.
  func summed(_ isWanted: (Int) -> Bool) throws(Failure) -> Term {
    let gone = labels.indices.filter { !isWanted(labels[$0]) }
    return gone.isEmpty ? self : Term(tensor: try tensor.sum(gone), labels: labels.filter(isWanted))
  }

  /// Without the dims of extent 1 that broadcast against `other`.
  private func narrowed(for other: Term) throws(Failure) -> Term {
    var out = self
    for label in labels where other.labels.contains(label) && extent(label) == 1 && other.extent(label) != 1 {
      guard let at = out.labels.firstIndex(of: label) else { continue }
      out.tensor = try out.tensor.squeezed(at)
      out.labels.remove(at: at)
    }
    return out
  }

  /// As (batch, rows, columns), the labels of each in order.
  private func folded(_ batch: [Int], _ rows: [Int], _ columns: [Int]) throws(Failure) -> Tensor {
    let order = (batch + rows + columns).map { labels.firstIndex(of: $0) ?? 0 }
    let parts = [batch, rows, columns].map { $0.map(extent) }
    var shape: [Int] = []
    for part in parts { shape.append(try Shape.count(part, op: "einsum")) }
    return try tensor.permuted(order).reshaped(batch.isEmpty ? Array(shape.dropFirst()) : shape)
  }

  /// The product of two, summed over what both have and nobody wants later.
  func product(_ given: Term, keeping later: Set<Int>) throws(Failure) -> Term {
    let a = try narrowed(for: given).summed { later.contains($0) || given.labels.contains($0) }
    let b = try given.narrowed(for: self).summed { later.contains($0) || a.labels.contains($0) }
    let x = try a.summed { later.contains($0) || b.labels.contains($0) }
    let common = x.labels.filter { b.labels.contains($0) }
    let (batch, inner) = (common.filter(later.contains), common.filter { !later.contains($0) })
    let (rows, columns) = (x.labels.filter { !common.contains($0) }, b.labels.filter { !common.contains($0) })
    let out = try Tensor.matmul(x.folded(batch, rows, inner), b.folded(batch, inner, columns))
    let labels = batch + rows + columns
    return Term(tensor: try out.reshaped(batch.map(x.extent) + rows.map(x.extent) + columns.map(b.extent)), labels: labels)
  }
}

/// The letters of an equation as numbers; dims of `...` are numbered from the last one on, so that they meet at the end.
private struct EinsumPlan {
  var terms: [[Int]] = []
  var result: [Int] = []
  private static let firstOfRest = 1 << 16

  init(_ equation: String, _ operands: [Tensor]) throws(Failure) {
    func wrong(_ what: String) -> Failure { Failure(.invalidArgument, "einsum: '\(equation.prefix(100))' \(what)") }
    let text = equation.filter { $0 != " " }
    let sides = text.split(separator: "->", omittingEmptySubsequences: false)
    guard text.utf8.count <= 1000, sides.count <= 2, let first = sides.first else { throw wrong("must have one arrow at most") }
    let inputs = first.split(separator: ",", omittingEmptySubsequences: false)
    guard !operands.isEmpty, inputs.count == operands.count else {
      throw wrong("has \(inputs.count) terms for \(operands.count) tensors")
    }
    var extents: [Int: Int] = [:]
    var rest = 0
    for (i, (term, operand)) in zip(inputs, operands).enumerated() {
      let letters = try EinsumPlan.letters(term, wrong)
      let named = letters.filter { $0 >= 0 }.count
      let hasRest = named < letters.count
      guard hasRest ? named <= operand.rank : named == operand.rank else {
        throw Failure(
          .shapeMismatch,
          "einsum: term \(i + 1), '\(term)', does not fit shape \(Shape.text(operand.shape)) of \(operand.rank) dims")
      }
      let open = operand.rank - named
      if hasRest { rest = max(rest, open) }
      let labels = letters.flatMap { $0 >= 0 ? [$0] : (0..<open).map { EinsumPlan.firstOfRest + open - 1 - $0 } }
      for (label, extent) in zip(labels, operand.shape) {
        let known = extents[label] ?? 1
        guard known == extent || known == 1 || extent == 1 else {
          throw Failure(
            .shapeMismatch,
            "einsum: term \(i + 1), '\(term)', of shape \(Shape.text(operand.shape)) has extent \(extent) where another has \(known)"
          )
        }
        extents[label] = known == 1 ? extent : known
      }
      terms.append(labels)
    }
    let restLabels = (0..<rest).map { EinsumPlan.firstOfRest + rest - 1 - $0 }
    if sides.count == 2 {
      let letters = try EinsumPlan.letters(sides[1], wrong)
      result = letters.flatMap { $0 >= 0 ? [$0] : restLabels }
      guard Set(result).count == result.count else { throw wrong("names a dim of the result twice") }
      for label in letters where label >= 0 && extents[label] == nil {
        throw wrong("has a letter on the right that is not on the left")
      }
    } else {
      let all = terms.flatMap { $0 }.filter { $0 < EinsumPlan.firstOfRest }
      result = restLabels + Set(all).filter { letter in all.filter { $0 == letter }.count == 1 }.sorted()
    }
  }

  /// Letters as their codes, `...` as -1.
  private static func letters(_ term: Substring, _ wrong: (String) -> Failure) throws(Failure) -> [Int] {
    var out: [Int] = []
    var left = term.utf8[...]
    while let byte = left.first {
      if byte == UInt8(ascii: ".") {
        guard left.prefix(3).elementsEqual("...".utf8), !out.contains(-1) else {
          throw wrong("has dots that are not one '...'")
        }
        out.append(-1)
        left = left.dropFirst(3)
      } else {
        guard (65...90).contains(byte) || (97...122).contains(byte) else {
          throw wrong("must be of letters, commas, '...' and one '->'")
        }
        out.append(Int(byte))
        left = left.dropFirst()
      }
    }
    return out
  }

  /// Operand `i` with each label once.
  func term(_ i: Int, _ operands: [Tensor]) throws(Failure) -> Term {
    var out = Term(tensor: operands[i], labels: terms[i])
    var at = 0
    while at < out.labels.count {
      guard let second = out.labels[(at + 1)...].firstIndex(of: out.labels[at]) else {
        at += 1
        continue
      }
      guard out.tensor.shape[at] == out.tensor.shape[second] else {
        throw Failure(
          .shapeMismatch,
          "einsum: a letter stands for extents \(out.tensor.shape[at]) and \(out.tensor.shape[second]) of tensor \(i + 1)")
      }
      let label = out.labels[at]
      out.tensor = try out.tensor.diagonal(0, at, second)
      out.labels.remove(at: second)
      out.labels.remove(at: at)
      out.labels.append(label)
    }
    return out
  }
}
