package import Core

/// The declared shape of a JSON body, checked before Lua sees it.
///
/// Unknown and missing fields, wrong types and values out of range are errors that name the place: `image[3]: expected a
/// number from 0 to 1, got "x"`. Places are written as the client sends them, so list positions count from 0.
package indirect enum BodyShape: Sendable {
  case any
  case boolean
  case number(Bounds)
  case integer(Bounds)
  case string(Text)
  case list(of: BodyShape, Length)
  case object([Field])

  /// Least and greatest allowed value, both included.
  package struct Bounds: Sendable, Equatable {
    package var least: Double?
    package var greatest: Double?
    package init(least: Double? = nil, greatest: Double? = nil) {
      self.least = least
      self.greatest = greatest
    }
    func allows(_ value: Double) -> Bool {
      value.isFinite && (least.map { value >= $0 } ?? true) && (greatest.map { value <= $0 } ?? true)
    }
  }

  /// Length in characters (Unicode scalars), and the only allowed values where there are such.
  package struct Text: Sendable, Equatable {
    package var length: Length
    package var choices: [String]?
    package init(length: Length = Length(), choices: [String]? = nil) {
      self.length = length
      self.choices = choices
    }
  }

  /// Least and greatest number of items.
  package struct Length: Sendable, Equatable {
    package var least: Int?
    package var greatest: Int?
    package init(least: Int? = nil, greatest: Int? = nil) {
      self.least = least
      self.greatest = greatest
    }
    func allows(_ count: Int) -> Bool { (least.map { count >= $0 } ?? true) && (greatest.map { count <= $0 } ?? true) }
  }

  package struct Field: Sendable {
    package var name: String
    package var shape: BodyShape
    package var isOptional: Bool
    /// What an absent optional field becomes; nil leaves it absent.
    package var fallback: JSONValue?
    package init(name: String, shape: BodyShape, isOptional: Bool = false, fallback: JSONValue? = nil) {
      self.name = name
      self.shape = shape
      self.isOptional = isOptional
      self.fallback = fallback
    }
  }
}

/// A checked body. Lists of plain numbers are kept apart: they are long, and cross to Lua in one piece.
package indirect enum BodyValue: Sendable, Equatable {
  case plain(JSONValue)
  case numbers([Double])
  case list([BodyValue])
  case object([Member])

  package struct Member: Sendable, Equatable {
    package var name: String
    package var value: BodyValue
    package init(name: String, value: BodyValue) {
      self.name = name
      self.value = value
    }
  }
}

extension BodyShape {
  /// Checks `json` against the shape.
  /// - Throws: `INVALID_REQUEST` naming the first place that is wrong.
  package func check(_ json: JSONValue, at place: String = "") throws(Failure) -> BodyValue {
    switch self {
    case .any: return .plain(json)
    case .boolean:
      guard case .bool = json else { throw wrong(json, place) }
      return .plain(json)
    case .number(let bounds):
      guard let value = json.doubleValue, bounds.allows(value) else { throw wrong(json, place) }
      return .plain(.double(value))
    case .integer(let bounds):
      guard let value = json.intValue, bounds.allows(Double(value)) else { throw wrong(json, place) }
      return .plain(.int(value))
    case .string(let text):
      guard let value = json.stringValue, text.length.allows(value.unicodeScalars.count), text.choices?.contains(value) ?? true
      else { throw wrong(json, place) }
      return .plain(json)
    case .list(let item, let length):
      guard let items = json.arrayValue, length.allows(items.count) else { throw wrong(json, place) }
      if case .number(let bounds) = item {
        var numbers: [Double] = []
        numbers.reserveCapacity(items.count)
        for (i, one) in items.enumerated() {
          guard let value = one.doubleValue, bounds.allows(value) else { throw item.wrong(one, "\(place)[\(i)]") }
          numbers.append(value)
        }
        return .numbers(numbers)
      }
      var values: [BodyValue] = []
      values.reserveCapacity(items.count)
      for (i, one) in items.enumerated() { values.append(try item.check(one, at: "\(place)[\(i)]")) }
      return .list(values)
    case .object(let fields):
      guard let members = json.objectValue else { throw wrong(json, place) }
      func inside(_ name: String) -> String { place.isEmpty ? name : "\(place).\(name)" }
      for key in members.keys where !fields.contains(where: { $0.name == key }) {
        let within = place.isEmpty ? "" : "\(place): "
        throw Failure(
          .invalidRequest,
          "\(within)unknown field \(nearNames(String(key.prefix(80)), known: fields.map(\.name), what: "fields"))",
          details: ["field": .string(inside(String(key.prefix(80))))])
      }
      var values: [BodyValue.Member] = []
      for field in fields {
        if let value = members[field.name] {
          if field.isOptional, value.isNull { continue }
          values.append(.init(name: field.name, value: try field.shape.check(value, at: inside(field.name))))
        } else if !field.isOptional {
          throw Failure(
            .invalidRequest, "\(inside(field.name)) is missing; expected \(field.shape.words)",
            details: ["field": .string(inside(field.name))])
        } else if let fallback = field.fallback {
          values.append(.init(name: field.name, value: .plain(fallback)))
        }
      }
      return .object(values)
    }
  }

  func wrong(_ json: JSONValue, _ place: String) -> Failure {
    Failure(
      .invalidRequest, "\(place.isEmpty ? "body" : place): expected \(words), got \(BodyShape.shown(json))",
      details: ["field": .string(place)])
  }

  /// What is expected, in words: `a list of 784 numbers from 0 to 1`.
  package var words: String {
    switch self {
    case .any: "any JSON value"
    case .boolean: "true or false"
    case .number(let bounds): "a number" + bounds.words
    case .integer(let bounds): "an integer" + bounds.words
    case .string(let text):
      text.choices.map { "one of " + $0.map { "\"\($0)\"" }.joined(separator: ", ") } ?? "a string"
        + text.length.words("characters")
    case .list(let item, let length): "a list of " + length.count + item.plural
    case .object(let fields):
      fields.isEmpty
        ? "an object without fields"
        : "an object with " + (fields.count == 1 ? "the field " : "the fields ") + fields.map(\.name).joined(separator: ", ")
    }
  }

  private var plural: String {
    switch self {
    case .any: "values"
    case .boolean: "booleans"
    case .number(let bounds): "numbers" + bounds.words
    case .integer(let bounds): "integers" + bounds.words
    case .string: "strings"
    case .list: "lists"
    case .object: "objects"
    }
  }

  /// The value as a message may show it: short, and only as much as is needed to see what is wrong.
  private static func shown(_ json: JSONValue) -> String {
    switch json {
    case .array(let items): return items.isEmpty ? "an empty list" : "a list of \(items.count)"
    case .object: return "an object"
    default:
      let text = json.text()
      return text.unicodeScalars.count <= 60 ? text : String(String.UnicodeScalarView(text.unicodeScalars.prefix(60))) + "..."
    }
  }

  /// JSON Schema 2020-12, as OpenAPI 3.1 uses it.
  package var schema: JSONValue {
    switch self {
    case .any: return [:]
    case .boolean: return ["type": "boolean"]
    case .number(let bounds): return .object(bounds.schema(["type": "number"]))
    case .integer(let bounds): return .object(bounds.schema(["type": "integer"]))
    case .string(let text):
      var object: JSONObject = ["type": "string"]
      object["minLength"] = text.length.least.map { .int(Int64($0)) }
      object["maxLength"] = text.length.greatest.map { .int(Int64($0)) }
      object["enum"] = text.choices.map { .array($0.map { .string($0) }) }
      return .object(object)
    case .list(let item, let length):
      var object: JSONObject = ["type": "array", "items": item.schema]
      object["minItems"] = length.least.map { .int(Int64($0)) }
      object["maxItems"] = length.greatest.map { .int(Int64($0)) }
      return .object(object)
    case .object(let fields):
      var properties = JSONObject()
      for field in fields {
        var schema = field.shape.schema
        if let fallback = field.fallback, case .object(var object) = schema {
          object["default"] = fallback
          schema = .object(object)
        }
        properties[field.name] = schema
      }
      return [
        "type": "object", "properties": .object(properties),
        "required": .array(fields.filter { !$0.isOptional }.map { .string($0.name) }), "additionalProperties": false,
      ]
    }
  }
}

extension BodyShape.Bounds {
  fileprivate var words: String {
    func text(_ value: Double) -> String { JSONValue.double(value).text() }
    return switch (least, greatest) {
    case (let a?, let b?): " from \(text(a)) to \(text(b))"
    case (let a?, nil): " of at least \(text(a))"
    case (nil, let b?): " of at most \(text(b))"
    default: ""
    }
  }

  fileprivate func schema(_ start: JSONObject) -> JSONObject {
    var object = start
    object["minimum"] = least.map { .double($0) }
    object["maximum"] = greatest.map { .double($0) }
    return object
  }
}

extension BodyShape.Length {
  /// `784 `, `1 to 10 `, `at least 1 `, or nothing.
  fileprivate var count: String {
    switch (least, greatest) {
    case (let a?, let b?): a == b ? "\(a) " : "\(a) to \(b) "
    case (let a?, nil): "at least \(a) "
    case (nil, let b?): "at most \(b) "
    default: ""
    }
  }
  fileprivate func words(_ unit: String) -> String { count.isEmpty ? "" : " of \(count)\(unit)" }
}
