package import Columnar
package import Core
package import LanceFile
import LanceProto
import ObjectStore

/// What a write does with rows that are there already.
package enum WriteMode: String, Sendable, CaseIterable {
  /// The table must not exist.
  case create
  /// The rows go behind the others; the table must exist.
  case append
  /// The rows replace the others in a new version; a table that does not exist is made.
  case overwrite
  /// Rows whose key is there replace those, the others are added; a table that does not exist is made. Needs a key, so only
  /// frames can do it.
  case merge
}

/// How a table is written.
package struct WriteOptions: Sendable {
  /// Rows of one data file, and so of one fragment.
  package var maxRowsPerFile = 1 << 20
  /// `2.0`, `2.1` or `2.2`, for `create` and `overwrite`; an append keeps to the table's, and fails when another one is given.
  package var fileVersion: LanceFileVersion?
  /// `none`, `lz4`, `zstd` or `zstd:LEVEL` (1 to 22) for all columns that do not say otherwise in their metadata
  /// (`lance-encoding:compression`), for `create` and `overwrite`; it is kept with the columns, so that appends follow it.
  /// With an append it is an error.
  package var compression: String?
  /// Kept in the commit's transaction: who wrote it and why.
  package var properties: [String: String] = [:]
  /// The write takes place only on this version: when another one is the newest, it fails with `VERSION_CONFLICT`.
  package var ifVersion: UInt64?

  package init() {}

  /// - Parameter table: opened only when there is something to check.
  /// - Throws: `INVALID_ARGUMENT` when something is given that was chosen when the table was made; what opening it throws.
  package func checkRowsOnly(_ table: @autoclosure () throws(Failure) -> LanceTable) throws(Failure) {
    guard compression != nil || fileVersion != nil else { return }
    let table = try table()
    if let compression {
      throw Failure(
        .invalidArgument,
        "compression '\(compression)' is for a new table or mode 'overwrite'; rows added to table '\(table.name)' are stored as it says"
      )
    }
    if let fileVersion, table.fileVersion != fileVersion.rawValue {
      throw Failure(
        .invalidArgument,
        "file version \(fileVersion.rawValue) is for a new table or mode 'overwrite'; table '\(table.name)' has \(table.fileVersion)"
      )
    }
  }
}

extension ChangeOptions {
  /// What a write and a change have in common.
  package init(_ options: WriteOptions) {
    self.init()
    maxRowsPerFile = options.maxRowsPerFile
    properties = options.properties
    ifVersion = options.ifVersion
  }
}

extension LanceTable {
  /// Writes all rows of `reader` and commits them as one version.
  ///
  /// Rows stream: no more than a batch and what the file format buffers per column is in memory. Nothing is seen before the
  /// commit; when anything fails before it, the files written so far are removed. Commits of other writers in the meantime
  /// are no obstacle unless they contradict (see `TableCommit`).
  /// - Returns: the new version (for an append of no rows: the version that is there).
  /// - Throws: `ALREADY_EXISTS`, `DATASET_NOT_FOUND`, `INVALID_SCHEMA`, `TYPE_MISMATCH` naming the column and both types,
  ///   `VERSION_CONFLICT`, `UNSUPPORTED`, `IO_ERROR`, and what `reader` throws.
  @discardableResult
  package static func write(
    _ reader: any RecordBatchReader, to location: TableLocation, mode: WriteMode, options: WriteOptions = WriteOptions()
  ) throws(Failure) -> LanceTable {
    let plan = try WritePlan(reader.schema, location, mode, options)
    if let wanted = options.ifVersion, plan.readVersion != wanted {
      throw TableCommit.isNot(wanted, location, newest: plan.readVersion)
    }
    let writer = FragmentWriter(location: location, plan: plan, maxRows: max(1, options.maxRowsPerFile))
    let fragments: [PBDataFragment]
    do throws(Failure) {
      while let batch = try reader.next() {
        try Cancellation.check()
        try writer.append(try plan.conform(batch))
      }
      fragments = try writer.finish()
    } catch {
      writer.removeAll()
      throw error
    }
    if case .append(let base) = plan.target, fragments.isEmpty { return base }
    let commit = TableCommit(location: location, properties: options.properties)
    let outcome: TableCommit.Outcome
    do throws(Failure) {
      outcome = try commit.run(
        plan.intent(fragments), readVersion: plan.readVersion, commitName: plan.commitName, exactly: options.ifVersion != nil,
        begunAfter: plan.begunAfter)
    } catch {
      if TableCommit.isUndone(error) { writer.removeAll() }
      throw error
    }
    switch outcome {
    case .published(let file, let naming): return try LanceTable(location: location, file: file, naming: naming)
    case .retry(let why):
      // The rows are a stream, which cannot be had once more.
      writer.removeAll()
      throw why
    }
  }
}

/// What is written where: checked before the first row.
struct WritePlan {
  enum Target {
    case append(LanceTable)
    case new
  }
  let target: Target
  let readVersion: UInt64?
  /// The newest version before the first file was written, also when it says that the table was deleted; 0 without any.
  let begunAfter: UInt64
  /// Of `readVersion`; nil when the rows go into whatever table is there.
  var commitName: String? {
    if case .append(let base) = target { base.commitName } else { nil }
  }
  /// Of the rows as they are written: for an append, the table's columns that the data has, in the table's order and types.
  let schema: Schema
  /// Of `schema`, with their ids.
  let fields: [PBField]
  let fileVersion: LanceFileVersion
  private let name: String

  init(_ given: Schema, _ location: TableLocation, _ mode: WriteMode, _ options: WriteOptions) throws(Failure) {
    name = location.name
    do throws(Failure) { try given.validate() } catch { throw error.context("table '\(location.name)'") }
    let listing = try VersionListing(location)
    begunAfter = listing.latest ?? 0
    switch mode {
    case .append:
      let base = try LanceTable(location)
      try FeatureFlags.checkWritable(base.manifest, table: name)
      try options.checkRowsOnly(base)
      let columns = try WritePlan.columns(of: base, for: given)
      target = .append(base)
      readVersion = base.version
      schema = Schema(columns.map(\.field), metadata: base.schema.metadata)
      fields = columns.flatMap(\.protos)
      fileVersion = try LanceFileVersion.named(base.fileVersion)
    case .create, .overwrite:
      let latest = location.living(listing)
      if mode == .create, let latest {
        throw Failure(.alreadyExists, "table '\(location.name)' exists already (version \(latest))")
      }
      target = .new
      readVersion = latest
      do throws(Failure) {
        let plain = try LanceSchema.fields(of: given)
        fields =
          try options.compression.map { (choice) throws(Failure) in try CompressionChoice.applied(choice, to: plain) } ?? plain
      } catch { throw error.context("table '\(location.name)'") }
      // As it will be read: a dictionary column, for one, is stored as its values.
      schema = try LanceSchema.schema(of: fields, metadata: given.metadata)
      fileVersion = options.fileVersion ?? .default
    case .merge:
      throw Failure(.invalidArgument, "table '\(location.name)': a merge needs a key, and rows that are compared by it")
    }
  }

  /// Rows of `table` with other values: all columns, as the table has them.
  init(rewriting table: LanceTable) throws(Failure) {
    name = table.name
    target = .append(table)
    readVersion = table.version
    begunAfter = table.version
    schema = table.schema
    fields = table.fields.flatMap(\.protos)
    fileVersion = try LanceFileVersion.named(table.fileVersion)
  }

  func intent(_ fragments: [PBDataFragment]) -> any CommitIntent {
    switch target {
    case .append: return AppendIntent(fragments: fragments, fields: fields)
    case .new:
      return OverwriteIntent(
        fragments: fragments, fields: fields, metadata: schema.metadata, fileVersion: fileVersion.rawValue)
    }
  }

  /// The table's columns that `given` brings.
  /// - Throws: `COLUMN_NOT_FOUND`, `TYPE_MISMATCH`, `INVALID_SCHEMA` naming the column.
  private static func columns(of table: LanceTable, for given: Schema) throws(Failure) -> [TableField] {
    for field in given.fields where !table.schema.names.contains(field.name) {
      throw Failure(
        .columnNotFound,
        "table '\(table.name)' has no column \(nearNames(field.name, known: table.schema.names, what: "columns"))")
    }
    var columns: [TableField] = []
    for column in table.fields {
      guard let field = given.fields.first(where: { $0.name == column.field.name }) else {
        guard column.field.isNullable else {
          throw Failure(
            .invalidSchema,
            "column '\(column.field.name)' of table '\(table.name)' does not allow nulls and is missing in the data")
        }
        continue
      }
      guard Conversion.fits(field.type, column.field.type) else {
        throw Failure(
          .typeMismatch,
          "column '\(field.name)' is \(column.field.type) in table '\(table.name)' and \(field.type) in the data")
      }
      columns.append(column)
    }
    guard !columns.isEmpty else { throw Failure(.invalidSchema, "the data has none of the columns of table '\(table.name)'") }
    return columns
  }

  /// The columns of `batch` that are written, in the order of `schema`; their types fit it (`Conversion.fits`).
  /// - Throws: `INVALID_SCHEMA` naming a column that has nulls and may not.
  func conform(_ batch: RecordBatch) throws(Failure) -> RecordBatch {
    var columns: [Column] = []
    for field in schema.fields {
      let column = try batch.column(field.name)
      if !field.isNullable, column.nullCount > 0 {
        throw Failure(
          .invalidSchema,
          "column '\(field.name)' of table '\(name)' does not allow nulls; the data has \(column.nullCount) in one batch")
      }
      columns.append(column)
    }
    let given = Schema(zip(schema.fields, columns).map { Field($0.name, $1.type, isNullable: $0.isNullable) })
    return try RecordBatch(schema: given, columns: columns, count: batch.count)
  }
}

/// Types that differ in nothing that is stored: names, nullability and metadata of nested fields.
enum Conversion {
  static func fits(_ given: DataType, _ stored: DataType) -> Bool {
    switch (given, stored) {
    case (.dictionary(_, let value), _): return fits(value, stored)
    case (.list(let a), .list(let b)), (.largeList(let a), .largeList(let b)), (.map(let a), .map(let b)):
      return fits(a.type, b.type)
    case (.fixedSizeList(let a, let n), .fixedSizeList(let b, let m)): return n == m && fits(a.type, b.type)
    case (.structure(let a), .structure(let b)):
      return a.count == b.count && zip(a, b).allSatisfy { $0.name == $1.name && fits($0.type, $1.type) }
    default: return given == stored
    }
  }
}
