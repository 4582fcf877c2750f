package import Columnar
package import Core
import LanceFile
package import LanceProto

#if canImport(FoundationEssentials)
  import FoundationEssentials
#else
  import Foundation
#endif

/// A top-level column of a table with the ids of its fields, which never change and are what data files refer to.
///
/// A manifest holds all fields in one flat list, parents before children; `parent_id` says where each belongs (-1: top).
package struct TableField: Sendable {
  package let field: Field
  /// This field and everything below it in pre-order, as the manifest has them, unknown fields included.
  package let protos: [PBField]

  package var id: Int32 { protos[0].id }
  package var ids: [Int32] { protos.map(\.id) }

  /// The columns of a flat list.
  /// - Throws: `CORRUPT_DATA` when ids or parents do not fit, `UNSUPPORTED` naming a column whose type is not known.
  package static func columns(_ flat: [PBField], table: String) throws(Failure) -> [TableField] {
    var topOf: [Int32: Int] = [:]
    var groups: [[PBField]] = []
    for field in flat {
      guard field.id >= 0, topOf[field.id] == nil else {
        throw Failure(
          .corruptData, "table '\(table)': field '\(field.name)' has the id \(field.id), which is negative or used twice")
      }
      if field.parentID == -1 {
        topOf[field.id] = groups.count
        groups.append([field])
      } else {
        guard let top = topOf[field.parentID] else {
          throw Failure(.corruptData, "table '\(table)': the parent of field '\(field.name)' does not come before it")
        }
        topOf[field.id] = top
        groups[top].append(field)
      }
    }
    var columns: [TableField] = []
    for group in groups {
      let schema: Schema
      do throws(Failure) { schema = try LanceSchema.schema(of: group) } catch { throw error.context("table '\(table)'") }
      guard schema.fields.count == 1 else {
        throw Failure(.corruptData, "table '\(table)': column '\(group[0].name)' is damaged")
      }
      columns.append(TableField(field: schema.fields[0], protos: group))
    }
    return columns
  }
}

/// Metadata maps: text here, bytes in the messages.
enum Metadata {
  static func texts(_ map: [String: Data]) -> [String: String] { map.mapValues { String(decoding: $0, as: UTF8.self) } }
  static func bytes(_ map: [String: String]) -> [String: Data] { map.mapValues { Data($0.utf8) } }
}
