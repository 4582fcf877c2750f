import Core
import HTTPTypes

/// The OpenAPI 3.1 document, made from the route table.
enum OpenAPIDocument {
  static func document(_ routes: [Route], version: String) -> JSONValue {
    var paths = JSONObject()
    for route in routes {
      var item = paths[route.path]?.objectValue ?? JSONObject()
      item[route.method.rawValue.lowercased()] = operation(route)
      paths[route.path] = .object(item)
    }
    return [
      "openapi": "3.1.0",
      "info": [
        "title": "Moonlake", "version": .string(version),
        "description": "A data lake, a Lua script runner and a model server. Errors always have the form of the schema Error.",
      ], "servers": [["url": "/"]],
      "tags": [
        ["name": "tasks", "description": "Scripts that run, have run or will run."],
        ["name": "lake", "description": "Data sets and models."],
        ["name": "datasets", "description": "Rows, versions, changes, upkeep and search of a data set."],
        ["name": "system", "description": "The server itself."],
        ["name": "page", "description": "The platform's page."],
      ], "paths": .object(paths), "components": ["schemas": OpenAPISchemas.all],
    ]
  }

  static func operationID(_ route: Route) -> String {
    let words = route.path.split { !$0.isLetter && !$0.isNumber }.filter { $0 != "api" && $0 != "v1" }
    return route.method.rawValue.lowercased() + words.map { $0.prefix(1).uppercased() + $0.dropFirst() }.joined()
  }

  private static func operation(_ route: Route) -> JSONValue {
    var operation: JSONObject = [
      "operationId": .string(operationID(route)), "tags": [.string(route.tag)], "summary": .string(route.summary),
    ]
    if !route.about.isEmpty { operation["description"] = .string(route.about) }
    var parameters: [JSONValue] = route.path.split(separator: "/").filter { $0.hasPrefix("{") }.map { part in
      [
        "name": .string(String(part.dropFirst().dropLast())), "in": "path", "required": true, "schema": ["type": "string"],
      ]
    }
    parameters += route.query.map { parameter in
      [
        "name": .string(parameter.name), "in": "query", "required": false, "description": .string(parameter.about),
        "schema": schema(parameter.kind),
      ]
    }
    if route.takesIfMatch {
      parameters.append([
        "name": "If-Match", "in": "header", "required": false, "schema": ["type": "string", "examples": ["\"v7\""]],
        "description": "Change this version only (the ETag of an answer); when another is the newest: 412.",
      ])
    }
    if !parameters.isEmpty { operation["parameters"] = .array(parameters) }
    if let body = route.body {
      operation["requestBody"] = [
        "required": .bool(!route.bodyIsOptional), "content": ["application/json": ["schema": reference(body)]],
      ]
    } else if !route.rowsBody.isEmpty {
      operation["requestBody"] = [
        "required": true, "content": .object(JSONObject(route.rowsBody.map { ($0, ["schema": ["type": "string"]]) })),
      ]
    }
    var responses = JSONObject()
    for answer in route.answers {
      var response: JSONObject = ["description": .string(answer.about)]
      if answer.status != 204 {
        response["content"] = .object([answer.type: .object(answer.schema.map { ["schema": reference($0)] } ?? [:])])
      }
      responses["\(answer.status)"] = .object(response)
    }
    if route.takesIfMatch {
      responses["412"] = [
        "description": "VERSION_CONFLICT: the newest version is not the one of If-Match",
        "content": ["application/json": ["schema": reference("Error")]],
      ]
    }
    for (status, codes) in byStatus(route.errors) {
      responses["\(status)"] = [
        "description": .string(codes.joined(separator: ", ")), "content": ["application/json": ["schema": reference("Error")]],
      ]
    }
    responses["default"] = [
      "description": "INTERNAL_ERROR, HOST_NOT_ALLOWED, METHOD_NOT_ALLOWED, REQUEST_TIMEOUT, URI_TOO_LONG, HEADERS_TOO_LARGE",
      "content": ["application/json": ["schema": reference("Error")]],
    ]
    operation["responses"] = .object(responses)
    return .object(operation)
  }

  private static func byStatus(_ codes: [Failure.Code]) -> [(Int, [String])] {
    var found: [Int: [String]] = [:]
    for code in codes { found[ErrorResponse.status(of: code).code, default: []].append(code.rawValue) }
    return found.sorted { $0.key < $1.key }.map { ($0.key, $0.value) }
  }

  private static func reference(_ name: String) -> JSONValue {
    name.hasPrefix("[")
      ? ["type": "array", "items": reference(String(name.dropFirst().dropLast()))]
      : ["$ref": .string("#/components/schemas/\(name)")]
  }

  private static func schema(_ kind: QueryParameter.Kind) -> JSONValue {
    switch kind {
    case .text: ["type": "string"]
    case .integer(let range):
      range.upperBound == .max
        ? ["type": "integer", "minimum": .int(Int64(range.lowerBound))]
        : ["type": "integer", "minimum": .int(Int64(range.lowerBound)), "maximum": .int(Int64(range.upperBound))]
    case .seconds(let most):
      ["type": "string", "pattern": "^[0-9.]+s?$", "examples": ["20s"], "description": .string("at most \(Int(most)) s")]
    case .flag: ["type": "string", "enum": ["0", "1", "true", "false"]]
    case .choices(let choices): ["type": "string", "enum": .array(choices.map { .string($0) })]
    case .list(let choices):
      ["type": "string", "description": .string("a list with commas of: \(choices.joined(separator: ", "))")]
    }
  }
}

extension JSONObject {
  /// An object whose keys are computed.
  fileprivate init(_ pairs: [(String, JSONValue)]) {
    self.init()
    for (key, value) in pairs { self[key] = value }
  }
}
