package import Columnar
package import Core
package import LanceProto

#if canImport(FoundationEssentials)
  import FoundationEssentials
#else
  import Foundation
#endif

/// A field of a table with its id, which never changes and is what data files refer to, and its children.
///
/// A manifest holds all fields in one flat list, parents before children; `parent_id` says where each belongs (-1: top).
package struct TableField: Sendable {
  package let field: Field
  package let id: Int32
  package let children: [TableField]
  /// As the manifest has it, unknown fields included.
  package let proto: PBField

  /// The ids of this field and everything below it.
  package var ids: [Int32] { [id] + children.flatMap(\.ids) }

  /// The ids of the fields that own a column in files of version 2.1 and later: those without child fields.
  package var leafIDs: [Int32] { children.isEmpty ? [id] : children.flatMap(\.leafIDs) }

  // MARK: reading

  /// The top-level fields of a flat list.
  /// - Throws: `CORRUPT_DATA` when ids or parents do not fit, `UNSUPPORTED` naming a column whose type is not known.
  package static func tree(_ flat: [PBField], table: String) throws(Failure) -> [TableField] {
    var children: [Int32: [PBField]] = [:]
    var seen: Set<Int32> = [-1]
    for field in flat {
      guard seen.contains(field.parentID) else {
        throw Failure(.corruptData, "table '\(table)': the parent of column '\(field.name)' does not come before it")
      }
      guard field.id >= 0, seen.insert(field.id).inserted else {
        throw Failure(.corruptData, "table '\(table)': two columns have the id \(field.id)")
      }
      children[field.parentID, default: []].append(field)
    }
    var top: [TableField] = []
    for field in children[-1] ?? [] { top.append(try node(field, children, field.name, depth: 0, table)) }
    return top
  }

  private static func node(_ proto: PBField, _ all: [Int32: [PBField]], _ path: String, depth: Int, _ table: String)
    throws(Failure) -> TableField
  {
    guard depth < 64 else { throw Failure(.corruptData, "table '\(table)': column '\(path)' is nested too deeply") }
    var nodes: [TableField] = []
    for child in all[proto.id] ?? [] {
      nodes.append(try node(child, all, "\(path).\(child.name)", depth: depth + 1, table))
    }
    func only() throws(Failure) -> Field {
      guard nodes.count == 1 else {
        throw Failure(
          .corruptData, "table '\(table)': column '\(path)' of type '\(proto.logicalType)' has \(nodes.count) child fields")
      }
      return nodes[0].field
    }
    let type: DataType
    switch proto.logicalType {
    case "struct": type = .structure(nodes.map(\.field))
    case "list", "list.struct": type = .list(try only())
    case "large_list", "large_list.struct": type = .largeList(try only())
    case "map": type = .map(entries: try only())
    default:
      guard let known = LogicalType.parse(proto.logicalType), nodes.isEmpty else {
        throw Failure(
          .unsupported, "table '\(table)': column '\(path)' has the type '\(proto.logicalType)', which is not supported")
      }
      type = known
    }
    let field = Field(proto.name, type, isNullable: proto.nullable, metadata: Metadata.texts(proto.metadata))
    return TableField(field: field, id: proto.id, children: nodes, proto: proto)
  }

  // MARK: writing

  /// The flat list for `schema`, ids counted from 0 in pre-order.
  /// - Throws: `UNSUPPORTED` naming a column whose type Lance cannot hold, `INVALID_SCHEMA` for doubled names.
  package static func flat(_ schema: Schema) throws(Failure) -> [PBField] {
    try schema.validate()
    var out: [PBField] = []
    for field in schema.fields { try append(field, parent: -1, path: field.name, to: &out) }
    return out
  }

  private static func append(_ field: Field, parent: Int32, path: String, to out: inout [PBField]) throws(Failure) {
    guard let text = LogicalType.text(field.type) else {
      throw Failure(.unsupported, "column '\(path)': type \(field.type) cannot be stored in a Lance table")
    }
    var proto = PBField()
    proto.name = field.name
    proto.id = Int32(out.count)
    proto.parentID = parent
    proto.logicalType = text
    proto.nullable = field.isNullable
    if case .dictionary = field.type { proto.dictionary = PBLegacyDictionary() }
    proto.metadata = Metadata.bytes(field.metadata)
    out.append(proto)
    let id = proto.id
    switch field.type {
    case .list(let item), .largeList(let item), .map(let item):
      try append(item, parent: id, path: "\(path).\(item.name)", to: &out)
    case .structure(let members):
      for member in members { try append(member, parent: id, path: "\(path).\(member.name)", to: &out) }
    default: break
    }
  }
}

/// Metadata maps: text here, bytes in the messages.
enum Metadata {
  static func texts(_ map: [String: Data]) -> [String: String] { map.mapValues { String(decoding: $0, as: UTF8.self) } }
  static func bytes(_ map: [String: String]) -> [String: Data] { map.mapValues { Data($0.utf8) } }
}
