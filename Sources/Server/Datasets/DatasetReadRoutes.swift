import Columnar
import Core
import DataFrames
import HTTPTypes
import Hummingbird
import Lake
import LanceTable
import NIOCore
import Plan

/// What a data set holds: rows, statistics, versions, tags, and all rows as a stream.
struct DatasetReadRoutes: Sendable {
  let lake: DataLake

  static let maximumRows = 1000
  /// Values that one page of rows may hold: a page of wide rows is cut short rather than to fill the memory.
  static let maximumValues = 2_000_000

  private static let readErrors: [Failure.Code] = [
    .invalidRequest, .invalidFilter, .columnNotFound, .typeMismatch, .datasetNotFound, .versionNotFound, .corruptData,
  ]

  var routes: [Route] {
    [
      Route(
        method: .get, path: "/api/v1/datasets/{id}/rows", tag: "datasets", summary: "Rows of a data set",
        about:
          "A list of objects, one per row, with a member per column; with `Accept: text/csv` or `application/x-ndjson` in that form.",
        query: RowQuery.parameters + [
          QueryParameter(
            name: "limit", kind: .integer(1...DatasetReadRoutes.maximumRows), about: "Rows in the answer; 20 when left out."),
          QueryParameter(name: "offset", kind: .integer(0...Int.max), about: "Rows to leave out before them."),
          QueryParameter(name: "columns", kind: .text, about: "The same as select."),
        ] + Call.versionParameters,
        answers: [
          Answer(
            status: 200, about: "The rows; `X-Total-Count` has the number of all rows of the data set when there is no where.",
            schema: "[Row]")
        ], errors: DatasetReadRoutes.readErrors, handler: rows),
      Route(
        method: .get, path: "/api/v1/datasets/{id}/export", tag: "datasets", summary: "All rows as a stream",
        about: "Rows as CSV (RFC 4180) or as one JSON object per line. An error in the middle ends the connection early.",
        query: [
          QueryParameter(
            name: "format", kind: .choices(RowText.allCases.map(\.rawValue)), about: "csv, or ndjson when left out.")
        ] + RowQuery.parameters + Call.versionParameters,
        answers: [Answer(status: 200, about: "The rows.", schema: nil, type: "application/x-ndjson")],
        errors: DatasetReadRoutes.readErrors, handler: export),
      Route(
        method: .get, path: "/api/v1/datasets/{id}/stats", tag: "datasets", summary: "Statistics of the columns",
        about: "Reads all rows of the columns.",
        query: [QueryParameter(name: "columns", kind: .text, about: "Only these columns, with commas between.")]
          + Call.versionParameters,
        answers: [Answer(status: 200, about: "One entry per column.", schema: "[ColumnStatistics]")],
        errors: [.invalidRequest, .columnNotFound, .datasetNotFound, .versionNotFound, .corruptData], handler: statistics),
      Route(
        method: .get, path: "/api/v1/datasets/{id}/versions", tag: "datasets", summary: "Versions, newest first",
        query: [
          QueryParameter(name: "limit", kind: .integer(1...1000), about: "Versions in the answer; 100 when left out."),
          QueryParameter(name: "before", kind: .integer(1...Int.max), about: "Only versions older than this one."),
        ],
        answers: [Answer(status: 200, about: "The versions; `X-Total-Count` has the number of all.", schema: "[TableVersion]")],
        errors: [.invalidRequest, .datasetNotFound, .corruptData], handler: versions),
      Route(
        method: .get, path: "/api/v1/datasets/{id}/tags", tag: "datasets", summary: "Versions that have a name",
        answers: [Answer(status: 200, about: "The tags, by name.", schema: "[Tag]")], errors: [.datasetNotFound],
        handler: tags),
    ]
  }

  @Sendable private func rows(_ call: Call) async throws(Failure) -> Response {
    var query = try RowQuery(call)
    if let columns = try RowQuery.names(call, "columns") {
      if query.columns != nil {
        throw Failure(.invalidRequest, "the query parameters select and columns mean the same; give one")
      }
      query.columns = columns
    }
    let wanted = query
    let (limit, offset) = (call.integer("limit") ?? 20, call.integer("offset") ?? 0)
    let text: RowText? = call.accepts("text/csv") ? .csv : call.accepts("application/x-ndjson") ? .ndjson : nil
    let (body, version, total) = try await lake.withTable(call.parameter("id"), try call.tableVersion()) {
      table throws(Failure) -> (ByteBuffer, UInt64, Int?) in
      let batch: RecordBatch
      if wanted.isPlain {
        let start = min(offset, table.rowCount)
        let end = min(table.rowCount, start + limit)
        batch = try table.take(Array(start..<end), columns: wanted.columns)
      } else {
        batch = try wanted.frame(table).limit(limit, offset: offset).collect()
      }
      return (DatasetReadRoutes.page(batch, text), table.version, wanted.filter == nil ? table.rowCount : nil)
    }
    var headers: HTTPFields = [.eTag: versionTag(version)]
    if let total { headers[.totalCount] = "\(total)" }
    guard let text else { return json(bytes: body, headers: headers) }
    headers[.contentType] = text.mediaType
    headers[.cacheControl] = "no-store"
    return Response(status: .ok, headers: headers, body: ResponseBody(byteBuffer: body))
  }

  /// The rows as text, as many as `maximumValues` allows.
  private static func page(_ batch: RecordBatch, _ text: RowText?) -> ByteBuffer {
    var rows = 0
    var values = 0
    while rows < batch.count, values < maximumValues {
      for column in batch.columns { values += column.valueCount(rows) }
      rows += 1
    }
    guard let text else { return ByteBuffer(bytes: JSONValue.array((0..<rows).map { .object(batch.json(row: $0)) }).utf8()) }
    var bytes = text.head(batch.schema)
    text.append(batch.slice(0, rows), to: &bytes)
    return ByteBuffer(bytes: bytes)
  }

  @Sendable private func export(_ call: Call) async throws(Failure) -> Response {
    let query = try RowQuery(call)
    let format = call.text("format").flatMap { RowText(rawValue: $0) } ?? (call.accepts("text/csv") ? .csv : .ndjson)
    let (frame, name, version) = try await lake.withTable(call.parameter("id"), try call.tableVersion()) {
      table throws(Failure) in
      (try query.frame(table), table.name, table.version)
    }
    return Response(
      status: .ok,
      headers: [
        .contentType: format.mediaType, .cacheControl: "no-store", .eTag: versionTag(version),
        .contentDisposition: "attachment; filename=\"\(name)-v\(version).\(format.rawValue)\"",
      ],
      body: ResponseBody { writer in
        let stream = try await offload { () throws(Failure) in try RowStream(frame, format) }
        while let part = try await offload({ () throws(Failure) in try stream.next() }) { try await writer.write(part) }
        try await writer.finish(nil)
      })
  }

  @Sendable private func statistics(_ call: Call) async throws(Failure) -> Response {
    let columns = try RowQuery.names(call, "columns")
    let (body, version) = try await lake.withTable(call.parameter("id"), try call.tableVersion()) { table throws(Failure) in
      let found = try Frame(LanceSource(table)).statistics(of: columns)
      return (JSONValue.array(found.map { .object($0.json) }), table.version)
    }
    return json(body, headers: [.eTag: versionTag(version)])
  }

  @Sendable private func versions(_ call: Call) async throws(Failure) -> Response {
    let (limit, before) = (call.integer("limit") ?? 100, call.integer("before").map { UInt64($0) } ?? .max)
    let all = try await lake.withDataset(call.parameter("id")) { place throws(Failure) in try place.versionList() }
    let wanted = all.reversed().filter { $0.version < before }
    var headers: HTTPFields = [.totalCount: "\(all.count)"]
    if wanted.count > limit {
      let id = QueryText.encoded(call.parameter("id"))
      headers[.linkField] = "</api/v1/datasets/\(id)/versions?limit=\(limit)&before=\(wanted[limit - 1].version)>; rel=\"next\""
    }
    return json(.array(wanted.prefix(limit).map { .object($0.json) }), headers: headers)
  }

  @Sendable private func tags(_ call: Call) async throws(Failure) -> Response {
    let tags = try await lake.withDataset(call.parameter("id")) { place throws(Failure) in
      // A data set that is not there has no tags either.
      _ = try LanceTable(place)
      return try place.tagList()
    }
    return json(.array(tags.map { .object($0.json) }))
  }
}

/// The rows of a frame as pieces of text, about a megabyte each.
///
/// `@unchecked Sendable`: one request asks for one piece after the other, never two at once.
private final class RowStream: @unchecked Sendable {
  private let execution: any RecordBatchReader
  private let format: RowText
  private var batch: RecordBatch?
  private var row = 0
  private var isFirst = true

  init(_ frame: Frame, _ format: RowText) throws(Failure) {
    execution = try frame.batches()
    self.format = format
  }

  /// The next piece; nil at the end.
  func next() throws(Failure) -> ByteBuffer? {
    var bytes: [UInt8] = isFirst ? format.head(execution.schema) : []
    isFirst = false
    while bytes.count < 1 << 20 {
      if let open = batch, row < open.count {
        let rows = min(256, open.count - row)
        format.append(open.slice(row, rows), to: &bytes)
        row += rows
      } else {
        batch = try execution.next()
        row = 0
        if batch == nil { break }
      }
    }
    return bytes.isEmpty ? nil : ByteBuffer(bytes: bytes)
  }
}

extension Column {
  /// Values in row `i`: the items of a list, else one.
  fileprivate func valueCount(_ i: Int) -> Int {
    switch type {
    case .fixedSizeList(_, let size): size
    case .list, .largeList, .map: isValid(i) ? range(i).count : 1
    default: 1
    }
  }
}
