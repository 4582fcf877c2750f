import Core
import HTTPTypes
import Hummingbird
import Lake
import LanceTable
import NIOCore

/// `/api/v1/datasets` and `/api/v1/models`: list, describe, delete. What is below a data set: `Datasets/`.
struct LakeRoutes: Sendable {
  let lake: DataLake

  var routes: [Route] {
    [
      Route(
        method: .get, path: "/api/v1/datasets", tag: "lake", summary: "List the lake's data sets",
        about: "One that cannot be opened is listed with its `error`.",
        answers: [Answer(status: 200, about: "The data sets, by name.", schema: "[Dataset]")], handler: listDatasets),
      Route(
        method: .get, path: "/api/v1/datasets/{id}", tag: "lake", summary: "Details and schema of a data set",
        query: Call.versionParameters,
        answers: [Answer(status: 200, about: "The data set; its version is the `ETag`.", schema: "Dataset")],
        errors: [.invalidRequest, .datasetNotFound, .versionNotFound, .corruptData], handler: readDataset),
      Route(
        method: .delete, path: "/api/v1/datasets/{id}", tag: "lake", summary: "Delete a data set with all its versions",
        answers: [Answer(status: 204, about: "It is gone.", schema: nil)], errors: [.originNotAllowed, .datasetNotFound],
        handler: deleteDataset),
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

  @Sendable private func listDatasets(_ call: Call) async throws(Failure) -> Response {
    json(
      bytes: try await offload { [self] () throws(Failure) in LakeRoutes.bytes(try lake.datasets().map { .object($0.json) }) })
  }

  @Sendable private func readDataset(_ call: Call) async throws(Failure) -> Response {
    let (id, version) = (call.parameter("id"), try call.tableVersion())
    let info = try await offload { [self] () throws(Failure) in
      try found(.dataset, id) { () throws(Failure) in try lake.dataset(id, version: version) }
    }
    return json(.object(info.json), headers: [.eTag: versionTag(info.version)])
  }

  @Sendable private func deleteDataset(_ call: Call) async throws(Failure) -> Response {
    let id = call.parameter("id")
    try await offload { [self] () throws(Failure) in
      try found(.dataset, id) { () throws(Failure) in try lake.deleteDataset(id) }
    }
    return Response(status: .noContent)
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
