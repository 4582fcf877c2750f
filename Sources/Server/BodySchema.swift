import Core

/// Checks a request's body against the schema that the OpenAPI document shows for it, so that the two cannot differ.
///
/// Knows of JSON Schema what `OpenAPISchemas` uses: type (one or several), required, properties, additionalProperties, items,
/// enum, minimum, maximum, minLength, maxLength, minItems, maxItems, minProperties. A member that is null counts as absent.
enum BodySchema {
  /// The members of `body`, all of the types that schema `name` says.
  /// - Throws: `INVALID_REQUEST` with every wrong field in its details.
  static func check(_ body: JSONValue, _ name: String) throws(Failure) -> JSONObject {
    guard let schema = OpenAPISchemas.all[name] else { throw Failure(.internalError, "there is no schema '\(name)'") }
    guard let object = body.objectValue else {
      let fields = schema["properties"]?.objectValue?.keys.joined(separator: ", ") ?? ""
      throw Failure(.invalidRequest, "the body must be a JSON object with fields of \(fields), not \(article(body.kind))")
    }
    var wrong: [(field: String, reason: String)] = []
    check(body, schema, "", &wrong)
    if let first = wrong.first {
      let more = wrong.count > 1 ? " (and \(wrong.count - 1) more: see details)" : ""
      throw Failure(
        .invalidRequest, first.reason + more,
        details: ["fields": .array(wrong.prefix(100).map { ["field": .string($0.field), "reason": .string($0.reason)] })])
    }
    return object
  }

  private static func check(
    _ value: JSONValue, _ schema: JSONValue, _ field: String, _ wrong: inout [(field: String, reason: String)]
  ) {
    func complain(_ what: String) { wrong.append((field, "field '\(field)' \(what)")) }
    let types = schema["type"]?.stringValue.map { [$0] } ?? schema["type"]?.arrayValue?.compactMap(\.stringValue) ?? []
    guard types.isEmpty || types.contains(where: { isType(value, $0) }) else {
      return complain("must be \(types.map(article).joined(separator: " or ")), not \(article(value.kind))")
    }
    if let choices = schema["enum"]?.arrayValue, !choices.contains(value) {
      return complain(
        "must be \(choices.map { $0.stringValue ?? $0.text() }.joined(separator: " or ")), not \(value.text().prefix(80))")
    }
    switch value {
    case .int, .double:
      guard let number = value.doubleValue else { return }
      if let least = schema["minimum"]?.doubleValue, number < least {
        complain("must be at least \(JSONValue.double(least).text()), not \(value.text())")
      }
      if let most = schema["maximum"]?.doubleValue, number > most {
        complain("must be at most \(JSONValue.double(most).text()), not \(value.text())")
      }
    case .string(let text):
      if let least = schema["minLength"]?.intValue, text.utf8.count < least { complain("must not be empty") }
      if let most = schema["maxLength"]?.intValue, text.utf8.count > most {
        complain("is \(text.utf8.count) bytes long; at most \(most) are allowed")
      }
    case .array(let items):
      if let least = schema["minItems"]?.intValue, items.count < least {
        complain("must have at least \(least) item\(least == 1 ? "" : "s")")
      }
      if let most = schema["maxItems"]?.intValue, items.count > most {
        return complain("has \(items.count) items; at most \(most) are allowed")
      }
      if let each = schema["items"] { for (i, item) in items.enumerated() { check(item, each, "\(field)[\(i)]", &wrong) } }
    case .object(let members):
      let properties = schema["properties"]?.objectValue ?? JSONObject()
      let inside = field.isEmpty ? "" : field + "."
      for required in schema["required"]?.arrayValue?.compactMap(\.stringValue) ?? []
      where members[required].map(\.isNull) ?? true {
        wrong.append((inside + required, "field '\(inside + required)' is missing\(wanted(properties[required]))"))
      }
      if let least = schema["minProperties"]?.intValue, members.count < least { complain("must not be empty") }
      for (name, member) in members where !member.isNull || properties[name] == nil {
        if let property = properties[name] {
          check(member, property, inside + name, &wrong)
        } else if schema["additionalProperties"]?.boolValue == false {
          let shown = String(name.prefix(80))
          wrong.append(
            (
              inside + shown,
              "unknown field " + nearNames(inside + shown, known: properties.keys.map { inside + $0 }, what: "fields")
            ))
        } else if let other = schema["additionalProperties"], other.objectValue != nil {
          check(member, other, inside + name, &wrong)
        }
      }
    case .null, .bool: break
    }
  }

  private static func wanted(_ schema: JSONValue?) -> String {
    schema?["type"]?.stringValue.map { "; it must be \(article($0))" } ?? ""
  }

  private static func isType(_ value: JSONValue, _ type: String) -> Bool {
    switch type {
    case "object": value.objectValue != nil
    case "array": value.arrayValue != nil
    case "string": value.stringValue != nil
    case "boolean": value.boolValue != nil
    case "integer": value.intValue != nil
    case "number": value.doubleValue != nil
    case "null": value.isNull
    default: false
    }
  }

  static func article(_ kind: String) -> String {
    kind == "null" ? "null" : (["array", "object", "integer"].contains(kind) ? "an " : "a ") + kind
  }
}
