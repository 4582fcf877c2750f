package import Columnar
import Compute
package import Core
import DataFrames
package import LuaHost

/// Rows in memory: what `collect()` and the iteration over batches give.
package final class LuaBatch: LuaObject {
  package let batch: RecordBatch
  package init(_ batch: RecordBatch) { self.batch = batch }
  package var luaBytes: Int { batch.columns.reduce(0) { $0 + $1.byteCount } }

  package static let luaType = ObjectType(
    "Batch", "Rows in memory: `b[1]` is a row, `#b` their number, `b:column(\"x\")` a column as a Lua list.",
    [
      Fn("column", "fun(self: Batch, name: string): any[]", "A column as a list; null becomes json.null.") { call in
        try LuaBatch.push(call, try call.object(1, as: LuaBatch.self).batch.column(try call.string(2)))
      },
      Fn("to_columns", "fun(self: Batch): table<string, any[]>", "All columns as lists by name.") { call in
        let batch = try call.object(1, as: LuaBatch.self).batch
        return try call.pushTable(fields: batch.columns.count) { table in
          for (field, column) in zip(batch.schema.fields, batch.columns) {
            try table.set(field.name) { try LuaBatch.push($0, column) }
          }
        }
      },
      Fn(
        "array", "fun(self: Batch, name: string): ColumnArray",
        "A column of numbers, or of equally long lists of numbers, without a copy; for tensors."
      ) {
        call in
        let name = try call.string(2)
        return try call.push(object: try LuaColumnArray(try call.object(1, as: LuaBatch.self).batch.column(name), name: name))
      },
      Fn("names", "fun(self: Batch): string[]", "Column names.") { call in
        call.push(try call.object(1, as: LuaBatch.self).batch.schema.names)
      },
      Fn("rows", "fun(self: Batch): RowIterator", "For loops over rows: `for row in batch:rows() do`.") { call in
        try call.push(object: LuaRowIterator(rows: try call.object(1, as: LuaBatch.self).batch))
      },
      Fn("item", "fun(self: Batch): any", "The only value of one row with one column.") { call in
        let batch = try call.object(1, as: LuaBatch.self).batch
        guard batch.count == 1, batch.columns.count == 1 else {
          throw Failure(
            .shapeMismatch,
            "item() needs one row with one column, this has \(batch.count) rows and \(batch.columns.count) columns")
        }
        return try LuaBatch.push(call, batch.columns[0], row: 0)
      },
      Fn("frame", "fun(self: Batch): Frame", "A lazy frame over these rows.") { call in
        let batch = try call.object(1, as: LuaBatch.self).batch
        return try call.push(object: LuaFrame(Frame(columns: zip(batch.schema.names, batch.columns).map { ($0, $1) })))
      },
    ],
    metamethods: [
      Fn("__len", "fun(self: Batch): integer", "Rows.") { call in call.push(try call.object(1, as: LuaBatch.self).batch.count)
      },
      Fn("__tostring", "fun(self: Batch): string", "The first rows as a text table.") { call in
        let batch = try call.object(1, as: LuaBatch.self).batch
        return call.push(TextTable.text(batch.slice(0, min(10, batch.count)), total: batch.count))
      },
    ],
    index: Fn("__index", "fun(self: Batch, key: any): any", "A row by its position, -1 is the last; nil outside.") { call in
      let batch = try call.object(1, as: LuaBatch.self).batch
      guard call.isNumber(2), call.isInteger(2) else {
        let known = ["array", "column", "frame", "item", "names", "release", "rows", "to_columns"]
        throw Failure(.plain, "Batch has no method or field \(nearNames(call.describe(2), known: known, what: "methods"))")
      }
      let position = try call.integer(2)
      let row = position > 0 ? position - 1 : batch.count + position
      guard position != 0, row >= 0, row < batch.count else { return call.pushNil() }
      return try LuaBatch.pushRow(call, batch, row)
    })

  /// Row `i` as a table by column name; nulls are absent.
  static func pushRow(_ call: borrowing Call, _ batch: RecordBatch, _ i: Int) throws -> Int32 {
    try call.pushTable(fields: batch.columns.count) { table in
      for (field, column) in zip(batch.schema.fields, batch.columns) where column.isValid(i) {
        try table.set(field.name) { try push($0, column, row: i) }
      }
    }
  }

  /// One value.
  static func push(_ call: borrowing Call, _ column: Column, row: Int) throws -> Int32 {
    guard column.isValid(row) else { return call.push(JSONValue.null) }
    switch column.type {
    case .binary, .largeBinary, .fixedSizeBinary: return call.push(bytes: column.bytes(row))
    case .float32, .float64, .float16:
      // JSON knows no NaN, Lua does.
      let one = try Cast.cast(column.slice(row, 1), to: .float64)
      return call.push(one.values(of: Double.self)[0])
    case .fixedSizeList, .list, .largeList:
      return try push(call, column.slice(row, 1).items())
    default: return call.push(column.json(row))
    }
  }

  /// A column as a list: numbers in one go, other values one by one.
  static func push(_ call: borrowing Call, _ column: Column) throws -> Int32 {
    if column.nullCount == 0, column.type.isFloat {
      let wide = try Cast.cast(column, to: .float64)
      return call.push(Array(wide.values(of: Double.self)))
    }
    if column.nullCount == 0, column.type.isInteger, column.type != .uint64 {
      let wide = try Cast.cast(column, to: .int64)
      return call.push(wide.values(of: Int64.self).map { Int($0) })
    }
    return try call.pushTable(array: column.count) { table in
      for i in 0..<column.count { try table.set(i + 1) { try push($0, column, row: i) } }
    }
  }
}

/// One column as a dense array of numbers over the column's own memory.
package final class LuaColumnArray: LuaObject, NumericArray {
  package let numericType: NumericType
  package let shape: [Int]
  private let buffer: Buffer

  package func denseBuffer() throws(Failure) -> Buffer { buffer }
  package var luaBytes: Int { 0 }

  package init(_ column: Column, name: String) throws(Failure) {
    var shape = [column.count]
    var items = column
    if items.nullCount > 0 { throw LuaColumnArray.nulls(name, items.nullCount) }
    while case .fixedSizeList(_, let size) = items.type {
      shape.append(size)
      items = items.items()
      if items.nullCount > 0 { throw LuaColumnArray.nulls(name, items.nullCount) }
    }
    let types: [DataType: NumericType] = [
      .uint8: .u8, .int8: .i8, .int16: .i16, .int32: .i32, .int64: .i64, .float32: .f32, .float64: .f64,
    ]
    if items.type == .bool {
      let bytes = try Cast.cast(items, to: .uint8)
      numericType = .bool
      buffer = bytes.buffers[0]
    } else if let type = types[items.type] {
      numericType = type
      buffer = try items.buffers[0].slice(offset: items.offset * type.byteCount, byteCount: items.count * type.byteCount)
    } else {
      throw Failure(.typeMismatch, "column '\(name)' is \(column.type), which no array of numbers holds; cast it first")
    }
    self.shape = shape
  }

  private static func nulls(_ name: String, _ count: Int) -> Failure {
    Failure(.typeMismatch, "column '\(name)' has \(count) nulls; fill or drop them before it becomes an array")
  }

  package static let luaType = ObjectType("ColumnArray", "A column as a dense array of numbers, for tensor functions.", [])
}

/// Rows one after the other, for `for` loops.
final class LuaRowIterator: LuaObject {
  private var batch: RecordBatch
  private var row = 0
  private let more: (() throws(Failure) -> RecordBatch?)?

  init(rows batch: RecordBatch) {
    self.batch = batch
    more = nil
  }
  init(_ schema: Schema, _ more: @escaping () throws(Failure) -> RecordBatch?) throws(Failure) {
    batch = try RecordBatch.concatenate([], schema: schema)
    self.more = more
  }

  static let luaType = ObjectType(
    "RowIterator", "Gives one row (a table) per call, nil at the end.", [],
    metamethods: [
      Fn("__call", "fun(self: RowIterator, ...: any): table", "The next row.") { call in
        let iterator = try call.object(1, as: LuaRowIterator.self)
        while iterator.row >= iterator.batch.count {
          guard let next = try iterator.more?() else { return call.pushNil() }
          iterator.batch = next
          iterator.row = 0
        }
        iterator.row += 1
        return try LuaBatch.pushRow(call, iterator.batch, iterator.row - 1)
      }
    ])
}

/// Batches one after the other, for `for` loops.
final class LuaBatchIterator: LuaObject {
  private let next: () throws(Failure) -> RecordBatch?
  init(_ next: @escaping () throws(Failure) -> RecordBatch?) { self.next = next }

  static let luaType = ObjectType(
    "BatchIterator", "Gives one batch per call, nil at the end.", [],
    metamethods: [
      Fn("__call", "fun(self: BatchIterator, ...: any): Batch", "The next batch.") { call in
        guard let batch = try call.object(1, as: LuaBatchIterator.self).next() else { return call.pushNil() }
        return try call.push(object: LuaBatch(batch))
      }
    ])
}
