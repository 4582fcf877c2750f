import Core
package import LanceProto

/// A horizontal slice of a table: one or more data files side by side, and the rows of them that are deleted.
package struct TableFragment: Sendable {
  package let proto: PBDataFragment
  /// Place in the table's list of fragments.
  package let position: Int
  package var id: UInt64 { proto.id }
  /// Rows in the data files, deleted ones included.
  package let physicalRows: Int
  /// Rows that are not deleted.
  package let rowCount: Int

  init(_ proto: PBDataFragment, position: Int, fields: [TableField], location: TableLocation) throws(Failure) {
    let table = location.name
    func fail(_ why: String) -> Failure { Failure(.corruptData, "table '\(table)': fragment \(proto.id) \(why)") }
    self.proto = proto
    self.position = position
    for file in proto.files {
      guard file.fields.count == file.columnIndices.count || file.columnIndices.isEmpty else {
        throw fail("lists \(file.fields.count) fields and \(file.columnIndices.count) columns for '\(file.path)'")
      }
    }
    guard let rows = Int(exactly: proto.physicalRows), rows <= 1 << 40 else {
      throw fail("says it has \(proto.physicalRows) rows")
    }
    var physical = rows
    if physical == 0, !proto.files.isEmpty {
      // The manifest may leave it out; the file's own length is the truth.
      physical = try FragmentFiles.length(of: proto, location)
    }
    self.physicalRows = physical
    var deletedCount = proto.hasDeletionFile ? proto.deletionFile.numDeletedRows : 0
    if proto.hasDeletionFile, deletedCount == 0 {
      deletedCount = UInt64(try FragmentFiles.deletions(proto, rows: physical, location).count)
    }
    guard let deleted = Int(exactly: deletedCount), deleted <= physical else {
      throw fail("says \(deletedCount) of its \(physical) rows are deleted")
    }
    self.rowCount = physical - deleted
  }
}
