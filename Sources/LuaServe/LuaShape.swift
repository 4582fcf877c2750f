import Core
package import LuaHost

/// A declared shape in a script: `http.list("number", {len = 784})`.
package final class LuaShape: LuaObject {
  let shape: BodyShape
  let isOptional: Bool
  let fallback: JSONValue?

  init(_ shape: BodyShape, isOptional: Bool = false, fallback: JSONValue? = nil) {
    self.shape = shape
    self.isOptional = isOptional
    self.fallback = fallback
  }

  package static let luaType = ObjectType(
    "HttpShape", "The declared shape of a JSON value.", [],
    metamethods: [
      Fn("__tostring", "fun(self: HttpShape): string", "The shape in words.") { call in
        let shape = try call.object(1, as: LuaShape.self)
        return call.push(shape.shape.words + (shape.isOptional ? " (optional)" : ""))
      }
    ])

  /// What a script may write for a shape: a name, an `HttpShape`, or a table of fields.
  static func read(_ call: borrowing Call, _ index: Int32, at place: String, depth: Int = 0) throws -> BodyShape {
    if let shape = call.objectIfPresent(index, as: LuaShape.self) {
      guard !shape.isOptional else { throw Failure(.plain, "\(place): http.optional is for the fields of an object") }
      return shape.shape
    }
    if call.isString(index) {
      let name = try call.string(index)
      let known = ["any", "boolean", "integer", "number", "string"]
      switch name {
      case "any": return .any
      case "boolean": return .boolean
      case "integer": return .integer(.init())
      case "number": return .number(.init())
      case "string": return .string(.init())
      default: throw Failure(.plain, "\(place): there is no shape \(nearNames(name, known: known, what: "shapes"))")
      }
    }
    guard call.isTable(index), depth < 16 else {
      throw Failure(
        .plain,
        "\(place): a shape is a name such as \"number\", http.list(...), or a table of fields; got \(call.typeName(index))")
    }
    var fields: [BodyShape.Field] = []
    try call.forEachPair(index) {
      guard call.isString(-2) else {
        throw Failure(.plain, "\(place): the fields of an object have names; for a list write http.list(\"number\")")
      }
      let name = try call.string(-2)
      let inside = "\(place).\(name)"
      if let optional = call.objectIfPresent(-1, as: LuaShape.self), optional.isOptional {
        fields.append(.init(name: name, shape: optional.shape, isOptional: true, fallback: optional.fallback))
      } else {
        fields.append(.init(name: name, shape: try read(call, -1, at: inside, depth: depth + 1)))
      }
    }
    fields.sort { $0.name < $1.name }
    return .object(fields)
  }

  static func bounds(_ options: borrowing Options) throws -> BodyShape.Bounds {
    let bounds = BodyShape.Bounds(least: try options.number("min"), greatest: try options.number("max"))
    if let least = bounds.least, let greatest = bounds.greatest, least > greatest {
      throw options.bad("min", "is above max")
    }
    return bounds
  }

  static func length(_ options: borrowing Options) throws -> BodyShape.Length {
    if let exact = try options.integer("len", in: 0...Int.max) {
      if options.has("min_len") || options.has("max_len") { throw options.bad("len", "excludes min_len and max_len") }
      return .init(least: exact, greatest: exact)
    }
    let length = BodyShape.Length(
      least: try options.integer("min_len", in: 0...Int.max), greatest: try options.integer("max_len", in: 0...Int.max))
    if let least = length.least, let greatest = length.greatest, least > greatest {
      throw options.bad("min_len", "is above max_len")
    }
    return length
  }

  static let functions: [Fn] = [
    Fn(
      "list",
      "fun(of: string|HttpShape|table, opts?: {len?: integer, min_len?: integer, max_len?: integer, min?: number, max?: number}): HttpShape",
      "A list of values of one shape; min and max bound its numbers."
    ) { call in
      var item = try read(call, 1, at: "http.list")
      let options = try call.options(2)
      let bounds = try bounds(options)
      if bounds != .init() {
        switch item {
        case .number(.init()): item = .number(bounds)
        case .integer(.init()): item = .integer(bounds)
        default: throw options.bad(bounds.least != nil ? "min" : "max", "is for lists of \"number\" or \"integer\"")
        }
      }
      return try call.push(object: LuaShape(.list(of: item, try length(options))))
    },
    Fn("number", "fun(opts?: {min?: number, max?: number}): HttpShape", "A number within bounds.") { call in
      try call.push(object: LuaShape(.number(try bounds(try call.options(1)))))
    },
    Fn("integer", "fun(opts?: {min?: number, max?: number}): HttpShape", "An integer within bounds.") { call in
      try call.push(object: LuaShape(.integer(try bounds(try call.options(1)))))
    },
    Fn(
      "string", "fun(opts?: {len?: integer, min_len?: integer, max_len?: integer, enum?: string[]}): HttpShape",
      "A string of some length, or one of a few."
    ) { call in
      let options = try call.options(1)
      return try call.push(
        object: LuaShape(.string(.init(length: try length(options), choices: try options.strings("enum")))))
    },
    Fn(
      "optional", "fun(shape: string|HttpShape|table, default?: any): HttpShape",
      "A field that may be absent or null; it is then the default, or absent."
    ) { call in
      let shape = try read(call, 1, at: "http.optional")
      let fallback = call.isNil(2) ? Optional<JSONValue>.none : try call.json(2)
      if let fallback {
        do throws(Failure) { _ = try shape.check(fallback, at: "the default") } catch {
          throw Failure(.plain, "http.optional: \(error.message)")
        }
      }
      return try call.push(object: LuaShape(shape, isOptional: true, fallback: fallback))
    },
  ]
}
