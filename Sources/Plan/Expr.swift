package import Columnar
package import Compute

/// A constant in an expression. Its column type follows from what it meets, see `Literal.type(meeting:)`.
package enum Literal: Hashable, Sendable {
  case null
  case bool(Bool)
  case int(Int64)
  case double(Double)
  case string(String)
  case binary([UInt8])
}

/// An expression over the columns of one table: what a user wrote, not yet bound to data.
package indirect enum Expr: Hashable, Sendable {
  case column(String)
  case literal(Literal)
  case alias(Expr, String)
  case arithmetic(ArithmeticOperator, Expr, Expr)
  case compare(ComparisonOperator, Expr, Expr)
  case and(Expr, Expr)
  case or(Expr, Expr)
  case not(Expr)
  case negate(Expr)
  case cast(Expr, DataType, lenient: Bool)
  case function(Function, [Expr])
  case when([When], otherwise: Expr)
  case aggregate(Aggregate, Expr?)

  /// One branch of `when`.
  package struct When: Hashable, Sendable {
    package var condition: Expr
    package var value: Expr
    package init(_ condition: Expr, _ value: Expr) {
      self.condition = condition
      self.value = value
    }
  }
}

/// Functions of expressions; arguments that must be known beforehand are part of the case.
package enum Function: Hashable, Sendable {
  case isNull, isNotNull, isNaN, isFinite
  case coalesce
  /// Arguments: value, low, high; both ends belong to the range.
  case between
  case isIn([Literal])
  case xor
  case math(Math.Function)
  case round(digits: Int)
  case clip(low: Double?, high: Double?)
  case text(Strings.Transform)
  case textTest(Strings.Test)
  case replace(old: String, new: String)
  case slice(start: Int, length: Int?)
  case textLength(bytes: Bool)
  case concat(separator: String)
  case split(separator: String)
  case hash(seed: Int64)
  case flatten, listLength
  case listGet(Int)
  case listReduce(Lists.Reduction)
}

/// An expression and the column it becomes.
package struct NamedExpr: Hashable, Sendable {
  package var name: String
  package var expr: Expr
  package init(_ name: String, _ expr: Expr) {
    self.name = name
    self.expr = expr
  }
  /// A column passed on under its own name.
  package static func column(_ name: String) -> NamedExpr { NamedExpr(name, .column(name)) }
  /// True when a column is passed on under its own name.
  package var isPassed: Bool { expr == .column(name) }
}

extension Expr {
  /// The expressions directly below.
  package var children: [Expr] {
    switch self {
    case .column, .literal: []
    case .alias(let e, _), .not(let e), .negate(let e), .cast(let e, _, _): [e]
    case .arithmetic(_, let a, let b), .compare(_, let a, let b), .and(let a, let b), .or(let a, let b): [a, b]
    case .function(_, let arguments): arguments
    case .when(let cases, let otherwise): cases.flatMap { [$0.condition, $0.value] } + [otherwise]
    case .aggregate(_, let e): e.map { [$0] } ?? []
    }
  }

  /// The same node over other children (as many as before).
  package func with(children c: [Expr]) -> Expr {
    switch self {
    case .column, .literal: self
    case .alias(_, let name): .alias(c[0], name)
    case .not: .not(c[0])
    case .negate: .negate(c[0])
    case .cast(_, let type, let lenient): .cast(c[0], type, lenient: lenient)
    case .arithmetic(let op, _, _): .arithmetic(op, c[0], c[1])
    case .compare(let op, _, _): .compare(op, c[0], c[1])
    case .and: .and(c[0], c[1])
    case .or: .or(c[0], c[1])
    case .function(let f, _): .function(f, c)
    case .when(let cases, _):
      .when(cases.indices.map { When(c[2 * $0], c[2 * $0 + 1]) }, otherwise: c[c.count - 1])
    case .aggregate(let a, let e): .aggregate(a, e == nil ? nil : c[0])
    }
  }

  /// Every node replaced by `f` of it, leaves first.
  package func transformed(_ f: (Expr) -> Expr) -> Expr { f(with(children: children.map { $0.transformed(f) })) }

  /// Names of all columns used, in order of first use.
  package var columns: [String] {
    var names: [String] = []
    func visit(_ e: Expr) {
      if case .column(let name) = e, !names.contains(name) { names.append(name) }
      for child in e.children { visit(child) }
    }
    visit(self)
    return names
  }

  package var hasAggregate: Bool {
    if case .aggregate = self { return true }
    return children.contains(where: \.hasAggregate)
  }

  /// The name of the column that this expression makes: its alias, or that of its first column; nil for plain constants.
  package var outputName: String? {
    switch self {
    case .column(let name), .alias(_, let name): return name
    case .aggregate(.count, nil): return "count"
    default:
      for child in children { if let name = child.outputName { return name } }
      return nil
    }
  }

  /// Parts joined by `&`.
  package var conjuncts: [Expr] {
    if case .and(let a, let b) = self { return a.conjuncts + b.conjuncts }
    return [self]
  }

  /// All of `parts` joined by `&`; nil for none.
  package static func conjunction(_ parts: [Expr]) -> Expr? {
    parts.isEmpty ? nil : joined(parts[...]) { .and($0, $1) }
  }

  /// Columns replaced by expressions.
  package func substituting(_ map: [String: Expr]) -> Expr {
    transformed { e in
      if case .column(let name) = e, let other = map[name] { return other }
      return e
    }
  }

  /// Without aliases.
  package var unaliased: Expr {
    transformed { e in
      if case .alias(let inner, _) = e { return inner }
      return e
    }
  }
}
