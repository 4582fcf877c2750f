import Core
import LuaHost
import Synchronization

/// How many canaries of one state are alive.
final class Aviary: Sendable {
  let alive = Atomic<Int>(0)
  var count: Int { alive.load(ordering: .relaxed) }
}

/// Counts its instances; stands for a tensor of `luaBytes` bytes.
final class Canary: LuaObject {
  let aviary: Aviary
  let luaBytes: Int
  var value: Int
  init(_ call: borrowing Call, bytes: Int = 0, value: Int = 0) throws {
    aviary = try call.service(Aviary.self)
    luaBytes = bytes
    self.value = value
    aviary.alive.add(1, ordering: .relaxed)
  }
  deinit { aviary.alive.subtract(1, ordering: .relaxed) }

  static let luaType = ObjectType(
    "Canary", "Counts its instances.",
    [
      Fn("add", "fun(self: Canary, n: integer): Canary", "Adds n.") { call in
        let canary = try call.object(1, as: Canary.self)
        canary.value += try call.integer(2)
        return call.pushArgument(1)
      },
      Fn("value", "fun(self: Canary): integer", "The count.") { call in call.push(try call.object(1, as: Canary.self).value) },
    ],
    metamethods: [
      Fn("__add", "fun(a: Canary|number, b: Canary|number): Canary", "Sum.") { call in
        func term(_ call: borrowing Call, _ i: Int32) throws -> Int {
          if let canary = call.objectIfPresent(i, as: Canary.self) { return canary.value }
          return try call.integer(i)
        }
        return try call.push(object: Canary(call, value: try term(call, 1) + term(call, 2)))
      },
      Fn("__len", "fun(self: Canary): integer", "The count.") { call in call.push(try call.object(1, as: Canary.self).value) },
      Fn("__tostring", "fun(self: Canary): string", "Text.") { call in
        call.push("Canary(\(try call.object(1, as: Canary.self).value))")
      },
    ],
    index: Fn("__index", "fun(self: Canary, key: any): any", "Digits.") { call in
      guard call.isInteger(2) else { throw Failure(.plain, "Canary has no field '\(call.describe(2))'") }
      return call.push(try call.object(1, as: Canary.self).value * (try call.integer(2)))
    })
}

/// A second type, for wrong-type errors.
final class Sparrow: LuaObject {
  static let luaType = ObjectType(
    "Sparrow", "Another bird.", [Fn("sing", "fun(self: Sparrow): string", "Sings.") { $0.push("tweet") }])
}

let birds = Module(
  "birds", "Test module.",
  [
    Fn("canary", "fun(value?: integer, bytes?: integer): Canary", "A canary.") { call in
      try call.push(object: Canary(call, bytes: try call.optionalInteger(2) ?? 0, value: try call.optionalInteger(1) ?? 0))
    },
    Fn("sparrow", "fun(): Sparrow", "A sparrow.") { call in try call.push(object: Sparrow()) },
    Fn("add", "fun(x: number, y: number): number", "x + y.") { call in call.push(try call.number(1) + call.number(2)) },
    Fn("fail", "fun(code: string)", "Raises.") { call in
      let canary = try Canary(call)
      throw withExtendedLifetime(canary) { Failure(Failure.Code("BAD_BIRD"), "no bird", details: ["n": 3]) }
    },
    Fn("each", "fun(list: table, f: fun(x: any): any): table", "Maps a list.") { call in
      let canary = try Canary(call)
      let f = try call.function(2)
      var out: [JSONValue] = []
      try call.forEachElement(1) { _ in
        let element = call.reference(-1)
        out.append(try f.call(call, results: 1, arguments: { $0.push(reference: element) }, read: { try $0.json(1) }))
      }
      _ = canary
      return call.push(.array(out))
    },
    Fn("echo", "fun(value: any): any", "Through JSON and back.") { call in call.push(try call.json(1)) },
    Fn("open", "fun(path: string, opts?: {mode?: string, size?: integer, loud?: boolean, tags?: string[]}): string", "Options.")
    { call in
      let options = try call.options(2)
      let mode = try options.choice("mode", ["append", "overwrite"]) ?? "none"
      let size = try options.integer("size", in: 0...10) ?? -1
      return call.push(
        "\(try call.string(1)) \(mode) \(size) \(try options.boolean("loud") ?? false) \(try options.strings("tags") ?? [])")
    },
    Fn("big", "fun(bytes: integer): string", "A long string.") { call in
      let canary = try Canary(call)
      let n = call.push(String(repeating: "x", count: try call.integer(1)))
      _ = canary
      return n
    },
    Fn("sum", "fun(list: number[]): number", "Sums a list.") { call in call.push(try call.numbers(1).reduce(0, +)) },
  ], constants: [("answer", 42, "The answer.")], types: [Canary.luaType, Sparrow.luaType])

/// A state with the module `birds`; `output` collects what was printed.
final class Bench {
  let state: State
  let aviary = Aviary()
  var output: [String] { lines.values }
  private final class Lines { var values: [String] = [] }
  private let lines = Lines()

  init(memory: Int = 0, external: Int = 0, library: String? = nil, root: String? = nil) throws {
    var configuration = State.Configuration()
    configuration.memoryLimitBytes = memory
    configuration.externalLimitBytes = external
    configuration.modules = [ModuleEntry("birds", birds)]
    configuration.libraryRoot = library
    configuration.scriptRoot = root
    let lines = lines
    configuration.print = { lines.values.append($0) }
    state = try State(configuration)
    state.provide(aviary)
  }

  /// Runs a chunk and gives its first result as JSON.
  @discardableResult func run(_ text: String, name: String = "script.lua") throws(Failure) -> JSONValue {
    let chunk = try state.load(text, name: name)
    return try state.defining { () throws(Failure) in
      try state.run(chunk, results: 1) { try $0.json(1, name: "result") }
    }
  }

  /// The failure of a chunk that must fail.
  func failure(_ text: String) -> Failure {
    do throws(Failure) {
      let value = try run(text)
      return Failure(Failure.Code("NONE"), "no failure but \(value.text())")
    } catch { return error }
  }
}
