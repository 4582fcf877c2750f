package import Columnar
package import Compute
package import Core

extension Expr {
  /// The expression's value for every row of `batch`. Constants stay constants.
  /// - Throws: what `type(in:)` throws, and failures of single rows with `details["row"]` (from 1, within the batch).
  package func evaluate(_ batch: RecordBatch) throws(Failure) -> Operand {
    let n = batch.count
    switch self {
    case .column(let name):
      return Operand(try batch.column(name).decodingDictionary())
    case .literal(let value):
      return Operand(constant: try value.column(value.type(meeting: nil)), count: n)
    case .alias(let e, _): return try e.evaluate(batch)
    case .arithmetic(let op, let a, let b):
      let (x, y) = try Expr.pair(a, b, batch)
      return try named { () throws(Failure) in try Arithmetic.apply(op, x, y) }
    case .compare(let op, let a, let b):
      let (x, y) = try Expr.pair(a, b, batch)
      return try named { () throws(Failure) in try Comparison.apply(op, x, y) }
    case .and(let a, let b): return try Logic.and(try a.evaluate(batch), try b.evaluate(batch))
    case .or(let a, let b): return try Logic.or(try a.evaluate(batch), try b.evaluate(batch))
    case .not(let e): return try Logic.not(try e.evaluate(batch))
    case .negate(let e):
      let x = try e.evaluate(batch)
      return try named { () throws(Failure) in try Arithmetic.negate(x) }
    case .cast(let e, let type, let lenient):
      let x = try e.evaluate(batch)
      return try named { () throws(Failure) in
        let column = try Cast.cast(x.column, to: Cast.target(x.type, type), lenient: lenient)
        return x.isConstant ? Operand(constant: column, count: n) : Operand(column)
      }
    case .function(let f, let arguments):
      return try named { () throws(Failure) in try Expr.call(f, arguments, batch) }
    case .when(let cases, let otherwise):
      let values = try Expr.alike(cases.map(\.value) + [otherwise], batch, self)
      var branches: [(condition: Operand, value: Operand)] = []
      for (k, c) in cases.enumerated() { branches.append((try c.condition.evaluate(batch), values[k])) }
      let rest = values[cases.count]
      return try named { () throws(Failure) in try Conditional.when(branches, otherwise: rest) }
    case .aggregate:
      throw Failure(.typeMismatch, "\(self): an aggregate can only stand in agg { ... }")
    }
  }

  /// Evaluated, and constants repeated to full columns.
  package func column(_ batch: RecordBatch) throws(Failure) -> Column { try evaluate(batch).expanded() }

  /// Failures get the expression's text before them.
  private func named(_ body: () throws(Failure) -> Operand) throws(Failure) -> Operand {
    do throws(Failure) { return try body() } catch {
      // Only the innermost expression is named.
      if error.details["expression"] != nil || error.code == .cancelled || error.code == .memoryLimit { throw error }
      var copy = error.context("\(self)")
      copy.details["expression"] = .string("\(self)")
      throw copy
    }
  }

  private static func pair(_ a: Expr, _ b: Expr, _ batch: RecordBatch) throws(Failure) -> (Operand, Operand) {
    let n = batch.count
    switch (a, b) {
    case (.literal(let x), .literal(let y)):
      let type = x.type(meeting: nil)
      return (Operand(constant: try x.column(type), count: n), Operand(constant: try y.column(y.type(meeting: type)), count: n))
    case (.literal(let x), _):
      let right = try b.evaluate(batch)
      return (Operand(constant: try x.column(x.type(meeting: right.type)), count: n), right)
    case (_, .literal(let y)):
      let left = try a.evaluate(batch)
      return (left, Operand(constant: try y.column(y.type(meeting: left.type)), count: n))
    default: return (try a.evaluate(batch), try b.evaluate(batch))
    }
  }

  /// Values cast to their common type.
  private static func alike(_ values: [Expr], _ batch: RecordBatch, _ whole: Expr) throws(Failure) -> [Operand] {
    let type = try common(values, batch.schema, whole)
    var out: [Operand] = []
    for e in values {
      if case .literal(let value) = e {
        out.append(Operand(constant: try value.column(type), count: batch.count))
      } else {
        let x = try e.evaluate(batch)
        let column = try Cast.cast(x.column, to: type)
        out.append(x.isConstant ? Operand(constant: column, count: batch.count) : Operand(column))
      }
    }
    return out
  }

  private static func call(_ f: Function, _ arguments: [Expr], _ batch: RecordBatch) throws(Failure) -> Operand {
    guard let first = arguments.first else { throw Failure(.invalidArgument, "\(f.name) needs an argument") }
    switch f {
    case .coalesce: return try Nulls.coalesce(try alike(arguments, batch, .function(f, arguments)))
    case .between:
      let (x, low) = try pair(first, arguments[1], batch)
      let (_, high) = try pair(first, arguments[2], batch)
      return try Logic.and(
        try Comparison.apply(.greaterOrEqual, x, low), try Comparison.apply(.lessOrEqual, x, high))
    case .concat(let separator):
      var parts: [Operand] = []
      for e in arguments { parts.append(try e.evaluate(batch)) }
      return try Strings.concat(parts, separator: separator)
    default: break
    }
    let x = try first.evaluate(batch)
    switch f {
    case .isNull: return try Nulls.isNull(x)
    case .isNotNull: return try Nulls.isNull(x, inverted: true)
    case .isNaN: return try Nulls.isNaN(x)
    case .isFinite: return try Nulls.isFinite(x)
    case .isIn(let values):
      var columns: [Column] = []
      var type = x.type
      for value in values {
        let own = value.type(meeting: x.type)
        guard let meet = Comparison.comparable(type, own) else {
          throw Failure(.typeMismatch, "\(type) cannot be equal to \(value)")
        }
        type = meet
        columns.append(try value.column(own))
      }
      var alike: [Column] = []
      for column in columns { alike.append(try Cast.cast(column, to: type)) }
      let set = alike.isEmpty ? try Column.nulls(type, count: 0) : try Column.concatenate(alike, type: type)
      return try Membership.isIn(x, set)
    case .xor: return try Logic.xor(x, try arguments[1].evaluate(batch))
    case .math(let function): return try Math.apply(function, x)
    case .round(let digits): return try Math.round(x, digits: digits)
    case .clip(let low, let high): return try Math.clip(x, low: low, high: high)
    case .text(let how): return try Strings.transform(how, x)
    case .textTest(let what): return try Strings.test(what, x, try arguments[1].evaluate(batch))
    case .replace(let old, let new): return try Strings.replace(x, old: old, new: new)
    case .slice(let start, let length): return try Strings.slice(x, start: start, length: length)
    case .textLength(let bytes): return try Strings.length(x, bytes: bytes)
    case .split(let separator): return try Strings.split(x, separator: separator)
    case .hash(let seed): return try Hashing.hash(x, seed: seed)
    case .flatten: return try Lists.flatten(x)
    case .listLength: return try Lists.length(x)
    case .listGet(let position): return try Lists.get(x, position)
    case .listReduce(let how): return try Lists.reduce(how, x)
    case .coalesce, .between, .concat: return x  // done above
    }
  }
}
