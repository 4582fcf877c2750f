package import Columnar
package import Core
package import LanceTable

/// A data set as listed and described.
package struct DatasetInfo: Sendable {
  package let id: String
  /// As configured: `lance_storage/datasets/mnist_clean.lance`.
  package let path: String
  package let schema: Schema
  package let rowCount: Int
  package let version: UInt64
  /// Bytes of the data files of this version.
  package let bytes: Int
  package let fragments: Int
  /// When this version was committed.
  package let updatedAt: Instant?
  /// Why the data set cannot be opened; the values above (but id and path) then say nothing.
  package let error: Failure?

  /// The contract's members (`id`, `path`, `schema`, `num_rows`) and more beside them.
  package var json: JSONObject {
    var columns = JSONObject()
    for field in schema.fields { columns[field.name] = .string(field.type.description) }
    var object: JSONObject = [
      "id": .string(id), "path": .string(path), "schema": .object(columns), "num_rows": .int(Int64(rowCount)),
      "version": .int(Int64(clamping: version)), "bytes": .int(Int64(bytes)), "fragments": .int(Int64(fragments)),
      "updated_at": updatedAt.map { .string($0.description) } ?? .null,
    ]
    if let error { object["error"] = ["code": .string(error.code.rawValue), "message": .string(error.message)] }
    return object
  }
}

extension DataLake {
  /// All data sets, by name. One that cannot be opened is listed with its `error`.
  package func datasets() throws(Failure) -> [DatasetInfo] {
    var list: [DatasetInfo] = []
    for id in try names(.dataset) {
      do throws(Failure) { list.append(try dataset(id)) } catch {
        // It may have been deleted since its name was read.
        if error.code == .datasetNotFound { continue }
        list.append(
          DatasetInfo(
            id: id, path: shownPath(.dataset, id), schema: Schema([]), rowCount: 0, version: 0, bytes: 0, fragments: 0,
            updatedAt: nil, error: error))
      }
    }
    return list
  }

  /// One data set.
  /// - Throws: `DATASET_NOT_FOUND`: `Dataset 'x' does not exist`; `CORRUPT_DATA`, `UNSUPPORTED`.
  package func dataset(_ id: String, version: TableVersion = .latest) throws(Failure) -> DatasetInfo {
    let table = try open(.dataset, id, version: version)
    return DatasetInfo(
      id: id, path: shownPath(.dataset, id), schema: table.schema, rowCount: table.rowCount, version: table.version,
      bytes: try table.byteCount(), fragments: table.fragments.count, updatedAt: table.time, error: nil)
  }

  /// Deletes a data set.
  /// - Throws: `DATASET_NOT_FOUND`: `Dataset 'x' does not exist`.
  package func deleteDataset(_ id: String) throws(Failure) { try delete(.dataset, id) }

  /// Deletes a model.
  /// - Throws: `MODEL_NOT_FOUND`: `Model 'x' does not exist`.
  package func deleteModel(_ id: String) throws(Failure) { try delete(.model, id) }
}
