import Columnar
import Core
import HTTPTypes
import Hummingbird
import Lake
import LanceTable
import NIOCore

/// `/api/v1/datasets` and `/api/v1/models`: list, describe, delete; rows of a data set.
struct LakeRoutes: Sendable {
  let lake: DataLake

  static let maximumRows = 1000
  /// Values that one page of rows may hold: a page of wide rows is cut short rather than to fill the memory.
  static let maximumValues = 2_000_000

  var routes: [Route] {
    [
      Route(
        method: .get, path: "/api/v1/datasets", tag: "lake", summary: "List the lake's data sets",
        about: "One that cannot be opened is listed with its `error`.",
        answers: [Answer(status: 200, about: "The data sets, by name.", schema: "[Dataset]")], handler: listDatasets),
      Route(
        method: .get, path: "/api/v1/datasets/{id}", tag: "lake", summary: "Details and schema of a data set",
        query: [QueryParameter(name: "version", kind: .integer(1...Int.max), about: "This version instead of the newest.")],
        answers: [Answer(status: 200, about: "The data set.", schema: "Dataset")],
        errors: [.invalidRequest, .datasetNotFound, .versionNotFound, .corruptData], handler: readDataset),
      Route(
        method: .delete, path: "/api/v1/datasets/{id}", tag: "lake", summary: "Delete a data set with all its versions",
        answers: [Answer(status: 204, about: "It is gone.", schema: nil)], errors: [.originNotAllowed, .datasetNotFound],
        handler: deleteDataset),
      Route(
        method: .get, path: "/api/v1/datasets/{id}/rows", tag: "lake", summary: "Rows of a data set",
        about: "A list of objects, one per row, with a member per column.",
        query: [
          QueryParameter(
            name: "limit", kind: .integer(1...LakeRoutes.maximumRows), about: "Rows in the answer; 20 when left out."),
          QueryParameter(name: "offset", kind: .integer(0...Int.max), about: "Rows to leave out before them."),
          QueryParameter(name: "columns", kind: .text, about: "Only these columns, with commas between."),
          QueryParameter(name: "version", kind: .integer(1...Int.max), about: "This version instead of the newest."),
        ],
        answers: [Answer(status: 200, about: "The rows; `X-Total-Count` has the number of all.", schema: "[Row]")],
        errors: [.invalidRequest, .columnNotFound, .datasetNotFound, .versionNotFound, .corruptData], handler: rows),
      Route(
        method: .get, path: "/api/v1/models", tag: "lake", summary: "List the lake's models",
        about: "Without graphs, curves and the entries of the weights.",
        answers: [Answer(status: 200, about: "The models, by name.", schema: "[Model]")], handler: listModels),
      Route(
        method: .get, path: "/api/v1/models/{id}", tag: "lake",
        summary: "Details of a model: weights, metrics, hyperparameters",
        answers: [Answer(status: 200, about: "The model.", schema: "Model")], errors: [.modelNotFound, .corruptData],
        handler: readModel),
      Route(
        method: .delete, path: "/api/v1/models/{id}", tag: "lake", summary: "Delete a model with all its versions",
        answers: [Answer(status: 204, about: "It is gone.", schema: nil)], errors: [.originNotAllowed, .modelNotFound],
        handler: deleteModel),
    ]
  }

  /// A name that cannot be one is a name of nothing.
  private func found<T>(_ kind: LakeKind, _ id: String, _ body: () throws(Failure) -> T) throws(Failure) -> T {
    do throws(Failure) {
      try LakeReference.check(name: id, kind)
    } catch {
      throw kind.notFound(plainLine(String(id.prefix(200))))
    }
    return try body()
  }

  private static func bytes(_ list: [JSONValue]) -> ByteBuffer { ByteBuffer(bytes: JSONValue.array(list).utf8()) }

  private func version(_ call: Call) -> TableVersion { call.integer("version").map { .number(UInt64($0)) } ?? .latest }

  @Sendable private func listDatasets(_ call: Call) async throws(Failure) -> Response {
    json(
      bytes: try await offload { [self] () throws(Failure) in LakeRoutes.bytes(try lake.datasets().map { .object($0.json) }) })
  }

  @Sendable private func readDataset(_ call: Call) async throws(Failure) -> Response {
    let (id, version) = (call.parameter("id"), version(call))
    return json(
      .object(
        try await offload { [self] () throws(Failure) in
          try found(.dataset, id) { () throws(Failure) in try lake.dataset(id, version: version) }
        }.json))
  }

  @Sendable private func deleteDataset(_ call: Call) async throws(Failure) -> Response {
    let id = call.parameter("id")
    try await offload { [self] () throws(Failure) in
      try found(.dataset, id) { () throws(Failure) in try lake.deleteDataset(id) }
    }
    return Response(status: .noContent)
  }

  @Sendable private func rows(_ call: Call) async throws(Failure) -> Response {
    let (id, version) = (call.parameter("id"), version(call))
    let limit = call.integer("limit") ?? 20
    let offset = call.integer("offset") ?? 0
    let columns = call.text("columns").map { $0.split(separator: ",").map(String.init) }
    if columns?.isEmpty == true { throw Failure(.invalidRequest, "query parameter 'columns' names no column") }
    let (rows, total) = try await offload { [self] () throws(Failure) -> (ByteBuffer, Int) in
      let table = try found(.dataset, id) { () throws(Failure) in try lake.open(.dataset, id, version: version) }
      let start = min(offset, table.rowCount)
      let batch = try table.take(Array(start..<min(table.rowCount, start + limit)), columns: columns)
      var rows: [JSONValue] = []
      var values = 0
      for i in 0..<batch.count where values < LakeRoutes.maximumValues {
        var row = JSONObject()
        for (field, column) in zip(batch.schema.fields, batch.columns) {
          let value = column.json(i)
          values += value.arrayValue?.count ?? 1
          row[field.name] = value
        }
        rows.append(.object(row))
      }
      return (LakeRoutes.bytes(rows), table.rowCount)
    }
    return json(bytes: rows, headers: [.totalCount: "\(total)"])
  }

  @Sendable private func listModels(_ call: Call) async throws(Failure) -> Response {
    json(
      bytes: try await offload { [self] () throws(Failure) in
        LakeRoutes.bytes(try lake.models().map { .object($0.json(detailed: false)) })
      })
  }

  @Sendable private func readModel(_ call: Call) async throws(Failure) -> Response {
    let id = call.parameter("id")
    return json(
      .object(
        try await offload { [self] () throws(Failure) in
          try found(.model, id) { () throws(Failure) in try lake.model(id) }
        }.json()))
  }

  @Sendable private func deleteModel(_ call: Call) async throws(Failure) -> Response {
    let id = call.parameter("id")
    try await offload { [self] () throws(Failure) in
      try found(.model, id) { () throws(Failure) in try lake.deleteModel(id) }
    }
    return Response(status: .noContent)
  }
}
