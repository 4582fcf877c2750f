package import Columnar
package import Core
import LanceTable

/// A model as it is saved and loaded: one row of a table, whose versions are the model's versions.
///
/// | column | type | content |
/// |---|---|---|
/// | name | utf8 | |
/// | graph | utf8 | JSON: `{"type":"sequential","layers":[...]}` |
/// | weights | binary | a whole safetensors file |
/// | metrics, hyperparameters, signature, labels, lineage, curves | utf8 | JSON |
/// | created_at | timestamp[us, UTC] | |
package struct ModelRecord: Sendable {
  package var name: String
  package var graph: JSONValue
  package var weights: Buffer
  package var metrics: JSONValue
  package var hyperparameters: JSONValue
  package var signature: JSONValue
  package var labels: JSONValue
  package var lineage: JSONValue
  package var curves: JSONValue
  package var createdAt: Instant

  package init(
    name: String, graph: JSONValue, weights: Buffer, metrics: JSONValue = .object([:]),
    hyperparameters: JSONValue = .object([:]), signature: JSONValue = .null, labels: JSONValue = .null,
    lineage: JSONValue = .object([:]), curves: JSONValue = .array([]), createdAt: Instant = .now
  ) {
    self.name = name
    self.graph = graph
    self.weights = weights
    self.metrics = metrics
    self.hyperparameters = hyperparameters
    self.signature = signature
    self.labels = labels
    self.lineage = lineage
    self.curves = curves
    self.createdAt = createdAt
  }

  package static let schema = Schema(
    [
      Field("name", .utf8, isNullable: false), Field("graph", .utf8, isNullable: false),
      Field("weights", .binary, isNullable: false), Field("metrics", .utf8), Field("hyperparameters", .utf8),
      Field("signature", .utf8), Field("labels", .utf8), Field("lineage", .utf8), Field("curves", .utf8),
      Field("created_at", .timestamp(.microsecond, timeZone: "UTC")),
    ])

  /// The row.
  /// - Throws: `CORRUPT_DATA` when the weights are not a safetensors file, `UNSUPPORTED` above 2 GiB of them.
  package func batch() throws(Failure) -> RecordBatch {
    _ = try weights.withBytes { bytes throws(Failure) in try Safetensors.entries(bytes, what: "the weights of model '\(name)'")
    }
    guard let size = Int32(exactly: weights.byteCount) else {
      throw Failure(.unsupported, "model '\(name)': weights of \(weights.byteCount) bytes; at most 2 GiB can be saved")
    }
    func text(_ value: JSONValue) throws(Failure) -> Column { try Column.utf8([value.text()]) }
    let micros = createdAt.seconds.multipliedReportingOverflow(by: 1_000_000)
    let time = micros.overflow ? 0 : micros.partialValue &+ Int64(createdAt.nanoseconds / 1000)
    return try RecordBatch(
      schema: ModelRecord.schema,
      columns: [
        try Column.utf8([name]), try text(graph),
        Column(type: .binary, count: 1, buffers: [try Buffer([Int32(0), size]), weights]), try text(metrics),
        try text(hyperparameters), try text(signature), try text(labels), try text(lineage), try text(curves),
        try Column.make(.timestamp(.microsecond, timeZone: "UTC"), [time]),
      ])
  }

  /// The first row of `batch`, which may lack any column but `graph` and `weights` (a model of somebody else).
  init(_ batch: RecordBatch, id: String) throws(Failure) {
    guard batch.count > 0 else { throw Failure(.corruptData, "Model '\(id)' has no row") }
    func column(_ name: String, _ fits: (DataType) -> Bool) throws(Failure) -> Column? {
      guard let at = batch.schema.fields.firstIndex(where: { $0.name == name }) else { return nil }
      let column = batch.columns[at]
      guard fits(column.type) else { throw Failure(.corruptData, "Model '\(id)': column '\(name)' is \(column.type)") }
      return column.isValid(0) ? column : nil
    }
    func text(_ name: String) throws(Failure) -> JSONValue? {
      guard let column = try column(name, \.isString) else { return nil }
      do throws(Failure) { return try JSONValue(parsing: column.string(0)) } catch {
        throw Failure(.corruptData, "Model '\(id)': column '\(name)' is no JSON: \(error.message)")
      }
    }
    guard let graph = try text("graph") else { throw Failure(.corruptData, "Model '\(id)' has no graph") }
    name = try column("name", \.isString)?.string(0) ?? id
    self.graph = graph
    if let bytes = try column("weights", \.isBinary) {
      let range = bytes.range(0)
      weights = try bytes.buffers[1].slice(offset: range.lowerBound, byteCount: range.count)
    } else {
      weights = try Buffer(byteCount: 0)
    }
    metrics = try text("metrics") ?? .object([:])
    hyperparameters = try text("hyperparameters") ?? .object([:])
    signature = try text("signature") ?? .null
    labels = try text("labels") ?? .null
    lineage = try text("lineage") ?? .object([:])
    curves = try text("curves") ?? .array([])
    let times = try column("created_at", { $0 == .timestamp(.microsecond, timeZone: "UTC") })
    let micros = times?.values(of: Int64.self)[0] ?? 0
    let seconds = micros >= 0 ? micros / 1_000_000 : (micros - 999_999) / 1_000_000
    createdAt = Instant(seconds: seconds, nanoseconds: Int32(micros - seconds * 1_000_000) * 1000)
  }
}
