package import Columnar
import Compute
package import Core
package import Plan

/// What a check of the plan found so far.
package struct CheckResult: Sendable, Hashable {
  package var name: String
  package var action: Check.Action
  /// Rows tested.
  package var checked: Int
  /// Rows that did not pass.
  package var violations: Int

  package init(name: String, action: Check.Action, checked: Int, violations: Int) {
    self.name = name
    self.action = action
    self.checked = checked
    self.violations = violations
  }
}

/// A plan that runs: a stream of batches. Used by one thread; the work behind it runs on all cores.
package final class Execution: RecordBatchReader {
  package let schema: Schema
  private let reader: ParallelReader
  private let context: RunContext

  /// Optimises `plan` and opens its sources.
  package init(_ plan: LogicalPlan, optimise: Bool = true) throws(Failure) {
    let plan = optimise ? try plan.optimized() : plan
    context = RunContext(batchRows: Execution.batchRows(plan))
    schema = plan.schema
    reader = ParallelReader(try Builder(context).build(plan))
  }

  package func next() throws(Failure) -> RecordBatch? {
    guard let batch = try reader.next()?.batch else { return nil }
    return batch.schema == schema ? batch : try RecordBatch(schema: schema, columns: batch.columns, count: batch.count)
  }

  /// All rows in one batch.
  package func collect() throws(Failure) -> RecordBatch {
    var batches: [RecordBatch] = []
    while let batch = try next() { batches.append(batch) }
    return try RecordBatch.concatenate(batches, schema: schema)
  }

  /// The plan's checks, in the order of the plan, innermost first.
  package var checks: [CheckResult] { context.checks.map { $0.result } }

  /// Rows per batch such that the widest rows of the plan make about 4 MiB: a batch stays near the cores' caches.
  static func batchRows(_ plan: LogicalPlan) -> Int {
    func widest(_ plan: LogicalPlan) -> Int {
      plan.inputs.reduce(plan.schema.fields.reduce(0) { $0 + width($1.type) }) { max($0, widest($1)) }
    }
    return min(65536, max(256, (4 << 20) / max(1, widest(plan))))
  }

  private static func width(_ type: DataType) -> Int {
    switch type {
    case .fixedSizeList(let item, let size): size.multipliedReportingOverflow(by: width(item.type)).partialValue
    case .structure(let fields): fields.reduce(0) { $0 + width($1.type) }
    case .utf8, .largeUtf8: 24
    case .binary, .largeBinary, .list, .largeList, .map: 256
    default: max(1, (type.bitWidth ?? 8) / 8)
    }
  }
}

/// What the operators of one run share.
final class RunContext {
  let batchRows: Int
  var checks: [CheckCounter] = []
  init(batchRows: Int) { self.batchRows = batchRows }
}

/// Turns a plan into parts. Stateless operators join the parts of their input; the others read them in order.
struct Builder {
  let context: RunContext
  init(_ context: RunContext) { self.context = context }

  func build(_ plan: LogicalPlan) throws(Failure) -> any PartSource {
    switch plan.node {
    case .scan(let source, let columns, let filters, let limit):
      let request = ScanRequest(columns: columns, filters: filters, limit: limit, batchRows: context.batchRows)
      return ScanParts(try source.scan(request), label: source.label)
    case .project(let input, let exprs):
      let schema = plan.schema
      return TransformParts(try build(input)) { morsel throws(Failure) in
        var columns: [Column] = []
        for e in exprs { columns.append(try e.expr.column(morsel.batch)) }
        return [morsel.with(try RecordBatch(schema: schema, columns: columns, count: morsel.batch.count))]
      }
    case .filter(let input, let condition):
      return TransformParts(try build(input)) { morsel throws(Failure) in
        [try morsel.keeping(try Selection.indices(try condition.evaluate(morsel.batch)))]
      }
    case .check(let input, let check):
      let source = try build(input)
      let counter = CheckCounter(check)
      context.checks.append(counter)
      let schema = plan.schema
      return TransformParts(source) { morsel throws(Failure) in [try counter.apply(morsel, schema)] }
    case .limit(let input, let offset, let count):
      return ReaderParts(LimitReader(ParallelReader(try build(input)), offset: offset, count: count), keepsOrigin: true)
    case .rowIndex(let input, _, let start):
      return ReaderParts(RowIndexReader(ParallelReader(try build(input)), plan.schema, start: start), keepsOrigin: true)
    case .concat(let inputs):
      var sources: [any PartSource] = []
      for input in inputs {
        let schema = plan.schema
        sources.append(
          TransformParts(try build(input)) { morsel throws(Failure) in
            [morsel.with(try RecordBatch(schema: schema, columns: morsel.batch.columns, count: morsel.batch.count))]
          })
      }
      return ConcatParts(sources)
    case .distinct(let input, let on):
      let reader = DistinctReader(ParallelReader(try build(input)), input.schema, on: on)
      return ReaderParts(reader, keepsOrigin: true)
    case .sort(let input, let keys):
      return SortParts(try build(input), input.schema, keys, batchRows: context.batchRows)
    case .aggregate(let input, let keys, let calls):
      return AggregateParts(try build(input), input.schema, plan.schema, keys, calls)
    case .join(let left, let right, let join):
      return try HashJoin.parts(
        try build(left), left.schema, try build(right), right.schema, join, plan.schema, batchRows: context.batchRows)
    }
  }
}
