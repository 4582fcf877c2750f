package import Columnar
import Compute
package import Core
import Plan

/// What one column holds.
package struct ColumnStatistics: Sendable {
  package let name: String
  package let type: DataType
  /// Rows with a value.
  package let count: Int
  package let nullCount: Int
  /// Least and greatest value; nil for types without an order and where there is no value.
  package let least: JSONValue?
  package let greatest: JSONValue?
  /// Of numbers; nil for others and where there is no value.
  package let mean: Double?

  /// `{name, type, count, nulls, min, max, mean}`; what does not apply is null.
  package var json: JSONObject {
    [
      "name": .string(name), "type": .string(type.description), "count": .int(Int64(count)), "nulls": .int(Int64(nullCount)),
      "min": least ?? .null, "max": greatest ?? .null, "mean": mean.map { .double($0) } ?? .null,
    ]
  }
}

extension Frame {
  /// Statistics of `columns` (all of them unless given), read in one pass.
  /// - Throws: `COLUMN_NOT_FOUND`, and what reading throws.
  package func statistics(of columns: [String]? = nil) throws(Failure) -> [ColumnStatistics] {
    var fields: [Field] = []
    for name in columns ?? schema.names { fields.append(try schema.field(name)) }
    // Outputs are numbered: a column may have any name.
    var outputs = [NamedExpr("rows", .aggregate(.count, nil))]
    for (i, field) in fields.enumerated() {
      let column = Expr.column(field.name)
      outputs.append(NamedExpr("count \(i)", .aggregate(.count, column)))
      guard Frame.hasOrder(field.type) else { continue }
      outputs.append(NamedExpr("min \(i)", .aggregate(.min, column)))
      outputs.append(NamedExpr("max \(i)", .aggregate(.max, column)))
      if field.type.isNumeric { outputs.append(NamedExpr("mean \(i)", .aggregate(.mean, column))) }
    }
    let found = try aggregate(by: [], outputs).collect()
    func value(_ name: String) throws(Failure) -> JSONValue? {
      guard found.schema.names.contains(name) else { return nil }
      let value = try found.column(name).json(0)
      return value.isNull ? nil : value
    }
    let rows = Int(try value("rows")?.intValue ?? 0)
    var statistics: [ColumnStatistics] = []
    for (i, field) in fields.enumerated() {
      let count = Int(try value("count \(i)")?.intValue ?? 0)
      statistics.append(
        ColumnStatistics(
          name: field.name, type: field.type, count: count, nullCount: rows - count, least: try value("min \(i)"),
          greatest: try value("max \(i)"), mean: try value("mean \(i)")?.doubleValue))
    }
    return statistics
  }

  private static func hasOrder(_ type: DataType) -> Bool {
    switch type {
    case .bool, .binary, .largeBinary, .null: false
    default: Aggregate.min.resultType(type) != nil
    }
  }
}
