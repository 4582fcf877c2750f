package import Core

/// The `params` table of a script: `{ epochs = { type = "integer", default = 10, min = 1, help = "..." } }`.
///
/// It is checked before `run` is called, so that a misspelt or mistyped parameter costs nothing. A script without a
/// schema takes any parameters. With one, every script takes `threads`, how many threads its kernels use at most (the results do not depend
/// on it), unless it declares a parameter of that name itself.
package struct ParameterSchema: Sendable {
  package struct Parameter: Sendable {
    let name: String
    let type: String
    let fallback: JSONValue?
    let minimum: Double?
    let maximum: Double?
    let choices: [JSONValue]?
    let isRequired: Bool
  }
  package let parameters: [Parameter]

  private static let types = ["boolean", "integer", "number", "string", "table", "any"]
  private static let keys = ["type", "default", "min", "max", "enum", "help", "required"]

  /// Reads the schema; the script's own mistakes are named.
  package init(_ value: JSONValue, script: String) throws(Failure) {
    guard let members = value.objectValue else {
      if value.arrayValue?.isEmpty == true {
        parameters = []
        return
      }
      throw Failure(
        .invalidScript, "params must be a table such as { epochs = { type = \"integer\", default = 10 } }", place: script)
    }
    var parameters: [Parameter] = []
    for (name, rule) in members {
      func fail(_ what: String) -> Failure { Failure(.invalidScript, "params.\(name): \(what)", place: script) }
      guard let rule = rule.objectValue, let type = rule["type"]?.stringValue, ParameterSchema.types.contains(type) else {
        throw fail("type must be one of \(ParameterSchema.types.joined(separator: ", "))")
      }
      for (key, _) in rule where !ParameterSchema.keys.contains(key) {
        throw fail("unknown key \(nearNames(key, known: ParameterSchema.keys, what: "keys"))")
      }
      let parameter = Parameter(
        name: name, type: type, fallback: rule["default"], minimum: rule["min"]?.doubleValue, maximum: rule["max"]?.doubleValue,
        choices: rule["enum"]?.arrayValue, isRequired: rule["required"]?.boolValue ?? false)
      if let fallback = parameter.fallback { _ = try parameter.checked(fallback) { fail("the default \($0)") } }
      parameters.append(parameter)
    }
    self.parameters = parameters
  }

  /// Whether the script leaves the parameter `threads` to the platform.
  var takesThreads: Bool { !parameters.contains { $0.name == Parameter.threads.name } }

  /// The parameters as the script gets them: checked, with defaults filled in.
  /// - Throws: `INVALID_PARAMS` naming the parameter and what is right.
  package func apply(to given: JSONObject) throws(Failure) -> JSONObject {
    var result = JSONObject()
    let parameters = takesThreads ? self.parameters + [.threads] : self.parameters
    let known = parameters.map(\.name)
    for (name, _) in given where !known.contains(name) {
      throw Failure(
        .invalidParams, "unknown parameter \(nearNames(name, known: known, what: "parameters"))",
        details: ["field": .string("params." + name)])
    }
    for parameter in parameters {
      if let value = given[parameter.name], !value.isNull {
        result[parameter.name] = try parameter.checked(value) { reason in
          Failure(
            .invalidParams, "parameter '\(parameter.name)' \(reason)", details: ["field": .string("params." + parameter.name)])
        }
      } else if let fallback = parameter.fallback {
        result[parameter.name] = fallback
      } else if parameter.isRequired {
        throw Failure(
          .invalidParams, "parameter '\(parameter.name)' (\(parameter.type)) is missing",
          details: ["field": .string("params." + parameter.name)])
      }
    }
    return result
  }
}

extension ParameterSchema.Parameter {
  static let threads = ParameterSchema.Parameter(
    name: "threads", type: "integer", fallback: nil, minimum: 1, maximum: 64, choices: nil, isRequired: false)

  /// `value`, an integral number turned into an integer where one is wanted.
  func checked(_ value: JSONValue, _ fail: (String) -> Failure) throws(Failure) -> JSONValue {
    var value = value
    let fits: Bool
    switch type {
    case "boolean": fits = value.boolValue != nil
    case "integer":
      fits = value.intValue != nil
      if let integer = value.intValue { value = .int(integer) }
    case "number": fits = value.doubleValue != nil
    case "string": fits = value.stringValue != nil
    case "table": fits = value.objectValue != nil || value.arrayValue != nil
    default: fits = true
    }
    guard fits else { throw fail("must be \(type == "integer" ? "an" : "a") \(type), got \(value.text().prefix(80))") }
    if let number = value.doubleValue {
      if let minimum, number < minimum {
        throw fail("must be at least \(JSONValue.double(minimum).text()), got \(value.text())")
      }
      if let maximum, number > maximum {
        throw fail("must be at most \(JSONValue.double(maximum).text()), got \(value.text())")
      }
    }
    if let choices, !choices.contains(value) {
      throw fail("must be one of \(choices.map { $0.text() }.joined(separator: ", ")), got \(value.text().prefix(80))")
    }
    return value
  }
}
