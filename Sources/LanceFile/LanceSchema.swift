package import Columnar
package import Core
package import LanceProto

#if canImport(FoundationEssentials)
  import FoundationEssentials
#else
  import Foundation
#endif

/// Schemas as Lance stores them: all fields in pre-order with ids and parent ids, types as text.
package enum LanceSchema {
  /// The fields of `schema` in pre-order. `ids` gives their ids in that order; without it they count from `firstID`.
  /// - Throws: `UNSUPPORTED` naming the column whose type has no place in Lance, `INVALID_ARGUMENT` for too few ids.
  package static func fields(of schema: Schema, ids: [Int32]? = nil, firstID: Int32 = 0) throws(Failure) -> [PBField] {
    var result: [PBField] = []
    func next() throws(Failure) -> Int32 {
      guard let ids else { return firstID + Int32(result.count) }
      guard result.count < ids.count else {
        throw Failure(.invalidArgument, "\(ids.count) field ids are too few for a schema with nested fields")
      }
      return ids[result.count]
    }
    func add(_ field: Field, parent: Int32) throws(Failure) {
      var message = PBField()
      message.name = field.name
      message.id = try next()
      message.parentID = parent
      message.nullable = field.isNullable
      for (key, value) in field.metadata { message.metadata[key] = Data(value.utf8) }
      let children: [Field]
      switch field.type {
      case .structure(let members): (message.logicalType, children) = ("struct", members)
      case .map(let entries): (message.logicalType, children) = ("map", [entries])
      case .list(let item), .largeList(let item):
        var name = field.type.hasLargeOffsets ? "large_list" : "list"
        if case .structure = item.type { name += ".struct" }
        (message.logicalType, children) = (name, [item])
      default:
        do throws(Failure) { (message.logicalType, children) = (try LogicalType.name(of: field.type), []) } catch {
          throw error.context("column '\(field.name)'")
        }
      }
      result.append(message)
      for child in children { try add(child, parent: message.id) }
    }
    for field in schema.fields { try add(field, parent: -1) }
    return result
  }

  /// The schema that `fields` (pre-order) describe.
  /// - Throws: `UNSUPPORTED` naming the column and the type, `CORRUPT_DATA` for a nesting that is none.
  package static func schema(of fields: [PBField], metadata: [String: String] = [:]) throws(Failure) -> Schema {
    Schema(try trees(fields).map(\.field), metadata: metadata)
  }

  /// The top-level fields as trees.
  static func trees(_ fields: [PBField]) throws(Failure) -> [FieldNode] {
    var children: [Int32: [PBField]] = [:]
    var seen: Set<Int32> = []
    for field in fields {
      guard seen.insert(field.id).inserted else {
        throw Failure(.corruptData, "two fields of the schema have the id \(field.id)")
      }
      children[field.parentID, default: []].append(field)
    }
    var used = 0
    func node(_ message: PBField, depth: Int) throws(Failure) -> FieldNode {
      used += 1
      guard depth < 64 else { throw Failure(.corruptData, "field '\(message.name)' is nested more than 64 deep") }
      var below: [FieldNode] = []
      for child in children[message.id] ?? [] { below.append(try node(child, depth: depth + 1)) }
      return try FieldNode(message, below)
    }
    var roots: [FieldNode] = []
    for field in children[-1] ?? [] { roots.append(try node(field, depth: 0)) }
    guard used == fields.count else { throw Failure(.corruptData, "the schema has fields whose parent does not exist") }
    return roots
  }
}

/// One field of a file with what lies below it.
final class FieldNode: Sendable {
  enum Kind: Sendable {
    case leaf(LeafShape)
    /// All members lie in one column, row by row.
    case packedStructure
    case structure
    case list
  }
  let id: Int32
  let field: Field
  let kind: Kind
  let children: [FieldNode]
  /// A column of Arrow's dictionary type, which we read as its value type.
  let isDictionaryType: Bool

  init(_ message: PBField, _ children: [FieldNode]) throws(Failure) {
    id = message.id
    isDictionaryType = message.logicalType.hasPrefix("dict:")
    self.children = children
    var metadata: [String: String] = [:]
    for (key, value) in message.metadata { metadata[key] = String(decoding: value, as: UTF8.self) }
    func fail(_ what: String) -> Failure { Failure(.corruptData, "column '\(message.name)': \(what)") }
    let type: DataType
    let name = message.logicalType
    if name == "struct" {
      guard metadata["ARROW:extension:name"] != "lance.blob.v2" else {
        throw Failure(.unsupported, "column '\(message.name)': blob columns of version 2 are not supported")
      }
      type = .structure(children.map(\.field))
      let isPacked = metadata["packed"] == "true" || metadata["lance-encoding:packed"] == "true"
      kind = isPacked ? .packedStructure : .structure
    } else if ["list", "list.struct", "large_list", "large_list.struct", "map"].contains(name) {
      guard children.count == 1 else { throw fail("a \(name) with \(children.count) child fields instead of one") }
      let item = children[0].field
      type = name == "map" ? .map(entries: item) : name.hasPrefix("large") ? .largeList(item) : .list(item)
      kind = .list
    } else {
      guard children.isEmpty else {
        throw Failure(.unsupported, "column '\(message.name)': the Lance type '\(name)' with child fields is not supported")
      }
      do throws(Failure) {
        type = try LogicalType.leaf(name)
        kind = .leaf(try LeafShape(type))
      } catch { throw error.context("column '\(message.name)'") }
    }
    field = Field(message.name, type, isNullable: message.nullable, metadata: metadata)
  }

  /// The ids of the fields that own a column in `version`, in column order, this one's subtree only.
  func columnOwners(_ version: LanceFileVersion) -> [Int32] {
    switch kind {
    case .leaf, .packedStructure: return [id]
    case .structure, .list: return (version == .v2_0 ? [id] : []) + children.flatMap { $0.columnOwners(version) }
    }
  }
}
