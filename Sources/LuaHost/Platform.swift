import CLuaHost
import Core

#if canImport(Glibc)
  import Glibc
#elseif canImport(Darwin)
  import Darwin
#endif

/// What every state gets besides Lua's own functions: names of undeclared globals, `require`'s resolver, LuaLib's `extend`.
extension State {
  func openPlatform(_ L: OpaquePointer) {
    host_push_globals(L, true)
    lua_createtable(L, 0, 1)
    LuaValue.push(L, "__index")
    State.undeclared.push(L)
    lua_rawset(L, -3)
    lua_setmetatable(L, -2)
    host_pop(L, 1)

    State.resolve.push(L)
    host_set_resolver(L)

    host_push_trusted(L)
    for fn in [State.extend, State.nativeType] {
      LuaValue.push(L, fn.name)
      fn.push(L)
      lua_rawset(L, -3)
    }
    host_pop(L, 1)
  }

  private static let undeclared = Fn("__index", "fun(globals: table, name: any): any", "Undeclared globals are errors.") {
    call in
    host_push_globals(call.L, false)
    host_push_globals(call.L, true)
    let known = (call.fieldNames(-2) + call.fieldNames(-1)).filter { !$0.hasPrefix("_") }
    let name = call.describe(2)
    if let removed = removedNames[name] { throw Failure(.plain, "'\(name)' is not available to scripts: \(removed)") }
    var text = nearNames(name, known: known, what: "globals")
    if let end = text.range(of: "; globals are:") { text = String(text[..<end]) }
    if call.state.modules[name] != nil { text = "'\(name)'; write local \(name) = require \"\(name)\"" }
    throw Failure(.plain, "global is not declared: \(text)")
  }

  /// Lua names that the sandbox leaves out, and what to use.
  private static let removedNames = [
    "io": "use require \"fs\"", "debug": "it could leave the sandbox", "package": "use require",
    "dofile": "use require", "loadfile": "use require", "loadstring": "use load", "unpack": "use table.unpack",
    "setfenv": "use load with an environment", "getfenv": "use _ENV",
  ]

  /// (name, trusted) -> source or nil, chunk name, native module or nil, is platform code.
  private static let resolve = Fn(
    "require", "fun(name: string, trusted: boolean): string?, string?, table?, boolean", "Finds a module."
  ) { call in
    let state = call.state
    let name = try call.string(1)
    let trusted = try call.boolean(2)
    guard isModuleName(name) else {
      throw Failure(.plain, "require: '\(name)' is no module name; write folders with dots, as in require \"model.layers\"")
    }
    let path = name.split(separator: ".").joined(separator: "/")
    var library: (text: String, name: String)?
    if let root = state.configuration.libraryRoot, !name.hasPrefix("meta") {
      library = try readModule(root: root, path: path, prefix: "LuaLib/")
    }
    let isHidden = name.hasPrefix("_") && !trusted
    let entry = isHidden ? nil : state.modules[name]
    if isHidden { library = nil }
    if let entry {
      if let library {
        state.sources[library.name] = library.text
        call.push(library.text)
        call.push("@" + library.name)
      } else {
        call.pushNil()
        call.pushNil()
      }
      state.push(module: entry, call.L)
      return 3 + call.push(true)
    }
    var found = library
    let isLibrary = found != nil
    if found == nil, let root = state.configuration.scriptRoot { found = try readModule(root: root, path: path, prefix: "") }
    guard let found else {
      let known = state.modules.keys.filter { !$0.hasPrefix("_") }.sorted()
      throw Failure(
        .plain, "module \(nearNames(name, known: known, what: "modules")); a script's own modules are .lua files beside it")
    }
    state.sources[found.name] = found.text
    call.push(found.text)
    call.push("@" + found.name)
    call.pushNil()
    return 3 + call.push(isLibrary)
  }

  private static func isModuleName(_ name: String) -> Bool {
    name.utf8.count <= 200
      && name.split(separator: ".", omittingEmptySubsequences: false).allSatisfy { part in
        !part.isEmpty
          && part.utf8.allSatisfy {
            $0 == 95 || $0 == 45 || (48...57).contains($0) || (65...90).contains($0) || (97...122).contains($0)
          }
      }
  }

  /// `root/path.lua` or `root/path/init.lua`, opened below the root after symlinks.
  private static func readModule(root: String, path: String, prefix: String) throws(Failure) -> (text: String, name: String)? {
    let confined = ConfinedPaths(roots: [root], base: root)
    for candidate in ["\(path).lua", "\(path)/init.lua"] {
      do throws(Failure) {
        let bytes = try confined.read(candidate, limitBytes: 16 << 20)
        guard let text = String(validating: bytes, as: UTF8.self) else {
          throw Failure(.invalidScript, "\(prefix)\(candidate) is not valid UTF-8")
        }
        return (text, prefix + candidate)
      } catch {
        if error.code != .fileNotFound { throw error }
      }
    }
    return nil
  }

  /// Pushes the table of a native module; its types can be extended from now on.
  private func push(module entry: ModuleEntry, _ L: OpaquePointer) {
    let module = opened[entry.name] ?? entry.make()
    opened[entry.name] = module
    keep(module)
    for type in module.types { types[type.name] = type }
    _ = lua_checkstack(L, 8)
    lua_createtable(L, 0, Int32(clamping: module.functions.count + module.constants.count))
    for fn in module.functions {
      LuaValue.push(L, fn.name)
      fn.push(L)
      lua_rawset(L, -3)
    }
    for constant in module.constants {
      LuaValue.push(L, constant.name)
      constant.value.push(to: L)
      lua_rawset(L, -3)
    }
  }

  /// LuaLib only: the name of an object's type.
  private static let nativeType = Fn("native_type", "fun(value: any): string", "The type's name: `Tensor`, `null`, `table`.") {
    call in
    call.push(call.typeName(1))
  }

  /// LuaLib only: adds methods written in Lua to a Swift type.
  private static let extend = Fn(
    "extend", "fun(type: string, methods: table)", "Adds methods to a type, for all scripts of this state."
  ) { call in
    let state = call.state
    let name = try call.string(1)
    guard let type = state.types[name] else {
      throw Failure(.plain, "extend: type \(nearNames(name, known: state.types.keys.sorted(), what: "types"))")
    }
    let L = call.L
    LuaValue.pushMethods(L, type)
    let methods = lua_gettop(L)
    var refused: String?
    try call.forEachPair(2) {
      lua_pushvalue(L, -2)
      if lua_rawget(L, methods) != LUA_TNIL || lua_type(L, -3) != LUA_TSTRING {
        refused = LuaValue.describe(L, -3)
        return
      }
      host_pop(L, 1)
      lua_pushvalue(L, -2)
      lua_pushvalue(L, -2)
      lua_rawset(L, methods)
    }
    if let refused { throw Failure(.plain, "extend: \(name) has '\(refused)' already") }
    for derived in state.types.values where derived.base === type {
      LuaValue.pushMethods(L, derived)
      let own = lua_gettop(L)
      try call.forEachPair(2) {
        // What the derived type has under this name is its own.
        lua_pushvalue(L, -2)
        let isFree = lua_rawget(L, own) == LUA_TNIL
        host_pop(L, 1)
        guard isFree else { return }
        lua_pushvalue(L, -2)
        lua_pushvalue(L, -2)
        lua_rawset(L, own)
      }
      host_pop(L, 1)
    }
    return 0
  }
}

extension String {
  /// The first place of `text`; Foundation's `range(of:)` without Foundation.
  fileprivate func range(of text: String) -> String.Index? {
    var index = startIndex
    while index < endIndex {
      if self[index...].hasPrefix(text) { return index }
      index = self.index(after: index)
    }
    return nil
  }
}
