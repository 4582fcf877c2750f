import Columnar
import Compute
import Core
import Plan

/// Hash aggregation. Every part is grouped and aggregated by itself, on any core; the states are merged in the order of the
/// parts. When the first parts show that most rows are groups of their own, grouping twice is no use: then only keys and
/// arguments are computed in parallel, and rows go straight into the whole state. Memory grows with groups, not rows (except
/// for median, quantile and list, which keep values).
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
    var rows = 0
    while true {
      if total.table.count * 2 > rows, rows > 0, !spec.keys.isEmpty {
        let results = try Waves.run(input, width: width) { part in AggregateParts.inputs(part, spec) }
        for result in results { for input in try result.get() { try AggregateParts.add(input, to: total) } }
        if results.count < width { break }
      } else {
        let results = try Waves.run(input, width: width) { part in AggregateParts.partial(part, spec) }
        for result in results {
          let part = try result.get()
          rows += part.rows
          try AggregateParts.merge(part.state, into: total)
        }
        if results.count < width { break }
      }
      width = Waves.widest
    }
    if spec.keys.isEmpty { _ = try total.table.insert([], count: 1) }
    let groups = total.table.count
    var columns = try total.table.keys()
    for accumulator in total.accumulators { columns.append(try accumulator.finish(groups: groups)) }
    let batch = try RecordBatch(schema: schema, columns: columns, count: groups)
    return { .success([Morsel(batch: batch, origin: .init(label: nil, firstRow: 0))]) }
  }

  /// Keys and arguments of one morsel.
  private struct Input: Sendable {
    var keys: [Column]
    var arguments: [Column?]
    var count: Int
  }

  private static func input(_ morsel: Morsel, _ spec: Spec) throws(Failure) -> Input {
    do throws(Failure) {
      let batch = morsel.batch
      var input = Input(keys: [], arguments: [], count: batch.count)
      for key in spec.keys { input.keys.append(try key.expr.column(batch)) }
      for call in spec.calls {
        if let e = call.argument { input.arguments.append(try e.column(batch)) } else { input.arguments.append(nil) }
      }
      return input
    } catch { throw morsel.locating(error) }
  }

  private static func add(_ input: Input, to state: State) throws(Failure) {
    let ids = try state.table.insert(input.keys, count: input.count)
    for (accumulator, argument) in zip(state.accumulators, input.arguments) {
      try accumulator.update(argument, ids, groups: state.table.count)
    }
  }

  private static func inputs(_ part: PartWork, _ spec: Spec) -> Result<[Input], Failure> {
    do throws(Failure) {
      var out: [Input] = []
      for morsel in try part().get() { out.append(try input(morsel, spec)) }
      return .success(out)
    } catch { return .failure(error) }
  }

  private static func partial(_ part: PartWork, _ spec: Spec) -> Result<(state: State, rows: Int), Failure> {
    do throws(Failure) {
      let state = try spec.states()
      var rows = 0
      for morsel in try part().get() {
        try add(try input(morsel, spec), to: state)
        rows += morsel.batch.count
      }
      return .success((state, rows))
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
