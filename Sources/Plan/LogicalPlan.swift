package import Columnar
package import Compute
package import Core

/// What is to be computed: a tree of relational operators, each with the schema it makes. Plans are values; the factory
/// functions check names and types, so a plan that exists is well typed.
package struct LogicalPlan: Sendable {
  package indirect enum Node: Sendable {
    case scan(any TableSource, columns: [String], filters: [Expr], limit: Int?)
    case project(LogicalPlan, [NamedExpr])
    case filter(LogicalPlan, Expr)
    case limit(LogicalPlan, offset: Int, count: Int?)
    case sort(LogicalPlan, [SortKey])
    case distinct(LogicalPlan, on: [String])
    case aggregate(LogicalPlan, keys: [NamedExpr], calls: [AggregateCall])
    case join(LogicalPlan, LogicalPlan, Join)
    case concat([LogicalPlan])
    case rowIndex(LogicalPlan, name: String, start: Int64)
    case check(LogicalPlan, Check)
  }

  package let node: Node
  package let schema: Schema

  init(_ node: Node, _ schema: Schema) {
    self.node = node
    self.schema = schema
  }
}

/// One column or expression to sort by.
package struct SortKey: Hashable, Sendable {
  package var expr: Expr
  package var descending: Bool
  package var nullsFirst: Bool
  package init(_ expr: Expr, descending: Bool = false, nullsFirst: Bool = false) {
    self.expr = expr
    self.descending = descending
    self.nullsFirst = nullsFirst
  }

  /// A column as people name it in a list: `-name` sorts the other way round.
  package init(named name: String, descending: Bool = false, nullsFirst: Bool = false) {
    let isReversed = name.hasPrefix("-")
    self.init(
      .column(isReversed ? String(name.dropFirst()) : name), descending: isReversed != descending, nullsFirst: nullsFirst)
  }
}

/// One aggregate of a group; `argument` nil counts rows.
package struct AggregateCall: Hashable, Sendable {
  package var name: String
  package var aggregate: Aggregate
  package var argument: Expr?
  package init(_ name: String, _ aggregate: Aggregate, _ argument: Expr?) {
    self.name = name
    self.aggregate = aggregate
    self.argument = argument
  }
}

package struct Join: Hashable, Sendable {
  package enum Kind: String, Sendable, CaseIterable { case inner, left }
  package var kind: Kind
  package var leftOn: [Expr]
  package var rightOn: [Expr]
  /// Columns of the right side that come out: (name there, name in the result).
  package var rightColumns: [RightColumn]

  package struct RightColumn: Hashable, Sendable {
    package var source: String
    package var name: String
  }
}

/// A data test on the rows that pass.
package struct Check: Hashable, Sendable {
  package enum Action: String, Sendable, CaseIterable {
    /// Rows that violate are left out.
    case drop
    /// The first violation ends the run.
    case fail
    /// A bool column with the check's name says which rows violate.
    case flag
  }
  package var name: String
  package var expr: Expr
  package var action: Action
}

extension LogicalPlan {
  /// All columns of a source.
  package static func scan(_ source: any TableSource) -> LogicalPlan {
    let schema = Schema(
      source.schema.fields.map { field in
        if case .dictionary(_, let value) = field.type {
          return Field(field.name, value, isNullable: field.isNullable, metadata: field.metadata)
        }
        return field
      }, metadata: source.schema.metadata)
    return LogicalPlan(.scan(source, columns: schema.names, filters: [], limit: nil), schema)
  }

  static func scan(_ source: any TableSource, _ columns: [String], _ filters: [Expr], _ limit: Int?) throws(Failure)
    -> LogicalPlan
  {
    LogicalPlan(.scan(source, columns: columns, filters: filters, limit: limit), try scan(source).schema.selecting(columns))
  }

  /// The columns `exprs`, in that order.
  package func project(_ exprs: [NamedExpr]) throws(Failure) -> LogicalPlan {
    var fields: [Field] = []
    for e in exprs {
      if e.expr.hasAggregate { throw Failure(.typeMismatch, "\(e.expr): an aggregate can only stand in agg { ... }") }
      let type = try e.expr.type(in: schema)
      if case .column(let name) = e.expr.unaliased, var field = schema.fields.first(where: { $0.name == name }) {
        field.name = e.name
        fields.append(field)
      } else {
        fields.append(Field(e.name, type))
      }
    }
    let made = Schema(fields, metadata: schema.metadata)
    try made.validate()
    return LogicalPlan(.project(self, exprs), made)
  }

  /// All columns, with `exprs` added or put in the place of columns of the same name.
  package func with(_ exprs: [NamedExpr]) throws(Failure) -> LogicalPlan {
    var list = schema.names.map { NamedExpr.column($0) }
    var seen: Set<String> = []
    for e in exprs {
      if !seen.insert(e.name).inserted { throw Failure(.invalidSchema, "column '\(e.name)' is given twice") }
      if let at = list.firstIndex(where: { $0.name == e.name }) { list[at] = e } else { list.append(e) }
    }
    return try project(list)
  }

  /// Rows where `condition` is true.
  package func filter(_ condition: Expr) throws(Failure) -> LogicalPlan {
    if condition.hasAggregate { throw Failure(.typeMismatch, "\(condition): an aggregate can only stand in agg { ... }") }
    let type = try condition.type(in: schema)
    guard type == .bool || type == .null else {
      throw Failure(.typeMismatch, "\(condition): a filter must be Boolean, this is \(type)")
    }
    return LogicalPlan(.filter(self, condition), schema)
  }

  /// `count` rows (nil: all) after the first `offset`.
  package func limit(_ count: Int?, offset: Int = 0) throws(Failure) -> LogicalPlan {
    guard offset >= 0, count ?? 0 >= 0 else { throw Failure(.invalidArgument, "limit and offset must not be negative") }
    return LogicalPlan(.limit(self, offset: offset, count: count), schema)
  }

  package func sort(_ keys: [SortKey]) throws(Failure) -> LogicalPlan {
    guard !keys.isEmpty else { throw Failure(.invalidArgument, "sort needs at least one column") }
    for key in keys {
      let type = try key.expr.type(in: schema)
      guard Sorting.isSortable(type) else { throw Failure(.typeMismatch, "\(key.expr): \(type) values cannot be sorted") }
    }
    return LogicalPlan(.sort(self, keys), schema)
  }

  /// The first row of each different combination of `on` (empty: all columns).
  package func distinct(on: [String]) throws(Failure) -> LogicalPlan {
    for name in on.isEmpty ? schema.names : on {
      let field = try schema.field(name)
      guard Hashing.isKey(field.type) else {
        throw Failure(
          .typeMismatch, "column '\(name)': \(field.type) values cannot be made distinct; name the columns to compare")
      }
    }
    return LogicalPlan(.distinct(self, on: on), schema)
  }

  /// One row per combination of `keys` (one row in all without keys), in order of first appearance.
  package func aggregate(keys: [NamedExpr], _ outputs: [NamedExpr]) throws(Failure) -> LogicalPlan {
    var fields: [Field] = []
    for key in keys {
      if key.expr.hasAggregate { throw Failure(.typeMismatch, "\(key.expr): a group key cannot be an aggregate") }
      let type = try key.expr.type(in: schema)
      guard Hashing.isKey(type) else { throw Failure(.typeMismatch, "\(key.expr): \(type) values cannot be grouped by") }
      fields.append(Field(key.name, type))
    }
    // Each aggregate inside an output becomes a call; outputs that are more than one call are computed above.
    var calls: [AggregateCall] = []
    var final: [NamedExpr] = keys.map { .column($0.name) }
    var simple = true
    for output in outputs {
      guard output.expr.hasAggregate else {
        throw Failure(.typeMismatch, "\(output.expr): agg needs an aggregate such as sum() or mean() for '\(output.name)'")
      }
      _ = try output.expr.type(in: schema)
      if case .aggregate(let aggregate, let argument) = output.expr.unaliased {
        calls.append(AggregateCall(output.name, aggregate, argument))
        final.append(.column(output.name))
        continue
      }
      simple = false
      var made: [AggregateCall] = []
      let rest = output.expr.unaliased.replacingAggregates { aggregate, argument in
        let name = "__\(output.name)_\(made.count + 1)"
        made.append(AggregateCall(name, aggregate, argument))
        return .column(name)
      }
      calls += made
      final.append(NamedExpr(output.name, rest))
    }
    for call in calls { fields.append(Field(call.name, try Expr.aggregate(call.aggregate, call.argument).type(in: schema))) }
    let made = Schema(fields)
    try made.validate()
    let plan = LogicalPlan(.aggregate(self, keys: keys, calls: calls), made)
    return simple ? plan : try plan.project(final)
  }

  /// Rows of both sides whose keys are equal (null equals nothing); `left` keeps left rows without a partner. The right
  /// keys are left out; right columns whose name is taken get `suffix`.
  package func join(
    _ right: LogicalPlan, leftOn: [Expr], rightOn: [Expr], kind: Join.Kind, suffix: String = "_right"
  ) throws(Failure) -> LogicalPlan {
    guard !leftOn.isEmpty, leftOn.count == rightOn.count else {
      throw Failure(
        .invalidArgument, "join needs as many left as right keys, at least one; got \(leftOn.count) and \(rightOn.count)")
    }
    for (a, b) in zip(leftOn, rightOn) {
      let (x, y) = (try a.type(in: schema), try b.type(in: right.schema))
      guard let type = Comparison.comparable(x, y), Hashing.isKey(type) else {
        throw Failure(.typeMismatch, "join: \(a) is \(x) on the left and \(b) is \(y) on the right; cast one of them")
      }
    }
    var taken = Set(schema.names)
    var columns: [Join.RightColumn] = []
    let keys = Set(rightOn.compactMap { e -> String? in if case .column(let name) = e { name } else { nil } })
    for field in right.schema.fields where !keys.contains(field.name) {
      var name = field.name
      if taken.contains(name) { name += suffix }
      guard taken.insert(name).inserted else {
        throw Failure(.invalidSchema, "join: two columns would be named '\(name)'; rename one or give another suffix")
      }
      columns.append(Join.RightColumn(source: field.name, name: name))
    }
    return try joined(right, Join(kind: kind, leftOn: leftOn, rightOn: rightOn, rightColumns: columns))
  }

  func joined(_ right: LogicalPlan, _ join: Join) throws(Failure) -> LogicalPlan {
    var fields = schema.fields
    for column in join.rightColumns {
      var field = try right.schema.field(column.source)
      field.name = column.name
      if join.kind == .left { field.isNullable = true }
      fields.append(field)
    }
    return LogicalPlan(.join(self, right, join), Schema(fields, metadata: schema.metadata))
  }

  /// The rows of all `plans`, one after the other. Columns are matched by name; types meet as in arithmetic.
  package static func concat(_ plans: [LogicalPlan]) throws(Failure) -> LogicalPlan {
    guard let first = plans.first else { throw Failure(.invalidArgument, "concat needs at least one frame") }
    var types = first.schema.fields.map(\.type)
    for (k, plan) in plans.enumerated().dropFirst() {
      for name in plan.schema.names where !first.schema.names.contains(name) {
        throw Failure(
          .invalidSchema,
          "concat: frame \(k + 1) has a column \(nearNames(name, known: first.schema.names, what: "columns of frame 1"))")
      }
      for (i, field) in first.schema.fields.enumerated() {
        guard let other = plan.schema.fields.first(where: { $0.name == field.name }) else {
          throw Failure(.invalidSchema, "concat: frame \(k + 1) has no column '\(field.name)'")
        }
        guard let type = Promotion.common(types[i], other.type) else {
          throw Failure(
            .typeMismatch,
            "concat: column '\(field.name)' is \(types[i]) in frame 1 and \(other.type) in frame \(k + 1); cast one")
        }
        types[i] = type
      }
    }
    let fields = zip(first.schema.fields, types).map { field, type in
      Field(
        field.name, type,
        isNullable: plans.contains { $0.schema.fields.contains { $0.name == field.name && $0.isNullable } },
        metadata: field.metadata)
    }
    let schema = Schema(fields, metadata: first.schema.metadata)
    var parts: [LogicalPlan] = []
    for plan in plans {
      let same = plan.schema.names == schema.names && plan.schema.fields.map(\.type) == types
      parts.append(
        same
          ? plan
          : try plan.project(
            fields.map { field in
              let type = plan.schema.fields.first { $0.name == field.name }?.type
              return NamedExpr(
                field.name, type == field.type ? .column(field.name) : .cast(.column(field.name), field.type, lenient: false))
            }))
    }
    return parts.count == 1 ? parts[0] : LogicalPlan(.concat(parts), schema)
  }

  /// A column of row numbers `start`, `start + 1` ... put first.
  package func rowIndex(_ name: String, start: Int64) throws(Failure) -> LogicalPlan {
    let made = Schema([Field(name, .int64, isNullable: false)] + schema.fields, metadata: schema.metadata)
    try made.validate()
    return LogicalPlan(.rowIndex(self, name: name, start: start), made)
  }

  /// Rows tested by `expr`; a row passes only when it is true.
  package func check(_ name: String, _ expr: Expr, _ action: Check.Action) throws(Failure) -> LogicalPlan {
    let type = try expr.type(in: schema)
    guard type == .bool else { throw Failure(.typeMismatch, "check '\(name)': \(expr) must be Boolean, this is \(type)") }
    guard !checkNames.contains(name) else { throw Failure(.invalidArgument, "two checks are named '\(name)'") }
    var made = schema
    if action == .flag {
      made.fields.append(Field(name, .bool, isNullable: false))
      try made.validate()
    }
    return LogicalPlan(.check(self, Check(name: name, expr: expr, action: action)), made)
  }

  private var checkNames: [String] {
    var names = inputs.flatMap(\.checkNames)
    if case .check(_, let check) = node { names.append(check.name) }
    return names
  }

  /// The plans directly below.
  package var inputs: [LogicalPlan] {
    switch node {
    case .scan: []
    case .project(let p, _), .filter(let p, _), .limit(let p, _, _), .sort(let p, _), .distinct(let p, _),
      .aggregate(let p, _, _), .rowIndex(let p, _, _), .check(let p, _):
      [p]
    case .join(let a, let b, _): [a, b]
    case .concat(let parts): parts
    }
  }

  /// The same operator over other inputs (as many as before, with the same columns by name).
  package func with(inputs: [LogicalPlan]) throws(Failure) -> LogicalPlan {
    switch node {
    case .scan: return self
    case .project(_, let exprs): return try inputs[0].project(exprs)
    case .filter(_, let condition): return try inputs[0].filter(condition)
    case .limit(_, let offset, let count): return try inputs[0].limit(count, offset: offset)
    case .sort(_, let keys): return try inputs[0].sort(keys)
    case .distinct(_, let on): return LogicalPlan(.distinct(inputs[0], on: on), inputs[0].schema)
    case .aggregate(_, let keys, let calls): return LogicalPlan(.aggregate(inputs[0], keys: keys, calls: calls), schema)
    case .join(_, _, let join): return try inputs[0].joined(inputs[1], join)
    case .concat: return LogicalPlan(.concat(inputs), try schema.selecting(inputs[0].schema.names))
    case .rowIndex(_, let name, let start): return try inputs[0].rowIndex(name, start: start)
    case .check(_, let check):
      var made = inputs[0].schema
      if check.action == .flag { made.fields.append(Field(check.name, .bool, isNullable: false)) }
      return LogicalPlan(.check(inputs[0], check), made)
    }
  }
}

extension Expr {
  /// Aggregates replaced, outermost first.
  func replacingAggregates(_ f: (Aggregate, Expr?) -> Expr) -> Expr {
    if case .aggregate(let aggregate, let argument) = self { return f(aggregate, argument) }
    return with(children: children.map { $0.replacingAggregates(f) })
  }
}
