import Columnar
import Core
import DataFrames
import HTTPTypes
import Hummingbird
import Lake
import LanceIndex
import LanceTable
import Plan
import Tasks

/// Indices of a data set, and the rows nearest to vectors.
struct DatasetSearchRoutes: Sendable {
  let lake: DataLake

  var routes: [Route] {
    [
      Route(
        method: .get, path: "/api/v1/datasets/{id}/indices", tag: "datasets", summary: "Indices and what they cover",
        answers: [Answer(status: 200, about: "The indices, by name.", schema: "[Index]")],
        errors: [.datasetNotFound, .corruptData],
        handler: list),
      Route(
        method: .post, path: "/api/v1/datasets/{id}/indices", tag: "datasets", summary: "Build an index",
        about: "Over values (`btree`, `bitmap`) or vectors (`ivf_pq`, `ivf_flat`). The answer comes when it is built.",
        body: "NewIndex", answers: [Answer(status: 201, about: "The index.", schema: "Index")],
        errors: [
          .invalidRequest, .originNotAllowed, .datasetNotFound, .columnNotFound, .typeMismatch, .alreadyExists,
          .versionConflict,
          .payloadTooLarge, .unsupportedMediaType, .corruptData, .insufficientStorage,
        ], handler: create),
      Route(
        method: .post, path: "/api/v1/datasets/{id}/optimize-indices", tag: "datasets",
        summary: "Index rows that no index knows yet",
        about: "They are found without it too, by looking at each of them.",
        answers: [Answer(status: 200, about: "The indices afterwards.", schema: "[Index]")],
        errors: [.originNotAllowed, .datasetNotFound, .versionConflict, .corruptData, .insufficientStorage], handler: optimize),
      Route(
        method: .delete, path: "/api/v1/datasets/{id}/indices/{index}", tag: "datasets", summary: "Drop an index",
        answers: [Answer(status: 204, about: "It is gone.", schema: nil)],
        errors: [.originNotAllowed, .datasetNotFound, .invalidArgument, .versionConflict, .corruptData], handler: drop),
      Route(
        method: .post, path: "/api/v1/datasets/{id}/search", tag: "datasets", summary: "The rows nearest to vectors",
        about:
          "`where` is applied before the search, and rows that no index knows are searched too. `_distance`: l2 squared; cosine 1 - cos; dot 1 - dot.",
        query: Call.versionParameters, body: "SearchRequest",
        answers: [Answer(status: 200, about: "One list of rows per vector, nearest first.", schema: "SearchResult")],
        errors: [
          .invalidRequest, .originNotAllowed, .invalidFilter, .columnNotFound, .typeMismatch, .shapeMismatch, .datasetNotFound,
          .versionNotFound, .payloadTooLarge, .unsupportedMediaType, .corruptData,
        ], handler: search),
    ]
  }

  @Sendable private func list(_ call: Call) async throws(Failure) -> Response {
    json(.array(try await lake.withTable(call.parameter("id")) { table throws(Failure) in try table.indexList().map(\.json) }))
  }

  @Sendable private func create(_ call: Call) async throws(Failure) -> Response {
    let body = try await call.body("NewIndex")
    var options = IndexOptions()
    options.kind = body["type"]?.stringValue.flatMap { IndexKind(named: $0) }
    options.metric = body["metric"]?.stringValue.flatMap { VectorMetric(rawValue: $0) } ?? .l2
    options.name = body["name"]?.stringValue
    options.partitions = body["partitions"]?.intValue.map { Int($0) }
    options.subVectors = body["sub_vectors"]?.intValue.map { Int($0) }
    options.replace = body["replace"]?.boolValue ?? false
    let (column, how) = (body["column"]?.stringValue ?? "", options)
    let info = try await lake.withDataset(call.parameter("id")) { place throws(Failure) in
      try place.createIndex(on: column, how).json
    }
    return json(info, status: .created)
  }

  @Sendable private func optimize(_ call: Call) async throws(Failure) -> Response {
    json(
      .array(
        try await lake.withDataset(call.parameter("id")) { place throws(Failure) in
          _ = try place.optimizeIndices()
          return try LanceTable(place).indexList().map(\.json)
        }))
  }

  @Sendable private func drop(_ call: Call) async throws(Failure) -> Response {
    let name = call.parameter("index")
    try await lake.withDataset(call.parameter("id")) { place throws(Failure) in try place.dropIndex(name) }
    return Response(status: .noContent)
  }

  @Sendable private func search(_ call: Call) async throws(Failure) -> Response {
    let body = try await call.body("SearchRequest")
    let vectors: [[Float]]
    switch (body["vector"]?.arrayValue, body["vectors"]?.arrayValue) {
    case (let one?, nil): vectors = [one.compactMap { $0.doubleValue.map { Float($0) } }]
    case (nil, let several?): vectors = several.map { ($0.arrayValue ?? []).compactMap { $0.doubleValue.map { Float($0) } } }
    default: throw Failure(.invalidRequest, "give either vector or vectors")
    }
    let condition = try body["where"]?.stringValue.map { text throws(Failure) in try Expr(parsing: text) }
    let select = body["select"]?.arrayValue?.compactMap(\.stringValue)
    let given = body
    let (hits, version) = try await lake.withTable(call.parameter("id"), try call.tableVersion()) { table throws(Failure) in
      let query = try DatasetSearchRoutes.query(given, table)
      let found = try table.search(vectors, query, where: condition, select: select)
      return (
        JSONValue.array(found.map { batch in .array((0..<batch.count).map { .object(batch.json(row: $0)) }) }), table.version
      )
    }
    return json(["hits": hits, "version": .int(Int64(clamping: version))], headers: [.eTag: versionTag(version)])
  }

  private static func query(_ body: JSONObject, _ table: LanceTable) throws(Failure) -> VectorQuery {
    let column: String
    if let named = body["column"]?.stringValue { column = named } else { column = try table.onlyVectorColumn() }
    var query = VectorQuery(column: column)
    if let k = body["k"]?.intValue { query.k = Int(k) }
    query.metric = body["metric"]?.stringValue.flatMap { VectorMetric(rawValue: $0) }
    if let probes = body["probes"]?.intValue { query.probes = Int(probes) }
    if let refine = body["refine"]?.intValue { query.refine = Int(refine) }
    query.usesIndex = body["exact"]?.boolValue != true
    return query
  }
}
