import Columnar
import Core
import DataFrames
import LanceIndex
import LanceTable
import LuaHost
import Plan

/// Indices, and the nearest rows. `LuaLib/lake.lua` adds `search`, which builds the options of `nearest` step by step.
extension LuaTable {
  static let search: [Fn] = [
    Fn(
      "create_index",
      "fun(self: Table, column: string, opts?: {type?: string, name?: string, metric?: string, partitions?: any, sub_vectors?: integer, sample_rate?: integer, seed?: integer, replace?: boolean}): table",
      "Builds an index: type = \"btree\" or \"bitmap\" for values, \"ivf_pq\" or \"ivf_flat\" for vectors (btree or ivf_pq when left out). Vectors: metric = \"l2\" (default), \"cosine\", \"dot\". Gives what indices() gives for it."
    ) { call in
      let this = try call.selfTable()
      let info = try this.writable().createIndex(on: try call.string(2), try options(call))
      try this.move()
      return call.push(info.json)
    },
    Fn(
      "ensure_index",
      "fun(self: Table, column: string, opts?: {type?: string, name?: string, metric?: string, partitions?: any, sub_vectors?: integer, sample_rate?: integer, seed?: integer, replace?: boolean}): table",
      "Like create_index where there is no such index; where there is one, rows that it does not know yet are added to it."
    ) { call in
      let this = try call.selfTable()
      let info = try this.writable().ensureIndex(on: try call.string(2), try options(call))
      try this.move()
      return call.push(info.json)
    },
    Fn(
      "optimize_indices", "fun(self: Table, names?: string[]): integer",
      "Adds rows that are not indexed yet to the indices; gives how many indices got some."
    ) { call in
      let this = try call.selfTable()
      let count = try this.writable().optimizeIndices(call.isNil(2) ? nil : try call.strings(2))
      try this.move()
      return call.push(count)
    },
    Fn(
      "indices", "fun(self: Table): table[]",
      "The indices: name, column, kind, usable, parts, indexed_rows, unindexed_rows, bytes, created, metric."
    ) { call in call.push(.array(try call.selfTable().table.indexList().map(\.json))) },
    Fn("drop_index", "fun(self: Table, name: string)", "Takes an index away.") { call in
      let this = try call.selfTable()
      try this.writable().dropIndex(try call.string(2))
      try this.move()
      return 0
    },
    Fn(
      "nearest",
      "fun(self: Table, vectors: any, opts?: {column?: string, k?: integer, where?: any, select?: string[], metric?: string, probes?: integer, refine?: integer, exact?: boolean}): Frame",
      "The k (10) rows nearest to a vector (a list or tensor), nearest first, with their _distance (l2: squared; cosine: 1 - cos; dot: 1 - dot). `where` is applied before the search. Several vectors: also _query (1 for the first) and _rank. With an index, `probes` (20) partitions are looked into and refine (10) * k candidates measured exactly; exact = true looks at every row."
    ) { call in
      let this = try call.selfTable()
      let options = try call.options(3)
      let (vectors, isOne) = try call.vectors(2)
      let query = try query(call, options, this)
      let (condition, select) = (try call.condition(options, "where"), try options.strings("select"))
      let found = try this.table.search(vectors, query, where: condition, select: select)
      guard let first = found.first else { throw call.bad(2, "at least one vector is needed") }
      return try call.push(Frame(try isOne ? MemoryTable([first], schema: first.schema) : numbered(found, like: first)))
    },
    Fn(
      "recall",
      "fun(self: Table, column?: string, opts?: {k?: integer, sample?: integer, seed?: integer, metric?: string, probes?: integer, refine?: integer}): number, table",
      "How many of the true k (10) nearest rows the index finds, from 0 to 1, measured with sampled rows (100) as queries; and a report with times."
    ) { call in
      let this = try call.selfTable()
      let options = try call.options(3)
      var query = VectorQuery(column: try call.optionalString(2) ?? this.table.onlyVectorColumn())
      try apply(options, to: &query)
      let report = try this.table.recall(
        query, sample: try options.integer("sample", in: 1...100_000) ?? 100,
        seed: UInt64(bitPattern: Int64(try options.integer("seed") ?? 42)))
      return call.push(report.recall) + call.push(report.json)
    },
  ]

  /// `{ type = "ivf_pq", metric = "cosine", ... }`.
  private static func options(_ call: borrowing Call) throws(Failure) -> IndexOptions {
    let given = try call.options(3)
    var options = IndexOptions()
    options.name = try given.string("name")
    if let type = try given.string("type") {
      guard let kind = IndexKind(named: type) else {
        throw given.bad("type", "cannot be \(nearNames(type, known: ["btree", "bitmap", "ivf_flat", "ivf_pq"], what: "types"))")
      }
      options.kind = kind
    }
    if let metric = try metric(given) { options.metric = metric }
    _ = given.push("partitions")
    var isAuto = call.isNil(-1)
    if call.isString(-1) { isAuto = try call.string(-1) == "auto" }
    call.pop()
    if !isAuto { options.partitions = try given.integer("partitions", in: 1...1 << 20) }
    options.subVectors = try given.integer("sub_vectors", in: 1...1 << 16)
    if let rate = try given.integer("sample_rate", in: 1...1 << 20) { options.sampleRate = rate }
    if let seed = try given.integer("seed") { options.seed = UInt64(bitPattern: Int64(seed)) }
    options.replace = try given.boolean("replace") ?? false
    return options
  }

  private static func metric(_ options: borrowing Options) throws(Failure) -> VectorMetric? {
    try options.choice("metric", VectorMetric.allCases.map(\.rawValue)).flatMap { VectorMetric(rawValue: $0) }
  }

  private static func query(_ call: borrowing Call, _ options: borrowing Options, _ this: LuaTable) throws(Failure)
    -> VectorQuery
  {
    let column: String
    if let named = try options.string("column") { column = named } else { column = try this.table.onlyVectorColumn() }
    var query = VectorQuery(column: column)
    query.usesIndex = try options.boolean("exact") != true
    try apply(options, to: &query)
    return query
  }

  private static func apply(_ options: borrowing Options, to query: inout VectorQuery) throws(Failure) {
    if let k = try options.integer("k", in: 1...1_000_000) { query.k = k }
    query.metric = try metric(options)
    if let probes = try options.integer("probes", in: 1...1 << 20) { query.probes = probes }
    if let refine = try options.integer("refine", in: 0...1 << 20) { query.refine = refine }
  }

  /// The answers to several queries in one table, with `_query` and `_rank`, both from 1.
  private static func numbered(_ answers: [RecordBatch], like first: RecordBatch) throws(Failure) -> MemoryTable {
    let schema = Schema([Field("_query", .int64)] + first.schema.fields + [Field("_rank", .int64)])
    var batches: [RecordBatch] = []
    for (i, batch) in answers.enumerated() {
      let query = try Column.int64(Array(repeating: Int64(i + 1), count: batch.count))
      let rank = try Column.int64((0..<batch.count).map { Int64($0 + 1) })
      batches.append(try RecordBatch(schema: schema, columns: [query] + batch.columns + [rank], count: batch.count))
    }
    return MemoryTable(batches, schema: schema)
  }
}

extension Call {
  /// A vector (a list or array of numbers), or several of equal length (a list of lists, an array of two dimensions).
  fileprivate func vectors(_ index: Int32) throws -> (vectors: [[Float]], isOne: Bool) {
    if let array = numericArray(index) {
      let values = try floats(array)
      switch array.shape.count {
      case 1: return ([values], true)
      case 2:
        let width = array.shape[1]
        return ((0..<array.shape[0]).map { Array(values[$0 * width..<($0 + 1) * width]) }, false)
      default: throw bad(index, "one or two dimensions expected, got \(array.shape.count)")
      }
    }
    guard isTable(index) else {
      throw bad(index, "a list of numbers, a list of lists or a tensor expected, got \(describe(index))")
    }
    if let values = try? numbers(index) { return ([values.map { Float($0) }], true) }
    var vectors: [[Float]] = []
    try forEachElement(index) { _ in vectors.append(try numbers(-1).map { Float($0) }) }
    return (vectors, false)
  }

  private func floats(_ array: any NumericArray) throws(Failure) -> [Float] {
    let buffer = try array.denseBuffer()
    let count = array.shape.reduce(1, *)
    switch array.numericType {
    case .f32: return buffer.withBytes { Array($0.bindMemory(to: Float.self).prefix(count)) }
    case .f64: return buffer.withBytes { $0.bindMemory(to: Double.self).prefix(count).map { Float($0) } }
    default: throw Failure(.typeMismatch, "a vector of \(array.numericType.rawValue) is not searched for; cast it to f32")
    }
  }
}
