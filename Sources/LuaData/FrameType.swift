import Columnar
import Compute
import Core
package import DataFrames
import Engine
import Lake
import LanceTable
package import LuaHost
import Plan

/// A lazy frame in Lua.
package class LuaFrame: LuaObject {
  package internal(set) var frame: Frame
  package init(_ frame: Frame) { self.frame = frame }

  package class var luaType: ObjectType { frameType }

  static let frameType = ObjectType(
    "Frame",
    "A table that is described, not computed. Methods give new frames; rows are read by collect, rows, batches, count, show and write.",
    shaping + grouping + running + writing,
    metamethods: [
      Fn("__tostring", "fun(self: Frame): string", "Column names and types.") { call in
        let fields = try call.selfFrame().schema.fields.map { "\($0.name): \($0.type)" }
        return call.push("Frame(\(fields.joined(separator: ", ")))")
      }
    ])
}

extension Call {
  func selfFrame() throws(Failure) -> Frame { try object(1, as: LuaFrame.self).frame }
  func push(_ frame: Frame) throws(Failure) -> Int32 { try push(object: LuaFrame(frame)) }

  /// Columns given one by one from argument `index` on, or in one table: list elements in their order (names or named
  /// expressions), then named members by name.
  func namedColumns(from index: Int32) throws -> [NamedExpr] {
    var list: [NamedExpr] = []
    func add(_ call: borrowing Call, _ at: Int32) throws {
      let expr = try call.column(at)
      guard let name = expr.outputName else {
        throw Failure(.plain, "\(expr) has no name; write { name = expr } or give one with :alias(\"name\")")
      }
      list.append(NamedExpr(name, expr))
    }
    guard isTable(index) else {
      for i in stride(from: index, through: max(index, count), by: 1) { try add(self, i) }
      return list
    }
    try forEachElement(index) { _ in try add(self, -1) }
    var named: [NamedExpr] = []
    try forEachPair(index) {
      if isString(-2) { named.append(NamedExpr(try string(-2), try operandOrValue(-1))) }
    }
    return list + named.sorted { $0.name < $1.name }
  }

  /// A named member's value: an expression, or a constant.
  private func operandOrValue(_ index: Int32) throws(Failure) -> Expr { try operand(index) }

  /// Sort keys: names ("-name" for descending) or expressions, one by one or in a table.
  func sortKeys(from index: Int32, descending: Bool, nullsFirst: Bool) throws -> [SortKey] {
    var keys: [SortKey] = []
    func add(_ call: borrowing Call, _ at: Int32) throws {
      if call.isString(at) {
        keys.append(SortKey(named: try call.string(at), descending: descending, nullsFirst: nullsFirst))
      } else {
        keys.append(SortKey(try call.column(at), descending: descending, nullsFirst: nullsFirst))
      }
    }
    if isTable(index) {
      try forEachElement(index) { _ in try add(self, -1) }
    } else {
      try add(self, index)
    }
    return keys
  }
}

extension LuaFrame {
  private static func with(_ call: borrowing Call) throws -> Int32 {
    if call.isString(2), call.count == 3 {
      return try call.push(try call.selfFrame().with([NamedExpr(try call.string(2), try call.operand(3))]))
    }
    return try call.push(try call.selfFrame().with(try call.namedColumns(from: 2)))
  }

  private static func filter(_ call: borrowing Call) throws -> Int32 {
    try call.push(try call.selfFrame().filter(try call.condition(2)))
  }

  private static func drop(_ call: borrowing Call) throws -> Int32 {
    try call.push(try call.selfFrame().drop(try call.stringsOrList(from: 2)))
  }

  private static func distinct(_ call: borrowing Call) throws -> Int32 {
    try call.push(try call.selfFrame().distinct(on: call.isNil(2) ? [] : try call.stringsOrList(from: 2)))
  }

  private static let shaping: [Fn] = [
    Fn(
      "select", "fun(self: Frame, ...: any): Frame",
      "These columns: names and expressions, one by one or in a table; { x = expr } names the result."
    ) { call in
      guard call.count >= 2 else { throw Failure(.plain, "select needs at least one column") }
      return try call.push(try call.selfFrame().select(try call.namedColumns(from: 2)))
    },
    Fn(
      "with", "fun(self: Frame, columns: any, value?: any): Frame",
      "All columns, and new ones: with(\"x\", expr) or with { x = expr }; a known name is replaced."
    ) { call in
      try with(call)
    },
    Fn("with_columns", "fun(self: Frame, columns: any, value?: any): Frame", "The same as with.") { call in try with(call) },
    Fn(
      "where", "fun(self: Frame, condition: any): Frame",
      "Rows for which the condition is true: an expression, or SQL's words: where \"label = 3 AND split = 'test'\"."
    ) { call in try filter(call) },
    Fn("filter", "fun(self: Frame, condition: any): Frame", "The same as where.") { call in try filter(call) },
    Fn("rename", "fun(self: Frame, names: table<string, string>): Frame", "rename { old = \"new\" }.") { call in
      var names: [(old: String, new: String)] = []
      try call.forEachPair(2) { names.append((try call.string(-2), try call.string(-1))) }
      return try call.push(try call.selfFrame().rename(names))
    },
    Fn("drop", "fun(self: Frame, ...: any): Frame", "All columns but these.") { call in try drop(call) },
    Fn("exclude", "fun(self: Frame, ...: any): Frame", "The same as drop.") { call in try drop(call) },
    Fn("cast", "fun(self: Frame, types: any, type?: string): Frame", "cast { x = \"f32\" } or cast(\"x\", \"f32\").") { call in
      var types: [(name: String, type: DataType)] = []
      if call.isString(2) {
        types = [(try call.string(2), try DataType(parsing: try call.string(3)))]
      } else {
        try call.forEachPair(2) { types.append((try call.string(-2), try DataType(parsing: try call.string(-1)))) }
      }
      return try call.push(try call.selfFrame().cast(types))
    },
    Fn("limit", "fun(self: Frame, rows: integer, offset?: integer): Frame", "At most `rows` rows, after the first `offset`.") {
      call in
      try call.push(try call.selfFrame().limit(try call.integer(2, in: 0...Int.max), offset: try call.optionalInteger(3) ?? 0))
    },
    Fn("head", "fun(self: Frame, rows?: integer): Frame", "The first rows (10).") { call in
      try call.push(try call.selfFrame().limit(call.isNil(2) ? 10 : try call.integer(2, in: 0...Int.max)))
    },
    Fn("offset", "fun(self: Frame, rows: integer): Frame", "Without the first rows.") { call in
      try call.push(try call.selfFrame().limit(nil, offset: try call.integer(2, in: 0...Int.max)))
    },
    Fn(
      "sort", "fun(self: Frame, by: any, opts?: {descending?: boolean, nulls_first?: boolean}): Frame",
      "Sorted by columns: \"x\", { \"x\", \"-y\" } (minus: descending) or expressions. Stable; nulls come last, NaN before them."
    ) { call in
      let options = try call.options(3)
      let keys = try call.sortKeys(
        from: 2, descending: try options.boolean("descending") ?? false, nullsFirst: try options.boolean("nulls_first") ?? false
      )
      return try call.push(try call.selfFrame().sort(keys))
    },
    Fn(
      "distinct", "fun(self: Frame, ...: any): Frame",
      "The first row of each combination of these columns (all columns without any)."
    ) { call in
      try distinct(call)
    },
    Fn("unique", "fun(self: Frame, ...: any): Frame", "The same as distinct.") { call in try distinct(call) },
    Fn(
      "with_row_index", "fun(self: Frame, name?: string, start?: integer): Frame",
      "Row numbers as first column (\"index\"), from 1 or `start`."
    ) { call in
      try call.push(
        try call.selfFrame().rowIndex(try call.optionalString(2) ?? "index", start: Int64(try call.optionalInteger(3) ?? 1)))
    },
    Fn(
      "check", "fun(self: Frame, name: string, condition: Expr, action?: \"drop\"|\"fail\"|\"flag\"): Frame",
      "A data test: rows for which the condition is not true are dropped, end the run (default), or are flagged in a column of that name. write reports the counts."
    ) { call in
      let text = try call.optionalString(4) ?? "fail"
      guard let action = Check.Action(rawValue: text) else {
        throw call.bad(4, "drop, fail or flag expected, got \(call.describe(4))")
      }
      return try call.push(
        try call.selfFrame().check(try call.string(2), try call.object(3, as: LuaExpr.self).expr, action))
    },
  ]

  private static let grouping: [Fn] = [
    Fn(
      "group_by", "fun(self: Frame, ...: any): GroupedFrame",
      "Groups of rows with equal keys; continue with :agg { ... }. Null is a key of its own."
    ) { call in
      guard call.count >= 2 else { throw Failure(.plain, "group_by needs at least one column") }
      return try call.push(object: LuaGroups(try call.selfFrame(), try call.namedColumns(from: 2)))
    },
    Fn("agg", "fun(self: Frame, ...: any): Frame", "One row of aggregates over all rows: agg { total = col \"x\":sum() }.") {
      call in
      try call.push(try call.selfFrame().aggregate(by: [], try call.namedColumns(from: 2)))
    },
    Fn(
      "join",
      "fun(self: Frame, other: Frame, opts: {on?: any, left_on?: any, right_on?: any, how?: string, suffix?: string}): Frame",
      "Rows of both frames with equal keys: join(other, { on = \"id\", how = \"inner\"|\"left\", suffix = \"_right\" }). Null equals nothing."
    ) { call in
      let options = try call.options(3)
      let (on, leftOn, rightOn) = (try options.strings("on"), try options.strings("left_on"), try options.strings("right_on"))
      guard let left = on ?? leftOn, let right = on ?? rightOn else {
        throw Failure(.plain, "join needs on = \"column\", or left_on and right_on")
      }
      let kind = try options.choice("how", Join.Kind.allCases.map(\.rawValue)).flatMap { Join.Kind(rawValue: $0) } ?? .inner
      return try call.push(
        try call.selfFrame().join(
          try call.object(2, as: LuaFrame.self).frame, leftOn: left.map { .column($0) }, rightOn: right.map { .column($0) },
          kind: kind,
          suffix: try options.string("suffix") ?? "_right"))
    },
    Fn("count_by", "fun(self: Frame, column: string): table", "How often each value occurs: { train = 60000, test = 10000 }.") {
      call in
      let name = try call.string(2)
      let batch = try call.selfFrame().countBy([name]).collect()
      return call.pushTable(fields: batch.count) { table in
        let counts = batch.columns[1]
        for i in 0..<batch.count {
          let n = Int(counts.json(i).intValue ?? 0)
          switch batch.columns[0].json(i) {
          case .int(let value) where Int(exactly: value) == Int(value): table.set(Int(value)) { $0.push(n) }
          case .string(let text): table.set(text, n)
          case let other: table.set(other.text(), n)
          }
        }
      }
    },
  ]

  private static let running: [Fn] = [
    Fn("schema", "fun(self: Frame): {name: string, type: string}[]", "Names and types of the columns, in order.") { call in
      let fields = try call.selfFrame().schema.fields
      return call.pushTable(array: fields.count) { list in
        for (i, field) in fields.enumerated() {
          list.set(i + 1) { entry in
            entry.pushTable(fields: 2) {
              $0.set("name", field.name)
              $0.set("type", field.type.description)
            }
          }
        }
      }
    },
    Fn("columns", "fun(self: Frame): string[]", "Column names.") { call in call.push(try call.selfFrame().schema.names) },
    Fn("version", "fun(self: Frame): integer|nil", "The version of the data set, when the frame is a data set as it is.") {
      call in
      guard case .scan(let source, _, _, _) = try call.selfFrame().plan.node, let lance = source as? LanceSource else {
        return call.pushNil()
      }
      return call.push(Int(clamping: lance.table.version))
    },
    Fn(
      "explain", "fun(self: Frame, opts?: {optimised?: boolean}): string",
      "The plan as it will run (or, optimised = false, as written)."
    ) { call in
      call.push(try call.selfFrame().explain(optimised: try call.options(2).boolean("optimised") ?? true))
    },
    Fn("count", "fun(self: Frame): integer", "Number of rows.") { call in call.push(try call.selfFrame().count()) },
    Fn("is_empty", "fun(self: Frame): boolean", "True when there is no row.") { call in
      call.push(try call.selfFrame().limit(1).collect().count == 0)
    },
    Fn("collect", "fun(self: Frame): Batch", "All rows in memory.") { call in
      try call.push(object: LuaBatch(try call.selfFrame().collect()))
    },
    Fn("rows", "fun(self: Frame): RowIterator", "For loops over rows, streaming: `for row in frame:rows() do`.") { call in
      let execution = try call.selfFrame().batches()
      return try call.push(object: LuaRowIterator(execution.schema) { () throws(Failure) in try execution.next() })
    },
    Fn("batches", "fun(self: Frame): BatchIterator", "For loops over batches, streaming: `for batch in frame:batches() do`.") {
      call in
      let execution = try call.selfFrame().batches()
      return try call.push(object: LuaBatchIterator { () throws(Failure) in try execution.next() })
    },
    Fn("item", "fun(self: Frame): any", "The only value of a frame with one row and one column.") { call in
      let batch = try call.selfFrame().limit(2).collect()
      guard batch.count == 1, batch.columns.count == 1 else {
        throw Failure(
          .shapeMismatch,
          "item() needs one row with one column, this has \(batch.count > 1 ? "more rows" : "\(batch.count) rows") and \(batch.columns.count) columns"
        )
      }
      return try LuaBatch.push(call, batch.columns[0], row: 0)
    },
    Fn("text", "fun(self: Frame, rows?: integer): string", "The first rows (10) as a text table.") { call in
      call.push(try call.selfFrame().show(call.isNil(2) ? 10 : try call.integer(2, in: 0...100_000)))
    },
  ]
}

/// `frame:group_by(...)`, which waits for `:agg { ... }`.
final class LuaGroups: LuaObject {
  let frame: Frame
  let keys: [NamedExpr]
  init(_ frame: Frame, _ keys: [NamedExpr]) {
    self.frame = frame
    self.keys = keys
  }

  static let luaType = ObjectType(
    "GroupedFrame", "Groups of rows; continue with :agg { ... }.",
    [
      Fn(
        "agg", "fun(self: GroupedFrame, ...: any): Frame",
        "One row per group: agg { n = df.count(), total = col \"x\":sum() }; list elements keep their order, names are sorted."
      ) { call in
        let groups = try call.object(1, as: LuaGroups.self)
        guard call.count >= 2 else { throw Failure(.plain, "agg needs at least one aggregate") }
        return try call.push(try groups.frame.aggregate(by: groups.keys, try call.namedColumns(from: 2)))
      },
      Fn("count", "fun(self: GroupedFrame): Frame", "Rows of each group as column count.") { call in
        let groups = try call.object(1, as: LuaGroups.self)
        return try call.push(try groups.frame.aggregate(by: groups.keys, [NamedExpr("count", .aggregate(.count, nil))]))
      },
    ])
}
