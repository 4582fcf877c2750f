import CLuaHost
package import Core

/// The options table of a call: named values, each read once. An unknown name was refused when it was made.
package struct Options: ~Copyable {
  let L: OpaquePointer
  let table: Int32  // 0: no table was given
  let function: String

  init(_ L: OpaquePointer, _ table: Int32, function: String, known: [String]) throws(Failure) {
    self.L = L
    self.table = table
    self.function = function
    guard table != 0 else { return }
    guard lua_type(L, table) == LUA_TTABLE, lua_checkstack(L, 6) != 0 else {
      throw Failure(.plain, "the options of '\(function)' must be a table, got \(LuaValue.typeName(L, table))")
    }
    lua_pushnil(L)
    while host_next(L, table) != 0 {
      host_pop(L, 1)
      guard lua_type(L, -1) == LUA_TSTRING, let name = LuaValue.string(L, -1) else {
        let key = LuaValue.describe(L, -1)
        host_pop(L, 1)
        throw Failure(.plain, "the options of '\(function)' are a table with names, but it has the key \(key)")
      }
      if !known.contains(name) {
        host_pop(L, 1)
        throw Failure(.plain, "'\(function)' has no option \(nearNames(name, known: known, what: "options"))")
      }
    }
  }

  /// True when the option was given.
  package func has(_ name: String) -> Bool {
    guard table != 0 else { return false }
    defer { host_pop(L, 1) }
    return fetch(name) > LUA_TNIL
  }

  private func fetch(_ name: String) -> Int32 {
    LuaValue.push(L, name)
    return lua_rawget(L, table)
  }

  /// Reads one option: nil when absent, an error naming it when `convert` gives nil.
  private func read<T>(_ name: String, _ expected: String, _ convert: (Int32) throws(Failure) -> T?) throws(Failure) -> T? {
    guard table != 0 else { return nil }
    let type = fetch(name)
    if type == LUA_TNIL {
      host_pop(L, 1)
      return nil
    }
    let value: T?
    do { value = try convert(type) } catch {
      host_pop(L, 1)
      throw error
    }
    let got = value == nil ? LuaValue.typeName(L, -1) : ""
    let shown = value == nil && (type == LUA_TNUMBER || type == LUA_TSTRING) ? LuaValue.describe(L, -1) : got
    host_pop(L, 1)
    guard let value else { throw bad(name, "must be \(expected), got \(shown)") }
    return value
  }

  /// An error that names the option: `option 'mode' of 'write' complaint`.
  package func bad(_ name: String, _ complaint: String) -> Failure {
    Failure(.plain, "option '\(name)' of '\(function)' \(complaint)")
  }

  package func number(_ name: String) throws(Failure) -> Double? {
    try read(name, "a number") { type in type == LUA_TNUMBER ? lua_tonumberx(L, -1, nil) : nil }
  }
  package func integer(_ name: String) throws(Failure) -> Int? {
    try read(name, "an integer") { type in
      var isInteger: Int32 = 0
      guard type == LUA_TNUMBER else { return nil }
      let value = lua_tointegerx(L, -1, &isInteger)
      return isInteger != 0 ? Int(value) : nil
    }
  }
  /// An integer in `range`.
  package func integer(_ name: String, in range: ClosedRange<Int>) throws(Failure) -> Int? {
    guard let value = try integer(name) else { return nil }
    guard range.contains(value) else {
      throw bad(
        name,
        "must be \(range.upperBound == Int.max ? "at least \(range.lowerBound)" : "\(range.lowerBound) to \(range.upperBound)"), got \(value)"
      )
    }
    return value
  }
  package func boolean(_ name: String) throws(Failure) -> Bool? {
    try read(name, "a boolean") { type in type == LUA_TBOOLEAN ? lua_toboolean(L, -1) != 0 : nil }
  }
  package func string(_ name: String) throws(Failure) -> String? {
    try read(name, "a string") { type in type == LUA_TSTRING ? LuaValue.string(L, -1) : nil }
  }
  /// One of `choices`.
  package func choice(_ name: String, _ choices: [String]) throws(Failure) -> String? {
    guard let value = try string(name) else { return nil }
    guard choices.contains(value) else { throw bad(name, "cannot be \(nearNames(value, known: choices, what: "choices"))") }
    return value
  }
  package func object<T: LuaObject>(_ name: String, as type: T.Type) throws(Failure) -> T? {
    try read(name, "a \(T.luaType.name)") { _ in Call(L).objectIfPresent(-1, as: T.self) }
  }
  package func function(_ name: String) throws(Failure) -> LuaFunction? {
    try read(name, "a function") { type in type == LUA_TFUNCTION ? LuaFunction(L, -1) : nil }
  }
  /// Any value, kept alive; push it with `push(reference:)`.
  package func reference(_ name: String) throws(Failure) -> LuaFunction? {
    try read(name, "a value") { _ in LuaFunction(L, -1) }
  }
  package func json(_ name: String) throws(Failure) -> JSONValue? {
    try read(name, "a value") { _ throws(Failure) in try JSONValue(lua: L, at: -1, name: name) }
  }
  /// A list of strings; one string counts as a list of one.
  package func strings(_ name: String) throws(Failure) -> [String]? {
    try read(name, "a list of strings") { type throws(Failure) in
      if type == LUA_TSTRING { return LuaValue.string(L, -1).map { [$0] } }
      guard type == LUA_TTABLE else { return nil }
      var result: [String] = []
      for i in 0..<Int(lua_rawlen(L, -1)) {
        let text = lua_rawgeti(L, -1, lua_Integer(i + 1)) == LUA_TSTRING ? LuaValue.string(L, -1) : nil
        host_pop(L, 1)
        guard let text else { throw bad(name, "must be a list of strings, but element \(i + 1) is none") }
        result.append(text)
      }
      return result
    }
  }
  /// A list of integers; one integer counts as a list of one.
  package func integers(_ name: String) throws(Failure) -> [Int]? {
    try read(name, "a list of integers") { type throws(Failure) in
      if type == LUA_TNUMBER { return [try Call(L).integerOption(-1, self, name)] }
      guard type == LUA_TTABLE else { return nil }
      var result: [Int] = []
      for i in 0..<Int(lua_rawlen(L, -1)) {
        lua_rawgeti(L, -1, lua_Integer(i + 1))
        var isInteger: Int32 = 0
        let value = lua_type(L, -1) == LUA_TNUMBER ? lua_tointegerx(L, -1, &isInteger) : 0
        host_pop(L, 1)
        guard isInteger != 0 else { throw bad(name, "must be a list of integers, but element \(i + 1) is none") }
        result.append(Int(value))
      }
      return result
    }
  }
  /// Pushes the option's value (nil when absent) and returns 1.
  package func push(_ name: String) -> Int32 {
    if table == 0 { lua_pushnil(L) } else { _ = fetch(name) }
    return 1
  }
}

extension Call {
  fileprivate func integerOption(_ index: Int32, _ options: borrowing Options, _ name: String) throws(Failure) -> Int {
    guard isInteger(index) else { throw options.bad(name, "must be an integer, got \(describe(index))") }
    return try integer(index)
  }
}
