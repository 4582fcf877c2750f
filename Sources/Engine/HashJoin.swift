import Columnar
import Compute
import Core
import Plan

/// Hash join: the right side is read into memory and hashed by its keys, the left side streams through. Left rows keep
/// their order; the partners of one row come in the order of the right side.
enum HashJoin {
  static func parts(
    _ left: any PartSource, _ leftSchema: Schema, _ right: any PartSource, _ rightSchema: Schema, _ join: Join,
    _ schema: Schema,
    batchRows: Int
  ) throws(Failure) -> any PartSource {
    var types: [DataType] = []
    for (a, b) in zip(join.leftOn, join.rightOn) {
      let (x, y) = (try a.type(in: leftSchema), try b.type(in: rightSchema))
      guard let type = Comparison.comparable(x, y) else { throw Failure(.typeMismatch, "join: \(x) and \(y) keys") }
      types.append(type)
    }
    let build = LazyBuild(right, rightSchema, join, types)
    return LazyTransform(left) { () throws(Failure) in
      let table = try build.make()
      return { morsel throws(Failure) in try probe(morsel, table, join, schema, batchRows) }
    }
  }

  /// The hashed right side.
  final class Table: Sendable {
    let types: [DataType]
    let groups: GroupTable
    /// Right rows by group: rows[starts[g] ..< starts[g + 1]].
    let starts: [Int32]
    let rows: [Int32]
    /// Columns that come out, and for a left join one more row of nulls.
    let columns: [Column]
    let nullRow: Int32

    init(types: [DataType], groups: GroupTable, starts: [Int32], rows: [Int32], columns: [Column], nullRow: Int32) {
      self.types = types
      self.groups = groups
      self.starts = starts
      self.rows = rows
      self.columns = columns
      self.nullRow = nullRow
    }
  }

  private struct LazyBuild {
    let right: any PartSource
    let schema: Schema
    let join: Join
    let types: [DataType]
    init(_ right: any PartSource, _ schema: Schema, _ join: Join, _ types: [DataType]) {
      self.right = right
      self.schema = schema
      self.join = join
      self.types = types
    }

    func make() throws(Failure) -> Table {
      let batch = try gather(right, schema)
      let keys = try HashJoin.keys(join.rightOn, types, batch)
      var present: [Int32] = []
      for i in 0..<batch.count where keys.allSatisfy({ $0.isValid(i) }) { present.append(Int32(i)) }
      let groups = GroupTable(types: types)
      var ids: [Int32]
      if present.count == batch.count {
        ids = try groups.insert(keys, count: batch.count)
      } else {
        var some: [Column] = []
        for key in keys { some.append(try key.take(present)) }
        ids = try groups.insert(some, count: present.count)
      }
      var starts = [Int32](repeating: 0, count: groups.count + 1)
      for id in ids { starts[Int(id) + 1] += 1 }
      for g in 0..<groups.count { starts[g + 1] += starts[g] }
      var cursor = starts
      var rows = [Int32](repeating: 0, count: ids.count)
      for (k, id) in ids.enumerated() {
        rows[Int(cursor[Int(id)])] = present[k]
        cursor[Int(id)] += 1
      }
      ids = []
      var columns: [Column] = []
      for output in join.rightColumns {
        let column = try batch.column(output.source)
        columns.append(
          join.kind == .left
            ? try Column.concatenate([column, try Column.nulls(column.type, count: 1)], type: column.type) : column)
      }
      return Table(types: types, groups: groups, starts: starts, rows: rows, columns: columns, nullRow: Int32(batch.count))
    }
  }

  private static func keys(_ exprs: [Expr], _ types: [DataType], _ batch: RecordBatch) throws(Failure) -> [Column] {
    var out: [Column] = []
    for (e, type) in zip(exprs, types) { out.append(try Cast.cast(try e.column(batch), to: type)) }
    return out
  }

  private static func probe(_ morsel: Morsel, _ table: Table, _ join: Join, _ schema: Schema, _ batchRows: Int) throws(Failure)
    -> [Morsel]
  {
    let batch = morsel.batch
    let keys = try HashJoin.keys(join.leftOn, table.types, batch)
    let hasNulls = keys.contains { $0.nullCount > 0 }
    let ids = try table.groups.find(keys, count: batch.count)
    var out: [Morsel] = []
    var (lefts, rights): ([Int32], [Int32]) = ([], [])
    lefts.reserveCapacity(batch.count)
    rights.reserveCapacity(batch.count)
    func flush() throws(Failure) {
      try Cancellation.check()
      // Every left row exactly once needs no copy.
      let same = lefts.count == batch.count && !lefts.indices.contains { lefts[$0] != Int32($0) }
      let some = same ? morsel : try morsel.taking(lefts)
      var columns = some.batch.columns
      for column in table.columns { columns.append(try column.take(rights)) }
      out.append(some.with(try RecordBatch(schema: schema, columns: columns, count: rights.count)))
      lefts.removeAll(keepingCapacity: true)
      rights.removeAll(keepingCapacity: true)
    }
    let most = max(batchRows, batch.count)
    for i in 0..<batch.count {
      let id = hasNulls && !keys.allSatisfy({ $0.isValid(i) }) ? -1 : ids[i]
      if id >= 0 {
        for k in table.starts[Int(id)]..<table.starts[Int(id) + 1] {
          lefts.append(Int32(i))
          rights.append(table.rows[Int(k)])
          if lefts.count >= most { try flush() }
        }
      } else if join.kind == .left {
        lefts.append(Int32(i))
        rights.append(table.nullRow)
      }
    }
    if !lefts.isEmpty { try flush() }
    return out
  }
}

/// A stateless operator that is made when the first part is asked for.
final class LazyTransform: PartSource {
  private let input: any PartSource
  private let make: () throws(Failure) -> TransformParts.Transform
  private var parts: TransformParts?

  init(_ input: any PartSource, _ make: @escaping () throws(Failure) -> TransformParts.Transform) {
    self.input = input
    self.make = make
  }

  func nextPart() throws(Failure) -> PartWork? {
    if let parts { return try parts.nextPart() }
    let made = TransformParts(input, try make())
    parts = made
    return try made.nextPart()
  }
}
