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

/// What changes a data set: rows, columns, tags, restore. Each is one commit, and answers with the version it made.
struct DatasetChangeRoutes: Sendable {
  let lake: DataLake

  private static let changeErrors: [Failure.Code] = [
    .invalidRequest, .originNotAllowed, .datasetNotFound, .payloadTooLarge, .unsupportedMediaType, .versionConflict,
    .corruptData,
    .insufficientStorage,
  ]
  private static let changed = [Answer(status: 200, about: "What changed; the new version is the `ETag`.", schema: "Change")]

  var routes: [Route] { rowRoutes + columnRoutes + versionRoutes }

  private var rowRoutes: [Route] {
    [
      Route(
        method: .post, path: "/api/v1/datasets/{id}/delete-rows", tag: "datasets", summary: "Delete rows",
        about: "Those for which `where` is true. Nothing found: no new version.", body: "DeleteRows", takesIfMatch: true,
        answers: DatasetChangeRoutes.changed,
        errors: DatasetChangeRoutes.changeErrors + [.invalidFilter, .columnNotFound, .typeMismatch], handler: deleteRows),
      Route(
        method: .post, path: "/api/v1/datasets/{id}/update", tag: "datasets", summary: "Set columns in rows",
        about: "`set` holds values, `expressions` computed values such as `price * 2`; in the rows for which `where` is true.",
        body: "UpdateRows", takesIfMatch: true, answers: DatasetChangeRoutes.changed,
        errors: DatasetChangeRoutes.changeErrors + [.invalidFilter, .columnNotFound, .typeMismatch], handler: update),
    ]
  }

  private var columnRoutes: [Route] {
    [
      Route(
        method: .post, path: "/api/v1/datasets/{id}/columns", tag: "datasets", summary: "Add columns",
        about:
          "Each with an `expression` over the others, or with a `type`: then it is null everywhere, and no data is written.",
        body: "NewColumns", takesIfMatch: true, answers: DatasetChangeRoutes.changed,
        errors: DatasetChangeRoutes.changeErrors + [.invalidFilter, .columnNotFound, .typeMismatch, .alreadyExists],
        handler: addColumns),
      Route(
        method: .patch, path: "/api/v1/datasets/{id}/columns/{column}", tag: "datasets",
        summary: "Rename a column or change its type", body: "ColumnChange", takesIfMatch: true,
        answers: DatasetChangeRoutes.changed,
        errors: DatasetChangeRoutes.changeErrors + [.columnNotFound, .typeMismatch, .alreadyExists], handler: changeColumn),
      Route(
        method: .delete, path: "/api/v1/datasets/{id}/columns/{column}", tag: "datasets", summary: "Drop a column",
        about: "No data is written; older versions have it still.", takesIfMatch: true, answers: DatasetChangeRoutes.changed,
        errors: [.originNotAllowed, .datasetNotFound, .columnNotFound, .versionConflict, .corruptData], handler: dropColumn),
    ]
  }

  private var versionRoutes: [Route] {
    [
      Route(
        method: .post, path: "/api/v1/datasets/{id}/restore", tag: "datasets",
        summary: "Make an older version the newest again",
        about: "As a new version; those in between stay.", body: "VersionChoice", takesIfMatch: true,
        answers: DatasetChangeRoutes.changed, errors: DatasetChangeRoutes.changeErrors + [.versionNotFound], handler: restore),
      Route(
        method: .post, path: "/api/v1/datasets/{id}/tags", tag: "datasets", summary: "Give a version a name",
        about: "A tag that is there already moves. Without a version: the newest.", body: "NewTag",
        answers: [Answer(status: 200, about: "The tag.", schema: "Tag")],
        errors: [
          .invalidRequest, .originNotAllowed, .datasetNotFound, .versionNotFound, .payloadTooLarge, .unsupportedMediaType,
        ],
        handler: setTag),
      Route(
        method: .delete, path: "/api/v1/datasets/{id}/tags/{tag}", tag: "datasets", summary: "Take a tag away",
        about: "The version stays.", answers: [Answer(status: 204, about: "It is gone.", schema: nil)],
        errors: [.originNotAllowed, .datasetNotFound, .versionNotFound], handler: deleteTag),
      Route(
        method: .get, path: "/api/v1/datasets/{id}/diff", tag: "datasets", summary: "What differs between two versions",
        about: "A row that was updated counts as removed and added.",
        query: [
          QueryParameter(
            name: "from", kind: .integer(1...Int.max), about: "The older version; the one before `to` when left out."),
          QueryParameter(name: "to", kind: .integer(1...Int.max), about: "The newer version; the newest when left out."),
        ], answers: [Answer(status: 200, about: "The difference.", schema: "Difference")],
        errors: [.invalidRequest, .datasetNotFound, .versionNotFound, .corruptData, .unsupported], handler: diff),
    ]
  }

  // MARK: handlers

  /// Runs a change under the request's `If-Match`.
  private func change(
    _ call: Call, _ body: @escaping @Sendable (TableLocation, ChangeOptions) throws(Failure) -> ChangeReport
  ) async throws(Failure) -> Response {
    var options = ChangeOptions()
    options.ifVersion = try call.ifMatch()
    let given = options
    let report = try await lake.withDataset(call.parameter("id")) { place throws(Failure) in
      do throws(Failure) { return try body(place, given) } catch {
        throw given.ifVersion == nil ? error : error.underIfMatch
      }
    }
    return json(report.json, headers: [.eTag: versionTag(report.version)])
  }

  @Sendable private func deleteRows(_ call: Call) async throws(Failure) -> Response {
    let condition = try Expr(parsing: try await call.body("DeleteRows")["where"]?.stringValue ?? "")
    return try await change(call) { place, options throws(Failure) in try place.delete(where: condition, options: options) }
  }

  @Sendable private func update(_ call: Call) async throws(Failure) -> Response {
    let body = try await call.body("UpdateRows")
    let condition = try body["where"]?.stringValue.map { text throws(Failure) in try Expr(parsing: text) }
    var values: [(column: String, value: Expr)] = []
    for (name, value) in body["set"]?.objectValue ?? JSONObject() { values.append((name, .literal(try Literal(value, name)))) }
    for (name, text) in body["expressions"]?.objectValue ?? JSONObject() {
      guard !values.contains(where: { $0.column == name }) else {
        throw Failure(.invalidRequest, "column '\(name)' stands in set and in expressions")
      }
      do throws(Failure) { values.append((name, try Expr(parsing: text.stringValue ?? ""))) } catch {
        throw error.context("expressions.\(name)")
      }
    }
    if values.isEmpty { throw Failure(.invalidRequest, "give set or expressions with at least one column") }
    let set = values
    return try await change(call) { place, options throws(Failure) in
      try place.update(set: set, where: condition, options: options)
    }
  }

  @Sendable private func addColumns(_ call: Call) async throws(Failure) -> Response {
    let body = try await call.body("NewColumns")
    var nulls: [Field] = []
    var computed: [NamedExpr] = []
    for (i, column) in (body["columns"]?.arrayValue ?? []).enumerated() {
      let name = column["name"]?.stringValue ?? ""
      switch (column["expression"]?.stringValue, column["type"]?.stringValue) {
      case (let text?, let type):
        var expr = try Expr(parsing: text)
        if let type { expr = .cast(expr, try DataType(parsing: type), lenient: false) }
        computed.append(NamedExpr(name, expr))
      case (nil, let type?): nulls.append(Field(name, try DataType(parsing: type)))
      case (nil, nil): throw Failure(.invalidRequest, "columns[\(i)] needs an expression or a type")
      }
    }
    if !nulls.isEmpty, !computed.isEmpty {
      // One commit: null is an expression like any other.
      computed += nulls.map { NamedExpr($0.name, .cast(.literal(.null), $0.type, lenient: false)) }
      nulls = []
    }
    let (fields, exprs) = (nulls, computed)
    return try await change(call) { place, options throws(Failure) in
      fields.isEmpty ? try place.addColumns(exprs, options: options) : try place.addColumns(nulls: fields, options: options)
    }
  }

  @Sendable private func changeColumn(_ call: Call) async throws(Failure) -> Response {
    let (body, column) = (try await call.body("ColumnChange"), call.parameter("column"))
    switch (body["name"]?.stringValue, body["type"]?.stringValue) {
    case (let name?, nil):
      return try await change(call) { place, options throws(Failure) in
        try place.renameColumn(column, to: name, options: options)
      }
    case (nil, let type?):
      let (type, lenient) = (try DataType(parsing: type), body["lenient"]?.boolValue ?? false)
      return try await change(call) { place, options throws(Failure) in
        try place.castColumn(column, to: type, lenient: lenient, options: options)
      }
    default: throw Failure(.invalidRequest, "give either name or type; each is a version of its own")
    }
  }

  @Sendable private func dropColumn(_ call: Call) async throws(Failure) -> Response {
    let column = call.parameter("column")
    return try await change(call) { place, options throws(Failure) in try place.dropColumns([column], options: options) }
  }

  /// The version in a body: `version` or `tag`.
  private func choice(_ body: JSONObject) throws(Failure) -> TableVersion? {
    switch (body["version"]?.intValue, body["tag"]?.stringValue) {
    case (let number?, nil): .number(UInt64(number))
    case (nil, let tag?): .tag(tag)
    case (nil, nil): nil
    default: throw Failure(.invalidRequest, "give either version or tag")
    }
  }

  @Sendable private func restore(_ call: Call) async throws(Failure) -> Response {
    guard let version = try choice(try await call.body("VersionChoice")) else {
      throw Failure(.invalidRequest, "give the version or the tag that is to be restored")
    }
    return try await change(call) { place, options throws(Failure) in try place.restore(version, options: options) }
  }

  @Sendable private func setTag(_ call: Call) async throws(Failure) -> Response {
    let body = try await call.body("NewTag")
    let name = body["name"]?.stringValue ?? ""
    let version = body["version"]?.intValue.map { TableVersion.number(UInt64($0)) } ?? .latest
    let tag = try await lake.withDataset(call.parameter("id")) { place throws(Failure) in try place.setTag(name, version) }
    return json(.object(tag.json))
  }

  @Sendable private func deleteTag(_ call: Call) async throws(Failure) -> Response {
    let tag = call.parameter("tag")
    try await lake.withTable(call.parameter("id")) { table throws(Failure) in try table.location.deleteTag(tag) }
    return Response(status: .noContent)
  }

  @Sendable private func diff(_ call: Call) async throws(Failure) -> Response {
    let (from, to) = (call.integer("from"), call.integer("to"))
    let found = try await lake.withTable(call.parameter("id"), to.map { .number(UInt64($0)) } ?? .latest) {
      table throws(Failure) in
      let older = from.map { UInt64($0) } ?? (table.version > 1 ? table.version - 1 : 1)
      return try table.location.diff(from: .number(older), to: .number(table.version)).json
    }
    return json(found)
  }
}

extension Failure {
  /// The same failure of a request that said which version it wants to change.
  var underIfMatch: Failure {
    var copy = self
    if code == .versionConflict { copy.details["if_match"] = true }
    return copy
  }
}

extension Literal {
  /// A value of `set`.
  init(_ value: JSONValue, _ column: String) throws(Failure) {
    switch value {
    case .null: self = .null
    case .bool(let value): self = .bool(value)
    case .int(let value): self = .int(value)
    case .double(let value): self = .double(value)
    case .string(let value): self = .string(value)
    case .array, .object:
      throw Failure(.invalidRequest, "set.\(column): a list or object cannot be set; give a number, text, true, false or null")
    }
  }
}
