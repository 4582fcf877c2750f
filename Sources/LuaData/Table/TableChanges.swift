import Columnar
import Compute
import Core
import DataFrames
import LanceTable
import LuaHost
import Plan

/// What changes a table. Every function is one commit, after which the table is the new version, and gives
/// `{ version, inserted, updated, deleted, changed }`.
extension LuaTable {
  /// Runs a change, moves to the version it made and pushes its report.
  static func change(
    _ call: borrowing Call, _ body: (TableLocation, LuaTable) throws(Failure) -> ChangeReport
  ) throws(Failure) -> Int32 {
    let this = try call.selfTable()
    let report = try body(try this.writable(), this)
    try this.move()
    return call.push(report.json)
  }

  static let changes: [Fn] = [
    Fn(
      "append", "fun(self: Table, rows: Frame): table", "Writes the rows of a frame behind the others."
    ) { call in
      let this = try call.selfTable()
      let written = try call.object(2, as: LuaFrame.self).frame.write(to: try this.writable(), mode: .append)
      try this.move()
      return LuaFrame.push(call, written)
    },
    Fn(
      "delete", "fun(self: Table, condition: any): table",
      "Deletes the rows for which the condition (an expression or a text) is true: t:delete \"label = 3\"."
    ) { call in
      let condition = try call.condition(2)
      return try change(call) { location, _ throws(Failure) in try location.delete(where: condition) }
    },
    Fn(
      "update", "fun(self: Table, values: table<string, any>, opts?: {where?: any}): table",
      "Sets columns to expressions or constants, in the rows for which `where` is true: t:update({ price = col \"price\" * 2 }, { where = \"id = 3\" })."
    ) { call in
      var values: [(column: String, value: Expr)] = []
      try call.forEachPair(2) { values.append((try call.string(-2), try call.operand(-1))) }
      guard !values.isEmpty else { throw Failure(.plain, "update needs at least one column, as in update { price = 2 }") }
      values.sort { $0.column < $1.column }
      let set = values
      let condition = try call.condition(try call.options(3), "where")
      return try change(call) { location, _ throws(Failure) in try location.update(set: set, where: condition) }
    },
    Fn(
      "merge",
      "fun(self: Table, rows: Frame, opts: {key: any, when_matched?: string, when_missing?: string, not_in_source?: any}): table",
      "Merges a frame by key columns. A row whose key is there: when_matched = \"update\" (default), \"keep\", \"fail\"; one whose key is not: when_missing = \"insert\" (default), \"skip\". Rows of the table that the frame does not have: not_in_source = \"keep\" (default), \"delete\", or a condition: those that meet it are deleted."
    ) { call in
      let rows = try call.object(2, as: LuaFrame.self).frame
      let options = try call.options(3)
      guard let key = try options.strings("key"), !key.isEmpty else {
        throw options.bad("key", "must name at least one column")
      }
      let matched = try options.choice("when_matched", MatchedAction.allCases.map(\.rawValue))
      let missing = try options.choice("when_missing", MissingAction.allCases.map(\.rawValue))
      let rest = try call.notInSource(options)
      return try change(call) { location, _ throws(Failure) in
        try location.merge(
          rows, key: key, whenMatched: matched.flatMap { MatchedAction(rawValue: $0) } ?? .update,
          whenMissing: missing.flatMap { MissingAction(rawValue: $0) } ?? .insert, notInSource: rest)
      }
    },
    Fn(
      "add_columns", "fun(self: Table, columns: any, opts?: {key?: any, columns?: string[]}): table",
      "New columns: expressions { double = col \"x\" * 2 }, types { note = df.null \"string\" } (null everywhere, no data is written), or the columns of a frame, matched by key: add_columns(frame, { key = \"id\" })."
    ) { call in
      let options = try call.options(3)
      if let rows = call.objectIfPresent(2, as: LuaFrame.self)?.frame {
        guard let key = try options.strings("key"), !key.isEmpty else {
          throw options.bad("key", "must name the columns that both have")
        }
        let columns = try options.strings("columns")
        return try change(call) { location, _ throws(Failure) in
          try location.addColumns(from: rows, key: key, columns: columns)
        }
      }
      let added = try call.namedColumns(from: 2)
      let nulls = added.compactMap { column -> Field? in
        guard case .cast(.literal(.null), let type, _) = column.expr else { return nil }
        return Field(column.name, type)
      }
      return try change(call) { location, _ throws(Failure) in
        nulls.count == added.count && !nulls.isEmpty
          ? try location.addColumns(nulls: nulls) : try location.addColumns(added)
      }
    },
    Fn("drop_columns", "fun(self: Table, ...: any): table", "Takes columns away; no data is written.") { call in
      let names = try call.stringsOrList(from: 2)
      return try change(call) { location, _ throws(Failure) in try location.dropColumns(names) }
    },
    Fn("rename_column", "fun(self: Table, name: string, to: string): table", "Another name for a column.") { call in
      let (name, to) = (try call.string(2), try call.string(3))
      return try change(call) { location, _ throws(Failure) in try location.renameColumn(name, to: to) }
    },
    Fn(
      "cast_column", "fun(self: Table, name: string, type: string, opts?: {lenient?: boolean}): table",
      "Another type for a column; lenient: values that do not fit become null."
    ) { call in
      let (name, type) = (try call.string(2), try DataType(parsing: try call.string(3)))
      let lenient = try call.options(4).boolean("lenient") ?? false
      return try change(call) { location, _ throws(Failure) in try location.castColumn(name, to: type, lenient: lenient) }
    },
    Fn(
      "restore", "fun(self: Table, version?: integer|string): table",
      "Makes an older version (number or tag; of a table opened at a version: that one) the newest again, as a new version."
    ) { call in
      let this = try call.selfTable()
      let version = try call.optionalVersion(2) ?? .number(this.table.version)
      let report = try this.lakeLocation().restore(version)
      if !this.isPinned { try this.move() }
      return call.push(report.json)
    },
    Fn("config", "fun(self: Table): table<string, string>", "The table's settings.") { call in
      let config = try call.selfTable().table.config
      return call.pushTable(fields: config.count) { table in
        for (name, value) in config { table.set(name, value) }
      }
    },
    Fn(
      "set_config", "fun(self: Table, values: table<string, any>): table",
      "Sets settings; false takes one away: t:set_config { [\"lance.auto_cleanup.interval\"] = \"20\", owner = false }."
    ) { call in
      var (set, remove): ([String: String], [String]) = ([:], [])
      try call.forEachPair(2) {
        let name = try call.string(-2)
        if call.isBoolean(-1), try !call.boolean(-1) { remove.append(name) } else { set[name] = try call.string(-1) }
      }
      let (values, names) = (set, remove.sorted())
      return try change(call) { location, _ throws(Failure) in try location.updateConfig(set: values, remove: names) }
    },
  ]
}

extension Call {
  /// `not_in_source = "keep" | "delete" | condition`.
  fileprivate func notInSource(_ options: borrowing Options) throws(Failure) -> NotInSourceAction {
    guard options.has("not_in_source") else { return .keep }
    _ = options.push("not_in_source")
    let text = isString(-1) ? try string(-1) : nil
    pop()
    switch text {
    case "keep"?: return .keep
    case "delete"?: return .delete(where: nil)
    default: return .delete(where: try condition(options, "not_in_source"))
    }
  }
}
