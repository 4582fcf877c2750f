import Columnar
import Compute
import Core
import DataFrames
import HTTPTypes
import Hummingbird
import Lake
import LanceTable
import Plan
import Tasks

/// `PUT /datasets/{id}`: rows as CSV or JSON lines, or an empty data set of a schema.
struct DatasetImportRoutes: Sendable {
  let lake: DataLake
  /// Where bodies wait while they come.
  let uploadFolder: String
  let limitBytes: Int

  private static let csv = ["text/csv"]
  private static let lines = ["application/x-ndjson", "application/jsonl", "application/ndjson"]

  var routes: [Route] {
    [
      Route(
        method: .put, path: "/api/v1/datasets/{id}", tag: "datasets", summary: "Import rows, or create an empty data set",
        about:
          "The body is CSV with a line of names, or one JSON object per line; types are inferred from the first thousand rows, or taken from the data set that is there. Or it is JSON such as `{\"schema\": {\"id\": \"Int64\", \"name\": \"String\"}}`, which makes an empty data set.",
        query: [
          QueryParameter(
            name: "mode", kind: .choices(WriteMode.allCases.map(\.rawValue)),
            about: "What to do with rows that are there; create when left out: the data set must be new."),
          QueryParameter(
            name: "compression", kind: .text,
            about:
              "For a new data set or mode=overwrite: none, lz4, zstd or zstd:LEVEL, for its values and what is appended later."),
          QueryParameter(name: "key", kind: .text, about: "For merge: the columns that tell rows apart, with commas between."),
        ],
        rowsBody: [DatasetImportRoutes.csv[0], DatasetImportRoutes.lines[0], "application/json"],
        answers: [
          Answer(status: 201, about: "The data set is new; its version is the `ETag`.", schema: "Import"),
          Answer(status: 200, about: "It has a new version.", schema: "Import"),
        ],
        errors: [
          .invalidRequest, .originNotAllowed, .datasetNotFound, .alreadyExists, .versionConflict, .columnNotFound,
          .typeMismatch,
          .invalidSchema, .payloadTooLarge, .unsupportedMediaType, .insufficientStorage,
        ], handler: put)
    ]
  }

  @Sendable private func put(_ call: Call) async throws(Failure) -> Response {
    let mode = call.text("mode").flatMap { WriteMode(rawValue: $0) } ?? .create
    let key = try RowQuery.names(call, "key")
    if call.request.headers[.ifMatch] != nil {
      throw Failure(.invalidRequest, "the field If-Match is not taken here: an import does not look at what is there")
    }
    let type = (call.request.headers[.contentType] ?? "").lowercased().split(separator: ";").first?.trimmingSpaces() ?? ""
    let rows: @Sendable (Schema?) throws(Failure) -> Frame
    if type == "application/json" {
      let frame = try DatasetImportRoutes.empty(try await call.body("NewDataset"))
      rows = { _ throws(Failure) in frame }
    } else if DatasetImportRoutes.csv.contains(type) || DatasetImportRoutes.lines.contains(type) {
      let file = try await UploadedFile.receive(call, folder: uploadFolder, limitBytes: limitBytes)
      let isCSV = DatasetImportRoutes.csv.contains(type)
      rows = { schema throws(Failure) in try DatasetImportRoutes.frame(file, isCSV: isCSV, schema) }
    } else {
      throw Failure(
        .unsupportedMediaType,
        "the body must be text/csv, application/x-ndjson or application/json"
          + (type.isEmpty ? "; the field Content-Type says which" : ", not '\(plainLine(String(type.prefix(80))))'"))
    }
    var options = WriteOptions()
    options.compression = call.text("compression")
    let (id, given) = (call.parameter("id"), options)
    let (report, isNew) = try await lake.withImport(id) { place throws(Failure) in
      let there = try LanceTable.exists(place) ? try LanceTable(place) : nil
      return (
        try DatasetImportRoutes.write(try rows(mode == .overwrite ? nil : there?.schema), place, mode, key, given), there == nil
      )
    }
    return json(
      report.json, status: isNew ? .created : .ok,
      headers: isNew
        ? [.eTag: versionTag(report.version), .location: "/api/v1/datasets/\(QueryText.encoded(id))"]
        : [.eTag: versionTag(report.version)])
  }

  private static func write(_ rows: Frame, _ place: TableLocation, _ mode: WriteMode, _ key: [String]?, _ options: WriteOptions)
    throws(Failure) -> WriteReport
  {
    if mode == .merge, key == nil {
      throw Failure(.invalidRequest, "mode=merge needs the query parameter 'key': the columns that tell rows apart")
    }
    return try rows.write(to: place, mode: mode, key: key ?? [], options: options)
  }

  /// A frame over the file. A CSV column, or a member of a line, that the data set has takes the data set's type.
  private static func frame(_ file: UploadedFile, isCSV: Bool, _ schema: Schema?) throws(Failure) -> Frame {
    let name = "of the request"
    do throws(Failure) {
      // Types may be given only for columns that the body has.
      func known(_ columns: [String]) -> [(name: String, type: DataType)] {
        (schema?.fields ?? []).filter { columns.contains($0.name) }.map { ($0.name, $0.type) }
      }
      if isCSV {
        let inferred = try CSVSource(opener: file.reopened, name: name)
        guard schema != nil else { return Frame(inferred) }
        var options = CSVOptions()
        options.schema = known(inferred.schema.names)
        return Frame(try CSVSource(opener: file.reopened, name: name, options: options))
      }
      let inferred = try JSONLinesSource(opener: file.reopened, name: name)
      guard schema != nil else { return Frame(inferred) }
      var options = JSONLinesOptions()
      options.schema = known(inferred.schema.names)
      return Frame(try JSONLinesSource(opener: file.reopened, name: name, options: options))
    } catch {
      throw error.ofBody
    }
  }

  /// No rows, of the columns that the body names.
  private static func empty(_ body: JSONObject) throws(Failure) -> Frame {
    var columns: [(name: String, column: Column)] = []
    for (name, type) in body["schema"]?.objectValue ?? JSONObject() {
      do throws(Failure) {
        columns.append((name, try Column.nulls(try DataType(parsing: type.stringValue ?? ""), count: 0)))
      } catch { throw Failure(.invalidSchema, "schema.\(name): \(error.message)") }
    }
    return try Frame(columns: columns)
  }
}

extension DataLake {
  /// Runs `body` on the place of data set `id`, which need not exist, on a thread that may wait.
  fileprivate func withImport<T: Sendable>(
    _ id: String, _ body: @escaping @Sendable (TableLocation) throws(Failure) -> T
  ) async throws(Failure) -> T {
    try await offload { [self] () throws(Failure) in
      try LakeReference.check(name: id, .dataset)
      do throws(Failure) { return try body(location(.dataset, id)) } catch {
        throw error.code == .datasetNotFound ? LakeKind.dataset.notFound(id) : error.ofBody
      }
    }
  }
}

extension Failure {
  /// What cannot be read in an uploaded body is the client's affair.
  fileprivate var ofBody: Failure {
    guard code == .corruptData || code == .typeMismatch, message.contains("of the request") else { return self }
    var copy = self
    copy.code = .invalidRequest
    return copy
  }
}

extension WriteReport {
  /// `{version, rows, inserted, updated, deleted, fragments}`.
  var json: JSONValue {
    [
      "version": .int(Int64(clamping: version)), "rows": .int(Int64(rows)), "inserted": .int(Int64(inserted)),
      "updated": .int(Int64(updated)), "deleted": .int(Int64(deleted)), "fragments": .int(Int64(fragments)),
    ]
  }
}
