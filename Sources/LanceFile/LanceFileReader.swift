package import Columnar
package import Core
package import LanceProto
import Synchronization

#if canImport(FoundationEssentials)
  import FoundationEssentials
#else
  import Foundation
#endif

/// Reads one Lance data file of version 2.0, 2.1 or 2.2 from memory, usually a mapped file.
///
/// Columns of wide fixed-width values without nulls (images, embeddings) are views of the file: they share its memory.
/// Everything in the file is checked before it is used. May be used by several threads at once.
package final class LanceFileReader: Sendable {
  package let version: LanceFileVersion
  /// Rows of the file.
  package let rowCount: Int
  /// The fields in pre-order as the file's descriptor gives them; empty in minimal files, which only a table can read.
  package let fields: [PBField]
  /// Columns of the file.
  package var columnCount: Int { tail.columns.count }
  package let path: String

  private let file: Buffer
  private let tail: FileTail
  /// nil when the file carries none.
  let checksums: FileChecksums?
  private let descriptor: PBFileDescriptor
  private let columns: Mutex<[Int: FileColumn]>

  /// - Parameters:
  ///   - buffer: the whole file.
  ///   - path: its name, for messages.
  /// - Throws: `CORRUPT_DATA` for a damaged file, `UNSUPPORTED` for another version.
  package init(buffer: Buffer, path: String) throws(Failure) {
    do throws(Failure) {
      file = buffer
      self.path = path
      tail = try FileTail(buffer.bytes)
      checksums = try FileChecksums.find(buffer, tail)
      descriptor = try PBFileDescriptor.decoding([UInt8](buffer.bytes.part(tail.globals[0])), what: "the descriptor")
      version = tail.version
      fields = descriptor.schema.fields
      columns = Mutex([:])
      var rows = Int(clamping: descriptor.length)
      if rows == 0, let first = tail.columns.first {
        // A descriptor without a length: the first column tells, which is always one of whole rows.
        let column = try FileColumn(first, file: buffer, checksums)
        rows = column.rowCount
        columns.withLock { $0[0] = column }
      }
      guard rows <= PageContext.maxRows else { throw Failure(.corruptData, "a file of \(rows) rows is not plausible") }
      rowCount = rows
    } catch { throw error.context(path) }
  }

  /// The schema of the descriptor.
  /// - Throws: `UNSUPPORTED` for types that are not supported.
  package var schema: Schema {
    get throws(Failure) { try wholeFile().schema }
  }

  /// True when the file carries checksums.
  package var hasChecksums: Bool { checksums != nil }

  /// Reads all pages and compares them with their checksums: the damaged byte ranges, joined where they touch. Without checksums
  /// only the metadata of every column is read.
  /// - Throws: `CORRUPT_DATA` for damaged metadata, `UNSUPPORTED`, `CANCELLED`.
  package func damagedRanges() throws(Failure) -> [Range<Int>] {
    for i in tail.columns.indices {
      do throws(Failure) { _ = try column(i) } catch { throw error.context("\(path): column \(i)") }
    }
    guard let checksums else { return [] }
    let found = Mutex<[Int]>([])
    // 4 MiB per step: long enough for a thread, short enough to stop soon.
    Parallel.forEach(count: checksums.blockCount, grain: 64) { blocks in
      for block in blocks where !checksums.matches(block) { found.withLock { $0.append(block) } }
    }
    try Cancellation.check()
    var ranges: [Range<Int>] = []
    for block in found.withLock({ $0 }).sorted() {
      let range = checksums.bytes(of: block)
      if let last = ranges.last, last.upperBound == range.lowerBound {
        ranges[ranges.count - 1] = last.lowerBound..<range.upperBound
      } else {
        ranges.append(range)
      }
    }
    return ranges
  }

  /// The bytes of global buffer `i` (0 is the descriptor), for index files; nil when there are fewer.
  package func globalBuffer(_ i: Int) -> UnsafeRawBufferPointer? {
    i >= 0 && i < tail.globals.count ? file.bytes.part(tail.globals[i]) : nil
  }

  /// Schema metadata of the descriptor, for index files.
  package var metadata: [String: String] { descriptor.schema.metadata.mapValues { String(decoding: $0, as: UTF8.self) } }

  /// All columns that the descriptor names.
  package func wholeFile() throws(Failure) -> LanceProjection {
    do throws(Failure) {
      let trees = try LanceSchema.trees(fields)
      var columns: [Int32: Int] = [:]
      for id in trees.flatMap({ $0.columnOwners(version) }) { columns[id] = columns.count }
      return try projection(trees, columns, metadata)
    } catch { throw error.context(path) }
  }

  /// What to read for `fields` (pre-order, complete top-level fields, ids as in a manifest) when the file's columns belong to fields as
  /// `columnOfField` says (`DataFile.fields` and `column_indices`). Fields that the file does not hold read as null.
  /// - Throws: `CORRUPT_DATA` for a column that the file does not have, `UNSUPPORTED` for types that are not supported.
  package func projection(fields: [PBField], columnOfField: [Int32: Int], metadata: [String: String] = [:]) throws(Failure)
    -> LanceProjection
  {
    do throws(Failure) { return try projection(try LanceSchema.trees(fields), columnOfField, metadata) } catch {
      throw error.context(path)
    }
  }

  private func projection(_ trees: [FieldNode], _ columnOfField: [Int32: Int], _ metadata: [String: String]) throws(Failure)
    -> LanceProjection
  {
    for (id, column) in columnOfField where column < 0 || column >= tail.columns.count {
      throw Failure(.corruptData, "field \(id) is said to be in column \(column), the file has \(tail.columns.count) columns")
    }
    var leaves: [[LeafPath]] = []
    for tree in trees {
      var own: [LeafPath] = []
      if version != .v2_0 {
        do throws(Failure) {
          for (leaf, ancestors) in tree.leaves() { own.append(try LeafPath(leaf, ancestors)) }
        } catch { throw error.context("column '\(tree.field.name)'") }
      }
      leaves.append(own)
    }
    return LanceProjection(
      fields: trees, leaves: leaves, columnOfField: columnOfField, schema: Schema(trees.map(\.field), metadata: metadata))
  }

  /// The first rows of the pages of column `i`, ascending: reads that stay within a page can share the file's memory.
  package func pageStarts(column i: Int) throws(Failure) -> [Int] {
    guard version != .v2_0, i >= 0, i < columnCount else { return [] }
    do throws(Failure) { return try column(i).pages.map(\.first) } catch { throw error.context(path) }
  }

  /// Column `i`, its metadata parsed.
  func column(_ i: Int) throws(Failure) -> FileColumn {
    if let known = columns.withLock({ $0[i] }) { return known }
    let column = try FileColumn(tail.columns[i], file: file, checksums)
    columns.withLock { $0[i] = column }
    return column
  }

  /// Rows `rows` of the columns of `projection` (of the whole file without one).
  /// - Throws: `INVALID_ARGUMENT` for rows that the file does not have, `CORRUPT_DATA`, `UNSUPPORTED` naming file, column and page,
  ///   `CANCELLED`.
  package func read(_ projection: LanceProjection? = nil, rows: Range<Int>) throws(Failure) -> RecordBatch {
    guard rows.lowerBound >= 0, rows.upperBound <= rowCount else {
      throw Failure(.invalidArgument, "rows \(rows.lowerBound) ..< \(rows.upperBound) are not in \(path) of \(rowCount) rows")
    }
    return try read(try chosen(projection), [rows], count: rows.count)
  }

  /// The rows `rows`, which ascend (repeats allowed). Decodes only what is touched.
  package func take(_ projection: LanceProjection? = nil, rows: [Int]) throws(Failure) -> RecordBatch {
    var ranges: [Range<Int>] = []
    var last = 0
    for row in rows {
      guard row >= last, row < rowCount else {
        throw Failure(
          .invalidArgument,
          row >= rowCount ? "row \(row) is not in \(path) of \(rowCount) rows" : "the rows to take must ascend")
      }
      if let end = ranges.last?.upperBound, end == row {
        ranges[ranges.count - 1] = ranges[ranges.count - 1].lowerBound..<row + 1
      } else {
        ranges.append(row..<row + 1)
      }
      last = row
    }
    return try read(try chosen(projection), ranges, count: rows.count)
  }

  private func chosen(_ projection: LanceProjection?) throws(Failure) -> LanceProjection {
    if let projection { return projection }
    return try wholeFile()
  }

  private func read(_ projection: LanceProjection, _ ranges: [Range<Int>], count: Int) throws(Failure) -> RecordBatch {
    var columns: [Column] = []
    if version == .v2_0 {
      for field in projection.fields {
        do throws(Failure) {
          columns.append(
            try ArrayReader(reader: self, columnOfField: projection.columnOfField, file: file).read(field, ranges, count))
        } catch { throw error.context("\(path): column '\(field.field.name)'") }
      }
    } else {
      columns = try readLeaves(projection, ranges, count)
    }
    return try RecordBatch(schema: projection.schema, columns: columns, count: count)
  }

  /// One page of one leaf to decode.
  private struct Job {
    let leaf: Int
    let page: Int
    let ranges: [Range<Int>]
  }

  private func readLeaves(_ projection: LanceProjection, _ ranges: [Range<Int>], _ count: Int) throws(Failure) -> [Column] {
    var paths: [LeafPath] = []
    var sources: [FileColumn?] = []
    var jobs: [Job] = []
    for (field, leaves) in zip(projection.fields, projection.leaves) {
      for path in leaves {
        do throws(Failure) {
          paths.append(path)
          guard let index = projection.columnOfField[path.leaf.id] else {
            sources.append(nil)
            continue
          }
          let column = try column(index)
          guard column.rowCount == rowCount else {
            throw Failure(.corruptData, "the column has \(column.rowCount) rows, the file \(rowCount)")
          }
          sources.append(column)
          for (page, part) in column.split(ranges) { jobs.append(Job(leaf: paths.count - 1, page: page, ranges: part)) }
        } catch { throw error.context("\(path): column '\(field.field.name)'") }
      }
    }
    let pieces = try decode(jobs, paths, sources, isSmall: count * paths.count <= LanceFileReader.smallRead)
    // Join the pages of each leaf, then the leaves of each field.
    var leaves: [Column?] = []
    var next = 0
    for (i, path) in paths.enumerated() {
      var parts: [Column] = []
      while next < jobs.count, jobs[next].leaf == i {
        parts.append(contentsOf: try joined(pieces, from: &next, jobs, path))
      }
      leaves.append(
        sources[i] == nil
          ? nil
          : parts.isEmpty
            ? try Column.nulls(path.types[path.steps.count], count: 0)
            : try Column.concatenate(parts, type: path.types[path.steps.count]))
    }
    var rest = leaves[...]
    var columns: [Column] = []
    for field in projection.fields {
      columns.append(try field.merge(rest.prefix(field.leafCount), count: count))
      rest = rest.dropFirst(field.leafCount)
    }
    return columns
  }

  /// A decoded page, or the place of plain rows in the file.
  private enum Piece {
    case column(Column)
    case plain(offset: Int, rows: Int, Nesting)
  }

  /// Up to this many values are decoded on the calling thread: waking another costs more.
  private static let smallRead = 512

  private func decode(_ jobs: [Job], _ paths: [LeafPath], _ sources: [FileColumn?], isSmall: Bool) throws(Failure) -> [Piece] {
    let results = UnsafeMutableBufferPointer<Result<Piece, Failure>?>.allocate(capacity: jobs.count)
    results.initialize(repeating: nil)
    defer {
      results.deinitialize()
      results.deallocate()
    }
    // Sendable proof: every block writes its own slots.
    nonisolated(unsafe) let slots = results
    Parallel.forEach(count: jobs.count, grain: isSmall ? jobs.count : 1) { block in
      let scratch = Scratch()
      for i in block {
        let job = jobs[i]
        do throws(Failure) {
          guard let column = sources[job.leaf] else { continue }
          let piece = try column.reader(job.page, paths[job.leaf].shape).read(job.ranges, scratch)
          if case .plain(let offset, let rows) = piece.values, paths[job.leaf].steps.isEmpty {
            slots[i] = .success(.plain(offset: offset, rows: rows, piece.nesting))
          } else {
            slots[i] = .success(.column(try paths[job.leaf].assemble(piece, file: file)))
          }
        } catch {
          slots[i] = .failure(error.context("\(path): column '\(paths[job.leaf].leaf.field.name)', page \(job.page)"))
        }
      }
    }
    try Cancellation.check()
    var pieces: [Piece] = []
    pieces.reserveCapacity(jobs.count)
    for result in results {
      guard let result else { throw Failure(.cancelled, "cancelled") }
      pieces.append(try result.get())
    }
    return pieces
  }

  /// The next column of a leaf's pieces: plain pages that follow each other in the file become one view.
  private func joined(_ pieces: [Piece], from next: inout Int, _ jobs: [Job], _ path: LeafPath) throws(Failure) -> [Column] {
    switch pieces[next] {
    case .column(let column):
      next += 1
      return [column]
    case .plain(let offset, var rows, let nesting):
      let leaf = jobs[next].leaf
      next += 1
      let width = (path.shape.bitsPerRow ?? 0) / 8
      while next < jobs.count, jobs[next].leaf == leaf, case .plain(let following, let more, _) = pieces[next],
        following == offset + rows * width
      {
        rows += more
        next += 1
      }
      let piece = LeafPiece(values: .plain(offset: offset, rows: rows), rep: nil, def: nil, nesting: nesting, rows: rows)
      return [try path.assemble(piece, file: file)]
    }
  }
}

/// Which fields of a file to read; made by `LanceFileReader`.
package struct LanceProjection: Sendable {
  let fields: [FieldNode]
  /// The leaves of each field (file versions 2.1 and later).
  let leaves: [[LeafPath]]
  let columnOfField: [Int32: Int]
  /// The schema of the batches that come out.
  package let schema: Schema

  /// The top-level columns `names`, in that order.
  /// - Throws: `COLUMN_NOT_FOUND` naming the nearest column.
  package func selecting(_ names: [String]) throws(Failure) -> LanceProjection {
    var chosen: [FieldNode] = []
    var paths: [[LeafPath]] = []
    for name in names {
      let i = try schema.index(of: name)
      chosen.append(fields[i])
      paths.append(leaves[i])
    }
    return LanceProjection(fields: chosen, leaves: paths, columnOfField: columnOfField, schema: try schema.selecting(names))
  }
}
