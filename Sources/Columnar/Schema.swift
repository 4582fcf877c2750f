package import Core

/// The ordered, named columns of a table.
package struct Schema: Hashable, Sendable {
  package var fields: [Field]
  package var metadata: [String: String]

  package init(_ fields: [Field], metadata: [String: String] = [:]) {
    self.fields = fields
    self.metadata = metadata
  }

  package var names: [String] { fields.map(\.name) }

  /// The position of column `name`.
  /// - Throws: `COLUMN_NOT_FOUND` naming the nearest column.
  package func index(of name: String) throws(Failure) -> Int {
    guard let at = fields.firstIndex(where: { $0.name == name }) else {
      throw Failure(.columnNotFound, "column \(nearNames(name, known: names, what: "columns"))")
    }
    return at
  }

  /// The field of column `name`; see `index(of:)`.
  package func field(_ name: String) throws(Failure) -> Field { fields[try index(of: name)] }

  /// The schema of `names`, in that order; see `index(of:)`.
  package func selecting(_ names: [String]) throws(Failure) -> Schema {
    var chosen: [Field] = []
    for name in names { chosen.append(try field(name)) }
    return Schema(chosen, metadata: metadata)
  }

  /// - Throws: `INVALID_SCHEMA` when two columns share a name or a name is empty.
  package func validate() throws(Failure) {
    var seen: Set<String> = []
    for field in fields {
      if field.name.isEmpty { throw Failure(.invalidSchema, "a column has an empty name") }
      if !seen.insert(field.name).inserted { throw Failure(.invalidSchema, "two columns are named '\(field.name)'") }
    }
  }
}
