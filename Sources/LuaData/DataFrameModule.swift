import Columnar
import Compute
import Core
import DataFrames
import LanceTable
package import LuaHost
import Plan

/// `require "df"`: lazy frames.
package enum LuaDataFrames {
  package static let module = Module(
    "df", "Lazy columnar frames: df.read_lance, df.from_columns, ... and expressions df.col \"x\".", expressions + sources,
    types: [
      LuaFrame.luaType, LuaExpr.luaType, LuaBatch.luaType, LuaGroups.luaType, LuaWhen.luaType, LuaRowIterator.luaType,
      LuaBatchIterator.luaType, LuaColumnArray.luaType,
    ])

  private static let expressions: [Fn] = [
    Fn("col", "fun(name: string): Expr", "A column by name.") { call in try call.push(.column(try call.string(1))) },
    Fn("lit", "fun(value: any): Expr", "A constant.") { call in try call.push(.literal(try call.literal(1))) },
    Fn("null", "fun(type: string): Expr", "Null of a type, such as \"string\".") { call in
      try call.push(.cast(.literal(.null), try DataType(parsing: try call.string(1)), lenient: false))
    },
    Fn(
      "when", "fun(condition: Expr, value: any): When",
      "A choice: df.when(cond, \"a\"):otherwise \"b\"; values that are strings are constants."
    ) { call in
      try call.push(object: LuaWhen([.init(try call.object(1, as: LuaExpr.self).expr, try call.operand(2))]))
    },
    Fn("count", "fun(): Expr", "Rows per group, in agg { n = df.count() }.") { call in try call.push(.aggregate(.count, nil)) },
    Fn(
      "sql_filter", "fun(text: string): Expr",
      "A condition, or a value, in SQL's words: df.sql_filter \"label = 3 AND split IN ('train', 'test')\". Knows AND OR NOT, = <> < <= > >=, IN, BETWEEN, LIKE, ILIKE, IS NULL, + - * / % ||, CAST, DATE, TIMESTAMP and functions such as lower, length, abs, round, coalesce."
    ) { call in try call.push(try Expr(parsing: try call.string(1))) },
    Fn("coalesce", "fun(...: any): Expr", "The first value that is not null.") { call in
      var list: [Expr] = []
      for i in stride(from: 1, through: call.count, by: 1) { list.append(try call.operand(i)) }
      guard !list.isEmpty else { throw Failure(.plain, "coalesce needs at least one expression") }
      return try call.push(.function(.coalesce, list))
    },
    Fn(
      "concat_str", "fun(parts: any[], opts?: {separator?: string}): Expr", "Strings behind each other; null where one is null."
    ) { call in
      var list: [Expr] = []
      try call.forEachElement(1) { _ in list.append(try call.operand(-1)) }
      guard !list.isEmpty else { throw Failure(.plain, "concat_str needs at least one expression") }
      return try call.push(.function(.concat(separator: try call.options(2).string("separator") ?? ""), list))
    },
  ]

  private static let sources: [Fn] = [
    Fn(
      "read_lance", "fun(name: string, opts?: {version?: integer, tag?: string, as_of?: string}): Frame",
      "A data set of the lake by name (also name#version, name@tag or its path), or a .lance folder below a data root."
    ) { call in try call.push(Frame(LanceSource(try LuaTable.open(call).table))) },
    Fn(
      "read_csv",
      "fun(path: string, opts?: {header?: boolean, separator?: string, null_values?: string[], schema?: table, infer_rows?: integer}): Frame",
      "A CSV file (RFC 4180). Types are inferred from the first infer_rows (1000) records unless schema = { column = \"type\" } names them."
    ) { call in
      let given = try call.options(2)
      var options = CSVOptions()
      options.header = try given.boolean("header") ?? true
      if let separator = try given.string("separator") {
        guard separator.count == 1, let first = separator.first else { throw given.bad("separator", "must be one character") }
        options.separator = first
      }
      options.nullValues = try given.strings("null_values") ?? [""]
      options.inferRows = try given.integer("infer_rows", in: 0...10_000_000) ?? 1000
      options.schema = try types(try given.json("schema"))
      let path = try call.string(1)
      return try call.push(Frame(try CSVSource(opener: try opener(call, path), name: lastName(path), options: options)))
    },
    Fn(
      "read_jsonl", "fun(path: string, opts?: {schema?: table, infer_rows?: integer}): Frame",
      "A file with one JSON object per line."
    ) { call in
      let given = try call.options(2)
      var options = JSONLinesOptions()
      options.inferRows = try given.integer("infer_rows", in: 1...10_000_000) ?? 1000
      options.schema = try types(try given.json("schema"))
      let path = try call.string(1)
      return try call.push(Frame(try JSONLinesSource(opener: try opener(call, path), name: lastName(path), options: options)))
    },
    Fn(
      "from_columns", "fun(columns: table<string, any>, opts?: {schema?: table, order?: string[]}): Frame",
      "A frame over lists, IDX files (without a copy) and tensors (as they are now); more dimensions become fixed-size lists. Lists of integers give Int64, of floats Float64. Columns are ordered by name, or as `order` says."
    ) { call in
      let options = try call.options(2)
      let given = try types(try options.json("schema"))
      var columns: [(name: String, column: Column)] = []
      try call.forEachPair(1) {
        let name = try call.string(-2)
        columns.append((name, try column(call, -1, name, given.first { $0.name == name }?.type)))
      }
      return try call.push(try frame(columns, order: try options.strings("order")))
    },
    Fn(
      "from_rows", "fun(rows: table[], opts?: {schema?: table, order?: string[]}): Frame",
      "A frame over a list of tables, one per row. Columns are ordered by name, or as `order` says."
    ) { call in
      let options = try call.options(2)
      let given = try types(try options.json("schema"))
      let rows = try call.json(1).arrayValue ?? []
      var names = Set(given.map(\.name))
      for (i, row) in rows.enumerated() {
        guard let object = row.objectValue else { throw call.bad(1, "element \(i + 1) must be a table with column names") }
        names.formUnion(object.keys)
      }
      var columns: [(name: String, column: Column)] = []
      for name in names.sorted() {
        columns.append((name, try column(rows.map { $0[name] }, name, given.first { $0.name == name }?.type)))
      }
      return try call.push(try frame(columns, order: try options.strings("order")))
    },
    Fn("concat", "fun(frames: Frame[]): Frame", "The rows of all frames, one after the other; columns are matched by name.") {
      call in
      var frames: [Frame] = []
      try call.forEachElement(1) { _ in frames.append(try call.object(-1, as: LuaFrame.self).frame) }
      return try call.push(try Frame.concat(frames))
    },
  ]

  private static func lastName(_ path: String) -> String { path.split(separator: "/").last.map(String.init) ?? path }

  /// Opens a path below the script's allowed folders, each time anew.
  private static func opener(_ call: borrowing Call, _ path: String) throws(Failure) -> FileOpener {
    let paths = try call.service(ConfinedPaths.self)
    return { () throws(Failure) in try paths.open(path).descriptor }
  }

  /// `{ column = "type" }`.
  private static func types(_ value: JSONValue?) throws(Failure) -> [(name: String, type: DataType)] {
    guard let value else { return [] }
    guard let object = value.objectValue else {
      if value.arrayValue?.isEmpty ?? false { return [] }
      throw Failure(.plain, "schema must be a table such as { amount = \"f64\" }")
    }
    var out: [(name: String, type: DataType)] = []
    for (name, type) in object {
      guard let text = type.stringValue else {
        throw Failure(.plain, "schema: the type of '\(name)' must be a string such as \"f64\"")
      }
      out.append((name, try DataType(parsing: text)))
    }
    return out.sorted { $0.name < $1.name }
  }

  private static func frame(_ columns: [(name: String, column: Column)], order: [String]?) throws(Failure) -> Frame {
    var columns = columns.sorted { $0.name < $1.name }
    if let order {
      for name in order where !columns.contains(where: { $0.name == name }) {
        throw Failure(.columnNotFound, "order names a column \(nearNames(name, known: columns.map(\.name), what: "columns"))")
      }
      let place = { (name: String) in order.firstIndex(of: name) ?? order.count }
      columns.sort { (place($0.name), $0.name) < (place($1.name), $1.name) }
    }
    guard !columns.isEmpty else { throw Failure(.plain, "a frame needs at least one column") }
    return try Frame(columns: columns)
  }

  /// A Lua value as a column: a numeric array without a copy, a list of numbers in one go, other lists value by value.
  private static func column(_ call: borrowing Call, _ index: Int32, _ name: String, _ type: DataType?) throws(Failure)
    -> Column
  {
    if let array = call.numericArray(index) {
      let made = try column(array, name)
      return try type.map { type throws(Failure) in try Cast.cast(made, to: Cast.target(made.type, type)) } ?? made
    }
    if let batch = call.objectIfPresent(index, as: LuaBatch.self) {
      guard batch.batch.columns.count == 1 else { throw Failure(.plain, "column '\(name)': a batch of one column is needed") }
      return batch.batch.columns[0]
    }
    guard call.isTable(index) else {
      throw Failure(.plain, "column '\(name)' must be a list, an IDX array or a tensor, got \(call.describe(index))")
    }
    // Lua's own subtypes decide: 1 is an integer, 1.0 a float, whatever the other elements are.
    if type == nil || type?.isInteger == true,
      let values = call.exactIntegers(index, strict: type == nil), !values.isEmpty
    {
      let column = Column(type: .int64, count: values.count, buffers: [try Buffer(values)])
      return try named(name) { () throws(Failure) in try Cast.cast(column, to: type ?? .int64) }
    }
    if type == nil || type?.isFloat == true, let values = try? call.numbers(index), !values.isEmpty {
      let column = Column(type: .float64, count: values.count, buffers: [try Buffer(values)])
      return try named(name) { () throws(Failure) in try Cast.cast(column, to: type ?? .float64) }
    }
    return try column(try call.json(index, name: name).arrayValue ?? [], name, type)
  }

  private static func column(_ values: [JSONValue?], _ name: String, _ type: DataType?) throws(Failure) -> Column {
    try named(name) { () throws(Failure) in
      let found: DataType
      if let type { found = type } else { found = try JSONColumns.type(of: values) }
      return try JSONColumns.column(values, found == .null ? .utf8 : found)
    }
  }

  private static func named(_ name: String, _ body: () throws(Failure) -> Column) throws(Failure) -> Column {
    do throws(Failure) { return try body() } catch {
      var copy = error.context("column '\(name)'\(error.place.map { ", \($0)" } ?? "")")
      copy.place = nil
      copy.details = [:]
      throw copy
    }
  }

  /// Dimensions after the first become fixed-size lists: N x 28 x 28 -> lists of 28 lists of 28.
  private static func column(_ array: any NumericArray, _ name: String) throws(Failure) -> Column {
    let buffer = try array.denseBuffer()
    let shape = array.shape
    guard let rows = shape.first else {
      throw Failure(.shapeMismatch, "column '\(name)' is one number; a column needs at least one dimension")
    }
    var total = 1
    for size in shape {
      let (product, overflow) = total.multipliedReportingOverflow(by: size)
      guard !overflow, size >= 0 else { throw Failure(.shapeMismatch, "column '\(name)': a shape of \(shape) is not possible") }
      total = product
    }
    guard buffer.byteCount / array.numericType.byteCount >= total else {
      throw Failure(.shapeMismatch, "column '\(name)': \(buffer.byteCount) bytes are too few for shape \(shape)")
    }
    let types: [NumericType: DataType] = [
      .u8: .uint8, .i8: .int8, .i16: .int16, .i32: .int32, .i64: .int64, .f32: .float32, .f64: .float64, .bool: .uint8,
    ]
    var column = Column(type: types[array.numericType] ?? .uint8, count: total, buffers: [buffer])
    if array.numericType == .bool { column = try Cast.cast(column, to: .bool) }
    for (d, size) in shape.enumerated().dropFirst().reversed() {
      let count = shape[..<d].reduce(1, *)
      column = Column(type: .vector(column.type, size), count: count, buffers: [], children: [column])
    }
    _ = rows
    return column
  }
}
