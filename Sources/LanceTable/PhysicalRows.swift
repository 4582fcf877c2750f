package import Columnar
package import Core
import LanceFile
import LanceProto

/// Rows as they lie in a fragment's files, deleted ones included: what indices address.
///
/// A row's address is `fragment id << 32 | physical offset`. Live rows are counted without the deleted ones, see `TableRead`.
extension LanceTable {
  /// The deleted rows of fragment `position` (its place in `fragments`).
  package func deletions(fragment position: Int) throws(Failure) -> DeletionVector {
    try cache.deletions(try fragment(at: position), location)
  }

  /// Physical rows `rows` of fragment `position`; views of the file where its encoding allows it.
  /// - Throws: as `read`.
  package func readPhysical(fragment position: Int, columns: [String], rows: Range<Int>) throws(Failure) -> RecordBatch {
    let fragment = try fragment(at: position)
    guard rows.lowerBound >= 0, rows.upperBound <= fragment.physicalRows else {
      throw outsideFiles(fragment, rows.upperBound - 1)
    }
    return try assemble(fragment, try wanted(columns), count: rows.count) { reader, projection throws(Failure) in
      try reader.read(projection, rows: rows)
    }
  }

  /// Physical rows at `offsets`, which ascend (repeats allowed), of fragment `position`.
  /// - Throws: as `read`.
  package func takePhysical(fragment position: Int, columns: [String], offsets: [Int]) throws(Failure) -> RecordBatch {
    let fragment = try fragment(at: position)
    for offset in offsets where offset < 0 || offset >= fragment.physicalRows { throw outsideFiles(fragment, offset) }
    return try assemble(fragment, try wanted(columns), count: offsets.count) { reader, projection throws(Failure) in
      try reader.take(projection, rows: offsets)
    }
  }

  /// All physical rows of fragment `position` in runs of at most `most` rows that do not cross a page border of `column`, so that
  /// reading a run copies nothing where the page is plain.
  package func runs(fragment position: Int, column: String, most: Int) throws(Failure) -> [Range<Int>] {
    let fragment = try fragment(at: position)
    let field = fields[try schema.index(of: column)]
    var starts: [Int] = []
    if let index = try fragment.file(of: field, table: name), let id = field.ids.last {
      let file = fragment.proto.files[index]
      if let place = file.fields.firstIndex(of: id) {
        let number = file.columnIndices.isEmpty ? place : Int(file.columnIndices[place])
        starts = try cache.reader(file, location).pageStarts(column: number)
      }
    }
    var runs: [Range<Int>] = []
    var first = 0
    for end in starts.dropFirst() + [fragment.physicalRows] {
      let end = min(end, fragment.physicalRows)
      while first < end {
        let next = min(first + max(1, most), end)
        runs.append(first..<next)
        first = next
      }
    }
    return runs
  }

  /// The position among the table's live rows of the first row of fragment `position`, which exists.
  package func firstRow(fragment position: Int) -> Int { firstRows[position] }

  /// The fragment that holds live row `position`, which exists, as its place in `fragments`.
  package func fragmentPosition(ofRow position: Int) -> Int { fragmentIndex(ofRow: position) }

  private func fragment(at position: Int) throws(Failure) -> TableFragment {
    guard fragments.indices.contains(position) else {
      throw Failure(.invalidArgument, "table '\(name)' has \(fragments.count) fragments; fragment \(position) was asked for")
    }
    return fragments[position]
  }

  private func outsideFiles(_ fragment: TableFragment, _ offset: Int) -> Failure {
    Failure(
      .invalidArgument,
      "row offset \(offset) is not in fragment \(fragment.id) of table '\(name)', whose files have \(fragment.physicalRows) rows"
    )
  }
}
