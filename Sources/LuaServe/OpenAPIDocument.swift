package import Core

/// The service's own OpenAPI 3.1 document, made from its routes: what is documented is what is checked.
package enum OpenAPIDocument {
  package static func make(title: String, routes: [Route]) -> JSONValue {
    var paths = JSONObject()
    for route in routes {
      let path = route.pattern.template
      var item = paths[path]?.objectValue ?? JSONObject()
      item[route.method.lowercased()] = operation(route)
      paths[path] = .object(item)
    }
    if paths["/healthz"] == nil {
      paths["/healthz"] = [
        "get": ["summary": "Is the service alive?", "responses": ["200": ["description": "It is."]]]
      ]
    }
    return [
      "openapi": "3.1.0", "info": ["title": .string(title), "version": "1.0.0"], "paths": .object(paths),
      "components": [
        "schemas": [
          "Error": [
            "type": "object", "required": ["error"],
            "properties": [
              "error": [
                "type": "object", "required": ["code", "message"],
                "properties": ["code": ["type": "string"], "message": ["type": "string"]],
              ]
            ],
          ]
        ]
      ],
    ]
  }

  private static func operation(_ route: Route) -> JSONValue {
    var operation = JSONObject()
    operation["summary"] = route.summary.map { .string($0) }
    var parameters: [JSONValue] = []
    for case .parameter(let name) in route.pattern.segments {
      parameters.append(["name": .string(name), "in": "path", "required": true, "schema": ["type": "string"]])
    }
    if !parameters.isEmpty { operation["parameters"] = .array(parameters) }
    if let body = route.body {
      operation["requestBody"] = ["required": true, "content": ["application/json": ["schema": body.schema]]]
    }
    var good: JSONObject = ["description": "The answer."]
    if let returns = route.returns { good["content"] = ["application/json": ["schema": returns.schema]] }
    var responses = JSONObject()
    responses["200"] = .object(good)
    let wrong: JSONValue = ["application/json": ["schema": ["$ref": "#/components/schemas/Error"]]]
    var errors: [(String, String)] = []
    if route.body != nil {
      errors += [("400", "The body is wrong."), ("413", "The body is too large."), ("415", "The body is not JSON.")]
    }
    errors += [("500", "The handler failed."), ("503", "Too many requests wait."), ("504", "No answer in time.")]
    for (status, text) in errors { responses[status] = ["description": .string(text), "content": wrong] }
    operation["responses"] = .object(responses)
    return .object(operation)
  }
}
