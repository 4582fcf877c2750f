package import Columnar
package import Core
package import LanceProto
import Synchronization

#if canImport(FoundationEssentials)
  import FoundationEssentials
#else
  import Foundation
#endif

/// Where the bytes of a file go, front to back.
package protocol LanceFileSink: AnyObject {
  /// Takes `bytes`, which are only valid during the call.
  func append(_ bytes: UnsafeRawBufferPointer) throws(Failure)
}

/// What a table needs to know about a finished file.
package struct LanceFileSummary: Sendable {
  package let rowCount: Int
  package let byteCount: Int
  /// Ids of the fields that own columns (`DataFile.fields`) and their columns (`DataFile.column_indices`).
  package let fieldIDs: [Int32]
  package let columnIndices: [Int32]
  package let version: LanceFileVersion
}

/// Writes one Lance data file, streaming: pages first, metadata kept in memory, footer last.
///
/// Memory is bounded by about one page (8 MiB) per column and a few more on the way to the file. Wide fixed-width values without nulls go from the batch's memory
/// straight to the sink. For one thread.
package final class LanceFileWriter {
  package let schema: Schema
  package let version: LanceFileVersion
  /// Rows so far.
  package private(set) var rowCount = 0

  private let fields: [PBField]
  private let trees: [FieldNode]
  private let metadata: [String: String]
  private var output: FileOutput
  private var leaves: [LeafState] = []
  /// File version 2.0 only: columns that wait, per top-level field.
  private var waiting: [(columns: [Column], bytes: Int)] = []
  private var columns: [[PBColumnPage]]
  /// Per column the description of its last page, when that is plain.
  private var lastPlain: [PBFullZipLayout?]
  /// Global buffers behind the descriptor.
  private var globals: [[UInt8]] = []
  private var isFinished = false
  /// Complete pages that wait to be encoded, of all leaves.
  private var readyCount = 0

  /// Pages are encoded when this many are complete: enough for all cores, and few enough that memory stays bounded.
  private static var readyPages: Int { Parallel.threads + 1 }
  /// Bytes of a page before encoding. A table of many columns gets smaller pages: one of each column waits in memory.
  private let pageBytes: Int
  static func pageBytes(columns: Int) -> Int { min(8 << 20, max(256 << 10, (128 << 20) / max(1, columns))) }

  /// - Parameters:
  ///   - fields: in pre-order, as in a manifest, with the ids that the table gave them.
  ///   - metadata: of the schema; index files use it.
  /// - Throws: `UNSUPPORTED` naming a column whose type cannot be stored, `INVALID_SCHEMA`.
  package init(
    fields: [PBField], metadata: [String: String] = [:], version: LanceFileVersion = .default, sink: any LanceFileSink
  ) throws(Failure) {
    self.fields = fields
    self.version = version
    self.metadata = metadata
    trees = try LanceSchema.trees(fields)
    schema = Schema(trees.map(\.field), metadata: metadata)
    try schema.validate()
    output = FileOutput(sink)
    columns = Array(repeating: [], count: trees.reduce(0) { $0 + $1.columnOwners(version).count })
    lastPlain = columns.map { _ in nil }
    pageBytes = LanceFileWriter.pageBytes(columns: columns.count)
    waiting = trees.map { _ in ([], 0) }
    guard version != .v2_0 else { return }
    for (i, tree) in trees.enumerated() {
      for (leaf, ancestors) in tree.leaves() {
        guard case .leaf(let shape) = leaf.kind else {
          throw Failure(.unsupported, "column '\(leaf.field.name)': packed structs cannot be written")
        }
        leaves.append(try LeafState(top: i, leaf: leaf, ancestors: ancestors, shape: shape, version: version, pageBytes))
      }
    }
  }

  /// A writer for `schema`, whose fields get the ids `fieldIDs` (pre-order; 0, 1, ... without them).
  package convenience init(
    schema: Schema, fieldIDs: [Int32]? = nil, version: LanceFileVersion = .default, sink: any LanceFileSink
  ) throws(Failure) {
    try self.init(
      fields: try LanceSchema.fields(of: schema, ids: fieldIDs), metadata: schema.metadata, version: version, sink: sink)
  }

  /// Adds the rows of `batch`, whose columns have the types of `schema`, in its order.
  /// - Throws: `TYPE_MISMATCH` or `INVALID_ARGUMENT` naming the column; what the sink throws.
  package func write(_ batch: RecordBatch) throws(Failure) {
    guard !isFinished else { throw Failure(.internalError, "the Lance file is finished already") }
    guard batch.columns.count == trees.count else {
      throw Failure(.typeMismatch, "a batch of \(batch.columns.count) columns for a file of \(trees.count)")
    }
    for (tree, column) in zip(trees, batch.columns) where !tree.field.type.isStored(like: column.type) {
      throw Failure(.typeMismatch, "column '\(tree.field.name)' is \(column.type), the file has \(tree.field.type)")
    }
    guard batch.count > 0 else { return }
    guard batch.count <= PageContext.maxRows - rowCount else {
      throw Failure(.invalidArgument, "a Lance file holds at most 2^32 rows")
    }
    if version == .v2_0 {
      for (i, column) in batch.columns.enumerated() { try writeArrays(i, column) }
    } else {
      // Leaves in turn, each batch in slices of at most about a page, so that memory stays bounded.
      for i in leaves.indices {
        let column = batch.columns[leaves[i].top]
        do throws(Failure) {
          var at = 0
          while at < column.count {
            let rows = min(column.count - at, leaves[i].room(column))
            if try leaves[i].add(column.slice(at, rows)) { readyCount += 1 }
            at += rows
            if readyCount >= LanceFileWriter.readyPages { try flush() }
          }
        } catch { throw error.context("column '\(leaves[i].leaf.field.name)'") }
      }
    }
    rowCount += batch.count
  }

  /// Adds a global buffer, as index files have them; its number, counted from 1. It is kept in memory until `finish`.
  package func addGlobalBuffer(_ bytes: [UInt8]) throws(Failure) -> Int {
    guard !isFinished else { throw Failure(.internalError, "the Lance file is finished already") }
    globals.append(bytes)
    return globals.count
  }

  /// Writes what is left and the file's end.
  package func finish() throws(Failure) -> LanceFileSummary {
    guard !isFinished else { throw Failure(.internalError, "the Lance file is finished already") }
    isFinished = true
    if version == .v2_0 {
      for i in trees.indices { try flushArrays(i) }
    } else {
      for i in leaves.indices { leaves[i].closePage() }
      try flush()
    }
    var descriptor = PBFileDescriptor()
    descriptor.schema.fields = fields
    descriptor.schema.metadata = metadata.mapValues { Data($0.utf8) }
    descriptor.length = UInt64(rowCount)
    let encoding = try LanceFileWriter.columnEncoding()
    var columnMetadata: [[UInt8]] = []
    for pages in columns {
      var message = PBColumnMetadata()
      message.encoding = encoding
      message.pages = pages
      columnMetadata.append(try message.encoded())
    }
    try output.finish(globals: [try descriptor.encoded()] + globals, columns: columnMetadata, version)
    let owners = trees.flatMap { $0.columnOwners(version) }
    return LanceFileSummary(
      rowCount: rowCount, byteCount: output.position, fieldIDs: owners, columnIndices: owners.indices.map { Int32($0) },
      version: version)
  }

  private static func columnEncoding() throws(Failure) -> PBEncodingHolder {
    var encoding = PBColumnEncoding()
    encoding.values = PBEmptyMessage()
    var any = PBAnyMessage()
    any.typeURL = LanceTypeURL.columnEncoding
    any.value = Data(try encoding.encoded())
    var holder = PBEncodingHolder()
    holder.direct.encoding = Data(try any.encoded())
    return holder
  }

  /// Encodes all complete pages on all cores and writes them in order; whoever finishes a page writes what is next in line, so that
  /// one core writes while others encode.
  private func flush() throws(Failure) {
    struct Job { var leaf: Int, parts: [LeafRows], encoder: PageEncoder }
    var jobs: [Job] = []
    for i in leaves.indices {
      for parts in leaves[i].ready { jobs.append(Job(leaf: i, parts: parts, encoder: leaves[i].encoder)) }
      leaves[i].ready = []
    }
    readyCount = 0
    guard !jobs.isEmpty else { return }
    let queue = Mutex((pages: [[EncodedPage]?](repeating: nil, count: jobs.count), next: 0, failure: Failure?.none))
    // Sendable proof: the writer is touched under the lock, while this call waits.
    nonisolated(unsafe) let writer = self
    let all = jobs
    Parallel.forEach(count: all.count, grain: 1) { block in
      for i in block {
        do throws(Failure) {
          let pages: [EncodedPage]
          do throws(Failure) { pages = try all[i].encoder.encode(all[i].parts) } catch {
            throw error.context("column '\(writer.leaves[all[i].leaf].leaf.field.name)'")
          }
          let result: Result<Void, Failure> = queue.withLock { state in
            state.pages[i] = pages
            do throws(Failure) {
              while state.failure == nil, state.next < all.count, let ready = state.pages[state.next] {
                for page in ready { try writer.write(page, leaf: all[state.next].leaf) }
                state.pages[state.next] = nil
                state.next += 1
              }
              return .success(())
            } catch { return .failure(error) }
          }
          try result.get()
        } catch { queue.withLock { if $0.failure == nil { $0.failure = error } } }
      }
    }
    try queue.withLock { state throws(Failure) in
      if let failure = state.failure { throw failure }
      guard state.next == all.count else { throw Failure(.cancelled, "cancelled") }
    }
  }

  private func write(_ page: EncodedPage, leaf: Int) throws(Failure) {
    try write(page, column: leaf, priority: leaves[leaf].rowsWritten)
    leaves[leaf].rowsWritten += page.rows
  }

  private func write(_ page: EncodedPage, column: Int, priority: Int) throws(Failure) {
    if try join(page, column: column) { return }
    var message = PBColumnPage()
    for parts in page.buffers {
      try output.align()
      let start = output.position
      for part in parts { try output.append(part.bytes) }
      message.bufferOffsets.append(UInt64(start))
      message.bufferSizes.append(UInt64(output.position - start))
    }
    message.length = UInt64(page.rows)
    message.priority = UInt64(priority)
    message.encoding.direct.encoding = Data(try page.encoding.encoded())
    columns[column].append(message)
    lastPlain[column] = page.plain
  }

  /// Writes a plain page as more of the column's last page, when that is plain too and ends where the file does: a column of images is then
  /// one page, and the page's description is written and read once.
  private func join(_ page: EncodedPage, column: Int) throws(Failure) -> Bool {
    guard let before = lastPlain[column], let last = columns[column].indices.last,
      let offset = columns[column][last].bufferOffsets.first,
      let size = columns[column][last].bufferSizes.first, offset + size == UInt64(output.position),
      let whole = try page.joined(to: before)
    else { return false }
    for part in page.buffers[0] { try output.append(part.bytes) }
    columns[column][last].bufferSizes = [UInt64(output.position) - offset]
    columns[column][last].length += UInt64(page.rows)
    columns[column][last].encoding.direct.encoding = Data(try whole.encoding.encoded())
    lastPlain[column] = whole.plain
    return true
  }

  // MARK: File version 2.0

  private func writeArrays(_ i: Int, _ column: Column) throws(Failure) {
    let perRow = max(1, column.estimatedBytes / column.count)
    var at = 0
    while at < column.count {
      let room = max(1, (pageBytes - waiting[i].bytes) / perRow)
      let rows = min(column.count - at, room)
      waiting[i].columns.append(column.slice(at, rows))
      waiting[i].bytes += rows * perRow
      at += rows
      if waiting[i].bytes + perRow > pageBytes { try flushArrays(i) }
    }
  }

  private func flushArrays(_ i: Int) throws(Failure) {
    guard !waiting[i].columns.isEmpty else { return }
    let tree = trees[i]
    let rows = waiting[i].columns.reduce(0) { $0 + $1.count }
    do throws(Failure) {
      let column = try Column.concatenate(waiting[i].columns, type: waiting[i].columns[0].type, count: rows)
      let first = trees[..<i].reduce(0) { $0 + $1.columnOwners(version).count }
      // The row number of the page's first row is that of the header column, which counts rows.
      let priority = columns[first].reduce(0) { $0 + Int($1.length) }
      for (k, page) in try ArrayEncoder.encode(column, tree).enumerated() {
        try write(page, column: first + k, priority: priority)
      }
    } catch { throw error.context("column '\(tree.field.name)'") }
    waiting[i] = ([], 0)
  }
}

/// The rows of one leaf that wait to fill a page.
private struct LeafState {
  let top: Int
  let leaf: FieldNode
  let ancestors: [FieldNode]
  let encoder: PageEncoder
  var ready: [[LeafRows]] = []
  var rowsWritten = 0
  private var parts: [LeafRows] = []
  private var bytes = 0
  private var rows = 0
  /// Rows of a full page of plain values: a multiple of 64 bytes, so that the next page follows without a gap.
  private let plainRows: Int?
  private let pageBytes: Int

  init(
    top: Int, leaf: FieldNode, ancestors: [FieldNode], shape: LeafShape, version: LanceFileVersion, _ pageBytes: Int
  ) throws(Failure) {
    self.top = top
    self.pageBytes = pageBytes
    self.leaf = leaf
    self.ancestors = ancestors
    let layers = ancestors.isEmpty ? [Layer.item(nullable: true)] : LeafPath.writeLayers(leaf, ancestors)
    encoder = try PageEncoder(leaf, shape: shape, layers: layers, version: version)
    if encoder.isPlain, let bits = shape.bitsPerRow {
      let width = bits / 8
      let step = 64 >> min(6, width.trailingZeroBitCount)
      plainRows = max(step, pageBytes / width / step * step)
    } else {
      plainRows = nil
    }
  }

  /// Rows of `column` that fill the current page, at least one.
  func room(_ column: Column) -> Int {
    if let plainRows { return max(1, plainRows - rows) }
    return max(1, (pageBytes - bytes) / max(1, column.estimatedBytes / max(1, column.count)))
  }

  /// Adds rows; true when they complete a page.
  mutating func add(_ column: Column) throws(Failure) -> Bool {
    let part = try LeafPath.shred(column, leaf, ancestors)
    parts.append(part)
    rows += part.rows
    bytes += part.values.estimatedBytes + (part.rep.count + part.def.count) * 2
    let isFull = plainRows.map { rows >= $0 } ?? (bytes >= pageBytes)
    if isFull { closePage() }
    return isFull
  }

  mutating func closePage() {
    guard !parts.isEmpty else { return }
    ready.append(parts)
    (parts, bytes, rows) = ([], 0, 0)
  }
}

/// Output in order, small writes gathered, hashed as it passes.
private struct FileOutput {
  private let sink: any LanceFileSink
  private var pending: [UInt8] = []
  private var hasher = BlockHasher()
  private(set) var position = 0
  private static let gather = 1 << 18

  init(_ sink: any LanceFileSink) { self.sink = sink }

  mutating func append(_ bytes: UnsafeRawBufferPointer) throws(Failure) {
    position += bytes.count
    if bytes.count >= FileOutput.gather {
      try flush()
      hasher.append(bytes)
      try sink.append(bytes)
    } else {
      pending.append(contentsOf: bytes)
      if pending.count >= FileOutput.gather { try flush() }
    }
  }

  /// Ends the pages and writes all that follows them.
  mutating func finish(globals: [[UInt8]], columns: [[UInt8]], _ version: LanceFileVersion) throws(Failure) {
    try align()
    try flush()
    hasher.finish()
    let tail = TailWriter(version: version, start: position, blocks: BlockHashes(leaves: hasher.leaves))
    let bytes = tail.bytes(globals: globals, columns: columns)
    position += bytes.count
    try send(bytes)
  }

  /// Pads with zeros to a multiple of 64, as readers insist.
  mutating func align() throws(Failure) {
    let missing = -position & 63
    position += missing
    pending.append(contentsOf: repeatElement(0, count: missing))
  }

  mutating func flush() throws(Failure) {
    guard !pending.isEmpty else { return }
    let bytes = pending
    pending.removeAll(keepingCapacity: true)
    bytes.withUnsafeBytes { hasher.append($0) }
    try send(bytes)
  }

  private func send(_ bytes: [UInt8]) throws(Failure) {
    let result: Result<Void, Failure> = bytes.withUnsafeBytes { raw in
      do throws(Failure) { return .success(try sink.append(raw)) } catch { return .failure(error) }
    }
    try result.get()
  }
}

extension Column {
  /// Bytes that the rows of this column take, those of its slice only.
  var estimatedBytes: Int {
    let bits = Bitmap.byteCount(count)
    guard count > 0 else { return 0 }
    switch type {
    case .utf8, .binary, .largeUtf8, .largeBinary:
      return range(count - 1).upperBound - range(0).lowerBound + count * (type.hasLargeOffsets ? 8 : 4)
    case .list, .largeList, .map, .fixedSizeList: return items().estimatedBytes + count * 4 + bits
    case .structure(let fields): return fields.indices.reduce(bits) { $0 + member($1).estimatedBytes }
    case .dictionary(_, let value): return count * ((value.byteWidth ?? 16))
    default: return (count * (type.bitWidth ?? 0) + 7) / 8 + (validity == nil ? 0 : bits)
    }
  }
}

extension DataType {
  /// True when a column of type `other` can be stored in a column of this type as it is: names and nullability of items do not matter,
  /// a dictionary counts as its values.
  func isStored(like other: DataType) -> Bool {
    switch (self, other) {
    case (_, .dictionary(_, let value)): return isStored(like: value)
    case (.list(let a), .list(let b)), (.largeList(let a), .largeList(let b)), (.map(let a), .map(let b)):
      return a.type.isStored(like: b.type)
    case (.fixedSizeList(let a, let n), .fixedSizeList(let b, let m)): return n == m && a.type.isStored(like: b.type)
    case (.structure(let a), .structure(let b)):
      return a.count == b.count && zip(a, b).allSatisfy { $0.name == $1.name && $0.type.isStored(like: $1.type) }
    default: return self == other
    }
  }
}
