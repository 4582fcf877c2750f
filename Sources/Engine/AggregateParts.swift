import Columnar
import Compute
import Core
import Plan

/// Hash aggregation. Every part is grouped and aggregated by itself, on any core; the states are merged in the order of the
/// parts. Memory grows with groups, not rows (except for median, quantile and list, which keep values).
final class AggregateParts: PartSource {
  private let input: any PartSource
  private let spec: Spec
  private let schema: Schema
  private var done = false

  /// What is computed, shared by the threads.
  struct Spec: Sendable {
    var keys: [NamedExpr]
    var keyTypes: [DataType]
    var calls: [AggregateCall]
    var argumentTypes: [DataType?]

    func states() throws(Failure) -> State {
      var accumulators: [any Accumulator] = []
      for (call, type) in zip(calls, argumentTypes) { accumulators.append(try call.aggregate.accumulator(type)) }
      return State(table: GroupTable(types: keyTypes), accumulators: accumulators)
    }
  }

  struct State: Sendable {
    let table: GroupTable
    let accumulators: [any Accumulator]
  }

  init(_ input: any PartSource, _ inputSchema: Schema, _ schema: Schema, _ keys: [NamedExpr], _ calls: [AggregateCall]) {
    self.input = input
    self.schema = schema
    // The plan was checked, so the types are known.
    spec = Spec(
      keys: keys, keyTypes: keys.map { (try? $0.expr.type(in: inputSchema)) ?? .null }, calls: calls,
      argumentTypes: calls.map { call in call.argument.map { (try? $0.type(in: inputSchema)) ?? .null } })
  }

  func nextPart() throws(Failure) -> PartWork? {
    if done { return nil }
    done = true
    let total = try spec.states()
    let spec = spec
    var width = 2
    while true {
      let results = try Waves.run(input, width: width) { part in AggregateParts.partial(part, spec) }
      for result in results { try AggregateParts.merge(try result.get(), into: total) }
      if results.count < width { break }
      width = Waves.widest
    }
    if spec.keys.isEmpty { _ = try total.table.insert([], count: 1) }
    let groups = total.table.count
    var columns = try total.table.keys()
    for accumulator in total.accumulators { columns.append(try accumulator.finish(groups: groups)) }
    let batch = try RecordBatch(schema: schema, columns: columns, count: groups)
    return { .success([Morsel(batch: batch, origin: .init(label: nil, firstRow: 0))]) }
  }

  private static func partial(_ part: PartWork, _ spec: Spec) -> Result<State, Failure> {
    do throws(Failure) {
      let state = try spec.states()
      for morsel in try part().get() {
        do throws(Failure) {
          let batch = morsel.batch
          var keys: [Column] = []
          for key in spec.keys { keys.append(try key.expr.column(batch)) }
          let ids = try state.table.insert(keys, count: batch.count)
          for (call, accumulator) in zip(spec.calls, state.accumulators) {
            var argument: Column?
            if let e = call.argument { argument = try e.column(batch) }
            try accumulator.update(argument, ids, groups: state.table.count)
          }
        } catch { throw morsel.locating(error) }
      }
      return .success(state)
    } catch { return .failure(error) }
  }

  private static func merge(_ part: State, into total: State) throws(Failure) {
    let groups = part.table.count
    guard groups > 0 else { return }
    let mapping = try total.table.insert(try part.table.keys(), count: groups)
    for (mine, other) in zip(total.accumulators, part.accumulators) {
      try mine.merge(other, mapping, groups: total.table.count)
    }
  }
}
