import Columnar
import Compute
import Core
package import LuaHost
package import Plan

/// An expression in Lua: `df.col "x" * 2`. Immutable; every method and operator gives another one.
package final class LuaExpr: LuaObject {
  package let expr: Expr
  package init(_ expr: Expr) { self.expr = expr }

  package static let luaType = ObjectType(
    "Expr",
    "An expression over columns. Operators: + - * / // % ^ .. & | ~ and unary -. Comparisons are methods (:eq :ne :lt :le :gt :ge), because Lua turns == and < into true or false.",
    comparisons + nullsAndCasts + numbers + strings + lists + aggregates, metamethods: operators)
}

extension Call {
  /// Pushes an expression.
  func push(_ expr: Expr) throws(Failure) -> Int32 { try push(object: LuaExpr(expr)) }

  /// The expression that is `self`.
  func selfExpr() throws(Failure) -> Expr { try object(1, as: LuaExpr.self).expr }

  /// An argument as an expression: an Expr as it is; a number, string, boolean or null as a constant.
  func operand(_ index: Int32) throws(Failure) -> Expr {
    if let object = objectIfPresent(index, as: LuaExpr.self) { return object.expr }
    return .literal(try literal(index))
  }

  /// A number, string, boolean, nil or null as a constant.
  func literal(_ index: Int32) throws(Failure) -> Literal {
    if isNil(index) || isNull(index) { return .null }
    if isBoolean(index) { return .bool(try boolean(index)) }
    if isNumber(index), !isFloat(index) { return .int(Int64(try integer(index))) }
    if isNumber(index) { return .double(try number(index)) }
    if isString(index) { return .string(try string(index)) }
    throw bad(index, "an expression, number, string or boolean expected, got \(describe(index))")
  }

  /// An argument as a condition: an expression, or text in SQL's words (`Expr(parsing:)`).
  func condition(_ index: Int32) throws(Failure) -> Expr {
    if let object = objectIfPresent(index, as: LuaExpr.self) { return object.expr }
    if isString(index) { return try Expr(parsing: try string(index)) }
    let hint = isBoolean(index) ? "; '==' between an expression and a value gives true or false, write :eq(value)" : ""
    throw bad(index, "an expression expected, got \(describe(index))\(hint)")
  }

  /// The condition in option `name`; nil when it is absent.
  func condition(_ options: borrowing Options, _ name: String) throws(Failure) -> Expr? {
    guard options.has(name) else { return nil }
    _ = options.push(name)
    defer { pop() }
    if let object = objectIfPresent(-1, as: LuaExpr.self) { return object.expr }
    if isString(-1) { return try Expr(parsing: try string(-1)) }
    throw options.bad(name, "must be an expression or a text such as \"label = 3\", got \(describe(-1))")
  }

  /// An argument as a column: a string is a column's name, an Expr is itself.
  func column(_ index: Int32) throws(Failure) -> Expr {
    if isString(index) { return .column(try string(index)) }
    if let object = objectIfPresent(index, as: LuaExpr.self) { return object.expr }
    throw bad(index, "a column name or an expression expected, got \(describe(index))")
  }
}

extension LuaExpr {
  private static func function(_ name: String, _ signature: String, _ doc: String, _ make: @escaping @Sendable (Expr) -> Expr)
    -> Fn
  {
    Fn(name, signature, doc) { call in try call.push(make(try call.selfExpr())) }
  }

  private static func comparison(_ name: String, _ op: ComparisonOperator, _ doc: String) -> Fn {
    Fn(name, "fun(self: Expr, other: any): Expr", doc) { call in
      try call.push(.compare(op, try call.selfExpr(), try call.operand(2)))
    }
  }

  private static let comparisons: [Fn] = [
    comparison("eq", .equal, "Equal; null where a side is null."),
    comparison("ne", .notEqual, "Not equal."),
    comparison("lt", .less, "Less."),
    comparison("le", .lessOrEqual, "Less or equal."),
    comparison("gt", .greater, "Greater."),
    comparison("ge", .greaterOrEqual, "Greater or equal."),
    Fn("between", "fun(self: Expr, low: any, high: any): Expr", "low <= value <= high.") { call in
      try call.push(.function(.between, [try call.selfExpr(), try call.operand(2), try call.operand(3)]))
    },
    Fn("is_in", "fun(self: Expr, values: any[]): Expr", "One of the values of a list.") { call in
      var values: [Literal] = []
      try call.forEachElement(2) { _ in values.append(try call.literal(-1)) }
      return try call.push(.function(.isIn(values), [try call.selfExpr()]))
    },
  ]

  private static let nullsAndCasts: [Fn] = [
    Fn("alias", "fun(self: Expr, name: string): Expr", "The same values as column `name`.") { call in
      try call.push(.alias(try call.selfExpr(), try call.string(2)))
    },
    Fn(
      "cast", "fun(self: Expr, type: string): Expr",
      "As another type, such as \"f32\"; a value that does not fit is an error. Lists are cast item by item."
    ) {
      call in try call.push(.cast(try call.selfExpr(), try DataType(parsing: try call.string(2)), lenient: false))
    },
    Fn("try_cast", "fun(self: Expr, type: string): Expr", "As another type; a value that does not fit becomes null.") { call in
      try call.push(.cast(try call.selfExpr(), try DataType(parsing: try call.string(2)), lenient: true))
    },
    function("is_null", "fun(self: Expr): Expr", "True where the value is null.") { .function(.isNull, [$0]) },
    function("is_not_null", "fun(self: Expr): Expr", "True where the value is not null.") { .function(.isNotNull, [$0]) },
    function("is_nan", "fun(self: Expr): Expr", "True where the value is NaN (which is not null).") { .function(.isNaN, [$0]) },
    function("is_finite", "fun(self: Expr): Expr", "True where the value is neither NaN nor infinite.") {
      .function(.isFinite, [$0])
    },
    Fn("fill_null", "fun(self: Expr, value: any): Expr", "Nulls replaced by a constant or another expression.") { call in
      try call.push(.function(.coalesce, [try call.selfExpr(), try call.operand(2)]))
    },
    Fn(
      "hash", "fun(self: Expr, seed?: integer): Expr",
      "A number from 0 to 2^63 - 1 that is the same on every machine; for splits and samples."
    ) { call in
      try call.push(.function(.hash(seed: Int64(try call.optionalInteger(2) ?? 0)), [try call.selfExpr()]))
    },
  ]

  private static let numbers: [Fn] =
    Math.Function.allCases.map { f in
      function(f.rawValue, "fun(self: Expr): Expr", "\(f.rawValue) of every number.") { .function(.math(f), [$0]) }
    } + [
      Fn("round", "fun(self: Expr, digits?: integer): Expr", "Rounded, half away from zero, to `digits` decimals (default 0).")
      { call in
        try call.push(.function(.round(digits: try call.optionalInteger(2) ?? 0), [try call.selfExpr()]))
      },
      Fn("clip", "fun(self: Expr, low?: number, high?: number): Expr", "Not below low, not above high.") { call in
        try call.push(
          .function(.clip(low: try call.optionalNumber(2), high: try call.optionalNumber(3)), [try call.selfExpr()]))
      },
    ]

  private static let strings: [Fn] =
    Strings.Transform.allCases.map { t in
      function(t.rawValue, "fun(self: Expr): Expr", "\(t.rawValue) of every string.") { .function(.text(t), [$0]) }
    }
    + Strings.Test.allCases.map { t in
      Fn(
        t.rawValue, "fun(self: Expr, text: any): Expr",
        t == .like
          ? "True where the string is like a pattern: % is any text, _ one character, \\ takes the next as it is."
          : "True where the string \(t.rawValue.replacing("_", with: " ")) `text` (plain text)."
      ) { call in
        try call.push(.function(.textTest(t), [try call.selfExpr(), try call.operand(2)]))
      }
    } + [
      Fn("replace", "fun(self: Expr, old: string, new: string): Expr", "Every `old` replaced by `new` (plain text).") { call in
        try call.push(.function(.replace(old: try call.string(2), new: try call.string(3)), [try call.selfExpr()]))
      },
      Fn(
        "slice", "fun(self: Expr, start: integer, length?: integer): Expr",
        "Characters from position `start` (1 is the first, -1 the last)."
      ) { call in
        try call.push(.function(.slice(start: try call.integer(2), length: try call.optionalInteger(3)), [try call.selfExpr()]))
      },
      function("length", "fun(self: Expr): Expr", "Characters of every string.") { .function(.textLength(bytes: false), [$0]) },
      function("byte_length", "fun(self: Expr): Expr", "Bytes of every string.") { .function(.textLength(bytes: true), [$0]) },
      Fn("split", "fun(self: Expr, separator: string): Expr", "The parts between separators, as a list.") { call in
        try call.push(.function(.split(separator: try call.string(2)), [try call.selfExpr()]))
      },
    ]

  private static let lists: [Fn] =
    [
      function("flatten", "fun(self: Expr): Expr", "Lists of lists as one list: 28x28 becomes 784.") {
        .function(.flatten, [$0])
      },
      function("len", "fun(self: Expr): Expr", "Items of every list.") { .function(.listLength, [$0]) },
      Fn("get", "fun(self: Expr, position: integer): Expr", "One item of every list; 1 is the first, -1 the last.") { call in
        try call.push(.function(.listGet(try call.integer(2)), [try call.selfExpr()]))
      },
    ]
    + Lists.Reduction.allCases.map { r in
      function(r.rawValue, "fun(self: Expr): Expr", "\(r.rawValue.dropFirst(5)) of the items of every list.") {
        .function(.listReduce(r), [$0])
      }
    }

  private static func aggregate(_ name: String, _ doc: String, _ aggregate: Aggregate) -> Fn {
    function(name, "fun(self: Expr): Expr", doc) { .aggregate(aggregate, $0) }
  }

  private static let aggregates: [Fn] = [
    aggregate("count", "Values that are not null, per group.", .count),
    aggregate("sum", "Sum per group.", .sum),
    aggregate("mean", "Mean per group.", .mean),
    aggregate("min", "Least value per group.", .min),
    aggregate("max", "Greatest value per group.", .max),
    aggregate("std", "Standard deviation per group (n - 1).", .std),
    aggregate("var", "Variance per group (n - 1).", .variance),
    aggregate("median", "Median per group.", .median),
    aggregate("n_unique", "Different values per group; null is one.", .nUnique),
    aggregate("first", "First value per group.", .first),
    aggregate("last", "Last value per group.", .last),
    aggregate("list", "All values per group as a list.", .list),
    aggregate("any", "True where any value of the group is true.", .any),
    aggregate("all", "True where all values of the group are true.", .all),
    Fn("quantile", "fun(self: Expr, q: number): Expr", "Quantile q (0 to 1) per group, interpolated.") { call in
      let q = try call.number(2)
      guard q >= 0, q <= 1 else { throw call.bad(2, "a number from 0 to 1 expected, got \(call.describe(2))") }
      return try call.push(.aggregate(.quantile(q), try call.selfExpr()))
    },
  ]

  private static func arithmetic(_ name: String, _ op: ArithmeticOperator) -> Fn {
    Fn(name, "fun(a: any, b: any): Expr", "a \(op.rawValue) b.") { call in
      try call.push(.arithmetic(op, try call.operand(1), try call.operand(2)))
    }
  }

  private static func pitfall(_ name: String, _ sign: String, _ method: String) -> Fn {
    Fn(name, "fun(a: any, b: any): boolean", "An error: Lua would turn the result into true or false.") { _ in
      throw Failure(.plain, "expressions cannot be compared with '\(sign)'; write a:\(method)(b)")
    }
  }

  private static let operators: [Fn] = [
    arithmetic("__add", .add), arithmetic("__sub", .subtract), arithmetic("__mul", .multiply), arithmetic("__div", .divide),
    arithmetic("__idiv", .floorDivide), arithmetic("__mod", .modulo), arithmetic("__pow", .power),
    Fn("__unm", "fun(a: Expr, b: any): Expr", "-a.") { call in try call.push(.negate(try call.selfExpr())) },
    Fn("__band", "fun(a: any, b: any): Expr", "a and b.") { call in
      try call.push(.and(try call.operand(1), try call.operand(2)))
    },
    Fn("__bor", "fun(a: any, b: any): Expr", "a or b.") { call in try call.push(.or(try call.operand(1), try call.operand(2)))
    },
    Fn("__bxor", "fun(a: any, b: any): Expr", "Either a or b.") { call in
      try call.push(.function(.xor, [try call.operand(1), try call.operand(2)]))
    },
    Fn("__bnot", "fun(a: Expr, b: any): Expr", "not a.") { call in try call.push(.not(try call.selfExpr())) },
    Fn("__concat", "fun(a: any, b: any): Expr", "Strings behind each other.") { call in
      try call.push(.function(.concat(separator: ""), [try call.operand(1), try call.operand(2)]))
    },
    pitfall("__eq", "==", "eq"), pitfall("__lt", "<", "lt"), pitfall("__le", "<=", "le"),
    Fn("__tostring", "fun(a: Expr): string", "The expression as text.") { call in call.push("\(try call.selfExpr())") },
  ]
}

/// `df.when(condition, value)`, which waits for `:otherwise(value)`.
final class LuaWhen: LuaObject {
  let cases: [Expr.When]
  init(_ cases: [Expr.When]) { self.cases = cases }

  static let luaType = ObjectType(
    "When", "The beginning of a choice: add :when(condition, value), end with :otherwise(value).",
    [
      Fn("when", "fun(self: When, condition: Expr, value: any): When", "Another case, tried when those before are not true.") {
        call in
        let cases = try call.object(1, as: LuaWhen.self).cases
        return try call.push(object: LuaWhen(cases + [.init(try call.object(2, as: LuaExpr.self).expr, try call.operand(3))]))
      },
      Fn("otherwise", "fun(self: When, value: any): Expr", "The value where no case is true.") { call in
        try call.push(.when(try call.object(1, as: LuaWhen.self).cases, otherwise: try call.operand(2)))
      },
    ])
}
