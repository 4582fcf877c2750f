import Columnar
package import Core
package import LanceTable

/// A model as listed and described.
package struct ModelInfo: Sendable {
  package let id: String
  /// As configured: `lance_storage/models/mnist_cnn.lance`.
  package let path: String
  package let version: UInt64
  package let graph: JSONValue
  package let weights: [Safetensors.Entry]
  package let metrics: JSONValue
  package let hyperparameters: JSONValue
  package let signature: JSONValue
  package let labels: JSONValue
  package let lineage: JSONValue
  package let curves: JSONValue
  package let createdAt: Instant
  /// Why the model cannot be opened; the values above (but id and path) then say nothing.
  package let error: Failure?

  /// All of it, as `GET /models/{id}` shows it. A list leaves out the long members (`detailed: false`): graph, weights'
  /// entries and curves.
  package func json(detailed: Bool = true) -> JSONObject {
    var object: JSONObject = [
      "id": .string(id), "path": .string(path), "metrics": metrics, "hyperparameters": hyperparameters,
      "parameters": .int(Int64(weights.reduce(0) { $0 + $1.shape.reduce(1, &*) })),
      "weight_bytes": .int(Int64(weights.reduce(0) { $0 + $1.bytes })), "version": .int(Int64(clamping: version)),
      "created_at": .string(createdAt.description),
    ]
    if detailed {
      object["weights"] = .array(weights.map { .object($0.json) })
      object["graph"] = graph
      object["signature"] = signature
      object["labels"] = labels
      object["lineage"] = lineage
      object["curves"] = curves
    }
    if let error { object["error"] = ["code": .string(error.code.rawValue), "message": .string(error.message)] }
    return object
  }

  init(id: String, path: String, version: UInt64, record: ModelRecord, weights: [Safetensors.Entry]) {
    self.id = id
    self.path = path
    self.version = version
    self.weights = weights
    graph = record.graph
    metrics = record.metrics
    hyperparameters = record.hyperparameters
    signature = record.signature
    labels = record.labels
    lineage = record.lineage
    curves = record.curves
    createdAt = record.createdAt
    error = nil
  }

  init(id: String, path: String, error: Failure) {
    self.id = id
    self.path = path
    self.error = error
    version = 0
    weights = []
    (graph, signature, labels) = (.null, .null, .null)
    (metrics, hyperparameters, lineage, curves) = (.object([:]), .object([:]), .object([:]), .array([]))
    createdAt = Instant(seconds: 0)
  }
}

extension DataLake {
  /// All models, by name. One that cannot be opened is listed with its `error`.
  package func models() throws(Failure) -> [ModelInfo] {
    var list: [ModelInfo] = []
    for id in try names(.model) {
      do throws(Failure) { list.append(try model(id)) } catch {
        if error.code == .modelNotFound { continue }
        list.append(ModelInfo(id: id, path: shownPath(.model, id), error: error))
      }
    }
    return list
  }

  /// One model.
  /// - Throws: `MODEL_NOT_FOUND`: `Model 'x' does not exist`; `CORRUPT_DATA`.
  package func model(_ id: String, version: TableVersion = .latest) throws(Failure) -> ModelInfo {
    let table = try open(.model, id, version: version)
    let key = "\(id) \(table.version) \(table.commitName)"
    if let known = modelCache.value(key) { return known }
    let record = try ModelRecord(try DataLake.newestRow(table), id: id)
    let entries = try record.weights.withBytes { bytes throws(Failure) in
      try Safetensors.entries(bytes, what: "the weights of model '\(id)'")
    }
    let info = ModelInfo(id: id, path: shownPath(.model, id), version: table.version, record: record, weights: entries)
    if !table.commitName.isEmpty { modelCache.keep(info, for: key) }
    return info
  }

  /// A model with its weights, and the version it is.
  /// - Throws: `MODEL_NOT_FOUND`, `VERSION_NOT_FOUND`, `CORRUPT_DATA`.
  package func loadModel(_ id: String, version: TableVersion = .latest) throws(Failure) -> (
    record: ModelRecord, version: UInt64
  ) {
    let table = try open(.model, id, version: version)
    let record = try ModelRecord(try DataLake.newestRow(table), id: id)
    _ = try record.weights.withBytes { bytes throws(Failure) in
      try Safetensors.entries(bytes, what: "the weights of model '\(id)'")
    }
    return (record, table.version)
  }

  /// Saves a model: a new version of model `id`, or version 1.
  /// - Returns: the version.
  /// - Throws: `INVALID_REQUEST` for the name, `CORRUPT_DATA` for weights that are none, `IO_ERROR`.
  @discardableResult
  package func saveModel(_ id: String, _ record: ModelRecord) throws(Failure) -> UInt64 {
    try LakeReference.check(name: id, .model)
    let reader = InMemoryReader(schema: ModelRecord.schema, [try record.batch()])
    return try LanceTable.write(reader, to: location(.model, id), mode: .overwrite).version
  }

  private static func newestRow(_ table: LanceTable) throws(Failure) -> RecordBatch {
    guard table.rowCount > 0 else { throw Failure(.corruptData, "Model '\(table.name)' has no row") }
    return try table.take([table.rowCount - 1])
  }
}
