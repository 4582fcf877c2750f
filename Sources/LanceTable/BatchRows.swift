import Columnar
import LanceProto

extension LanceTable {
  /// Rows of `columns` that take about 16 MiB, at most 65,536: how much of a table an operation holds at a time.
  package func batchRows(of columns: [String]) -> Int {
    var width = 0
    var isVariable = false
    for name in columns {
      guard let field = try? schema.field(name) else { continue }
      let fixed = LanceTable.fixedWidth(field.type)
      width += fixed ?? 16
      if fixed == nil { isVariable = true }
    }
    if isVariable {
      // How long texts and lists are is not known; the files say how long all is together, compressed.
      let rows = fragments.reduce(0.0) { $0 + Double($1.physicalRows) }
      let bytes = manifest.fragments.flatMap(\.files).reduce(0.0) { $0 + Double($1.fileSizeBytes) }
      if rows > 0 { width = max(width, Int(min(1e9, 2 * bytes / rows))) }
    }
    return LanceTable.batchRows(width: width)
  }

  /// Rows of `fields` that take about 16 MiB, when texts and lists are short.
  static func batchRows(of fields: [Field]) -> Int { batchRows(width: fields.reduce(0) { $0 + (fixedWidth($1.type) ?? 64) }) }

  private static func batchRows(width: Int) -> Int { min(1 << 16, max(1, (16 << 20) / max(1, width))) }

  /// Bytes of a value; nil when they vary.
  private static func fixedWidth(_ type: DataType) -> Int? {
    switch type {
    case .fixedSizeList(let item, let size):
      guard let one = fixedWidth(item.type) else { return nil }
      let (total, overflow) = one.multipliedReportingOverflow(by: max(1, size))
      return overflow ? nil : total
    case .structure(let members):
      var total = 0
      for member in members {
        guard let one = fixedWidth(member.type) else { return nil }
        total = total.addingReportingOverflow(one).partialValue
      }
      return total
    default: return type.bitWidth.map { max(1, $0 / 8) }
    }
  }
}
