import CLuaHost
package import Core

/// One function that scripts may call: the row of a registration table.
///
/// The row feeds registration, the checks of number and types of arguments, error messages, editor stubs
/// (`LuaLib/meta`), the reference (`docs/lua`) and a test that calls every function wrongly.
package final class Fn: Sendable {
  package typealias Body = @Sendable (borrowing Call) throws -> Int32

  package let name: String
  /// The LuaCATS type as written.
  package let signatureText: String
  package let signature: Signature
  /// One sentence; more lines may follow.
  package let doc: String
  let body: Body
  /// What the trampoline reads. Allocated once, never freed: functions of a registration table live as long as the process.
  private nonisolated(unsafe) let checks: UnsafeMutablePointer<host_function>  // Sendable: written in init only.

  /// - Parameters:
  ///   - name: as scripts write it; metamethods with their underscores (`__add`).
  ///   - signature: LuaCATS: `fun(self: Tensor, dim?: integer): Tensor`. A mistake in it stops the process at registration.
  ///   - body: the work. Argument 1 is the first (for methods: self). Returns the number of values it pushed.
  package init(_ name: String, _ signature: String, _ doc: String, _ body: @escaping Body) {
    self.name = name
    self.signatureText = signature
    self.doc = doc
    self.body = body
    do throws(Failure) {
      self.signature = try Signature(signature)
    } catch {
      preconditionFailure("function '\(name)': \(error.message)")  // our own table, not user input
    }
    precondition(self.signature.parameters.count <= Int(HOST_MAX_PARAMETERS), "function '\(name)' has too many parameters")
    checks = .allocate(capacity: 1)
    var record = host_function()
    let parameters = self.signature.parameters
    record.count = Int32(parameters.count)
    // Lua calls metamethods with one or two operands whatever they need.
    let isOpen = self.signature.isVariadic || name.hasPrefix("__")
    record.maximum = isOpen ? -1 : Int32(parameters.count)
    withUnsafeMutableBytes(of: &record.masks) { raw in
      let masks = raw.assumingMemoryBound(to: UInt16.self)
      for (i, parameter) in parameters.enumerated() {
        masks[i] = Signature.mask(of: parameter.type) | (parameter.isOptional ? UInt16(HOST_OPTIONAL) : 0)
      }
    }
    checks.initialize(to: record)
    checks.pointee.swift = Unmanaged.passUnretained(self).toOpaque()
  }

  deinit {
    checks.deinitialize(count: 1)
    checks.deallocate()
  }

  func push(_ L: OpaquePointer) { host_push_function(L, checks) }

  /// How messages name it: `'add'`, and operators by their sign.
  var shownName: String { "'\(Fn.operators[name] ?? name)'" }
  private static let operators = [
    "__add": "+", "__sub": "-", "__mul": "*", "__div": "/", "__mod": "%", "__pow": "^", "__unm": "-", "__idiv": "//",
    "__band": "&", "__bor": "|", "__bxor": "~", "__bnot": "~", "__shl": "<<", "__shr": ">>", "__concat": "..", "__len": "#",
    "__eq": "==", "__lt": "<", "__le": "<=", "__index": "index", "__newindex": "assignment", "__call": "call",
  ]

  /// The text of an argument error: `bad argument #1 'x' to 'add' (number expected, got string)`. Methods count without
  /// self, as a script writes them.
  func argumentMessage(_ index: Int32, _ complaint: String) -> String {
    let parameters = signature.parameters
    let parameter = index >= 1 && index <= parameters.count ? parameters[Int(index) - 1] : nil
    if Fn.operators[name] != nil, name != "__call", name != "__index", name != "__newindex" {
      return "bad operand #\(index) of \(shownName) (\(complaint))"
    }
    if signature.isMethod, index == 1 {
      return name == "__call"
        ? "bad call (\(complaint))" : "bad self to \(shownName) (\(complaint)); call it as object:\(name)(...)"
    }
    let number = signature.isMethod ? index - 1 : index
    return "bad argument #\(number)\(parameter.map { " '\($0.name)'" } ?? "") to \(shownName) (\(complaint))"
  }
}

/// A named set of functions that `require` gives to scripts.
package final class Module: Sendable {
  package let name: String
  package let doc: String
  package let functions: [Fn]
  /// Constants: pushed as JSON values (`json.null` is the null).
  package let constants: [(name: String, value: JSONValue, doc: String)]
  /// The types its functions return, for docs and for LuaLib code that extends them.
  package let types: [ObjectType]

  /// - Parameter name: as in `require "name"`. A name that begins with `_` can be required by LuaLib only.
  package init(
    _ name: String, _ doc: String, _ functions: [Fn], constants: [(name: String, value: JSONValue, doc: String)] = [],
    types: [ObjectType] = []
  ) {
    self.name = name
    self.doc = doc
    self.functions = functions
    self.constants = constants
    self.types = types
  }
}

/// A module by name, built when first required, so that a script pays for what it uses.
package struct ModuleEntry: Sendable {
  package let name: String
  package let make: @Sendable () -> Module
  package init(_ name: String, _ make: @autoclosure @escaping @Sendable () -> Module) {
    self.name = name
    self.make = make
  }
}

/// How instances of one Swift class look in Lua.
package final class ObjectType: Sendable {
  package let name: String
  package let doc: String
  /// The type of the class above: its methods, those added by LuaLib too, are this type's as well.
  package let base: ObjectType?
  package let methods: [Fn]
  package let metamethods: [Fn]
  /// Called for keys that are no method: `fun(self: Batch, key: any): any`. Throw `call.noField(...)` for unknown ones.
  package let index: Fn?
  /// Raises for an unknown method, naming the near one.
  let unknown: Fn

  /// Every type also has `release()`, `__gc`, `__close`, `__name` and, unless given, `__eq` (same object) and `__tostring`.
  package init(
    _ name: String, _ doc: String, base: ObjectType? = nil, _ methods: [Fn], metamethods: [Fn] = [], index: Fn? = nil
  ) {
    self.name = name
    self.doc = doc
    self.base = base
    self.methods = methods
    self.metamethods = metamethods
    self.index = index
    unknown = Fn("__index", "fun(methods: table, key: any): any", "Unknown methods are errors.") { call in
      let key = call.describe(2)
      throw Failure(.plain, "\(name) has no method or field \(nearNames(key, known: call.fieldNames(1), what: "methods"))")
    }
  }
}

/// A Swift class whose instances scripts may hold.
package protocol LuaObject: AnyObject {
  static var luaType: ObjectType { get }
  /// Bytes behind the object that Lua cannot see; they decide when a collection is due.
  var luaBytes: Int { get }
}

extension LuaObject {
  package var luaBytes: Int { 0 }
}
