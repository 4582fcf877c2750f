import CLuaHost
package import Core

/// Results. Every push returns 1, so that `return call.push(x)` reads well.
extension Call {
  @discardableResult package func pushNil() -> Int32 {
    lua_pushnil(L)
    return 1
  }
  @discardableResult package func push(_ value: Bool) -> Int32 {
    lua_pushboolean(L, value ? 1 : 0)
    return 1
  }
  @discardableResult package func push(_ value: Int) -> Int32 {
    lua_pushinteger(L, lua_Integer(value))
    return 1
  }
  @discardableResult package func push(_ value: Int64) -> Int32 {
    lua_pushinteger(L, lua_Integer(value))
    return 1
  }
  @discardableResult package func push(_ value: Double) -> Int32 {
    lua_pushnumber(L, value)
    return 1
  }
  @discardableResult package func push(_ value: String) -> Int32 {
    LuaValue.push(L, value)
    return 1
  }
  @discardableResult package func push(bytes: UnsafeRawBufferPointer) -> Int32 {
    lua_pushlstring(L, bytes.baseAddress?.assumingMemoryBound(to: CChar.self), bytes.count)
    return 1
  }
  @discardableResult package func push(bytes: [UInt8]) -> Int32 { bytes.withUnsafeBytes { push(bytes: $0) } }
  @discardableResult package func push(_ values: [Double]) -> Int32 {
    values.withUnsafeBufferPointer { host_push_numbers(L, $0.baseAddress, $0.count) }
    return 1
  }
  @discardableResult package func push(_ values: [Int]) -> Int32 {
    lua_createtable(L, Int32(clamping: values.count), 0)
    for (i, value) in values.enumerated() {
      lua_pushinteger(L, lua_Integer(value))
      lua_rawseti(L, -2, lua_Integer(i + 1))
    }
    return 1
  }
  @discardableResult package func push(_ values: [String]) -> Int32 {
    lua_createtable(L, Int32(clamping: values.count), 0)
    for (i, value) in values.enumerated() {
      LuaValue.push(L, value)
      lua_rawseti(L, -2, lua_Integer(i + 1))
    }
    return 1
  }
  /// A JSON value as Lua tables; null becomes `json.null`, arrays carry the mark of `json.array`.
  @discardableResult package func push(_ value: JSONValue) -> Int32 {
    value.push(to: L)
    return 1
  }
  /// A new userdata for a Swift object.
  @discardableResult package func push<T: LuaObject>(object: T) throws(Failure) -> Int32 {
    try LuaValue.push(L, object: object)
    return 1
  }
  /// An argument again, such as self for chains.
  @discardableResult package func pushArgument(_ index: Int32) -> Int32 {
    lua_pushvalue(L, at(index))
    return 1
  }
  /// A value kept by `reference` or `function`.
  @discardableResult package func push(reference: LuaFunction) -> Int32 {
    reference.push(L)
    return 1
  }
  /// A Swift function of a registration table.
  @discardableResult package func push(function: Fn) -> Int32 {
    state.keep(function)
    function.push(L)
    return 1
  }
  /// A new table; `fill` sets its fields with `set`.
  @discardableResult package func pushTable(array: Int = 0, fields: Int = 0, _ fill: (borrowing TableBuilder) throws -> Void)
    rethrows -> Int32
  {
    _ = lua_checkstack(L, 8)
    lua_createtable(L, Int32(clamping: array), Int32(clamping: fields))
    try fill(TableBuilder(L, lua_gettop(L)))
    return 1
  }
  /// Makes room for `n` more values on the stack; at least 16 are there at the start.
  package func reserve(_ n: Int) throws(Failure) {
    guard n < 1_000_000, lua_checkstack(L, Int32(n)) != 0 else { throw Failure(.plain, "stack overflow: \(n) values") }
  }
  /// Marks a table argument as a list, so that it is a JSON array even when empty.
  package func markArray(_ index: Int32) { host_set_array_mark(L, at(index)) }
  /// Drops the topmost values.
  package func pop(_ n: Int32 = 1) { host_pop(L, n) }
}

/// Fills the table that `Call.pushTable` made.
package struct TableBuilder: ~Copyable {
  let L: OpaquePointer
  let table: Int32
  init(_ L: OpaquePointer, _ table: Int32) {
    self.L = L
    self.table = table
  }

  /// Sets field `name` to the one value that `value` pushes.
  package func set(_ name: String, _ value: (borrowing Call) throws -> Int32) rethrows {
    LuaValue.push(L, name)
    let top = lua_gettop(L)
    let n = try value(Call(L, base: top))
    if n == 0 { lua_pushnil(L) }
    lua_settop(L, top + 1)
    lua_rawset(L, table)
  }
  /// Sets element `position` (from 1).
  package func set(_ position: Int, _ value: (borrowing Call) throws -> Int32) rethrows {
    let top = lua_gettop(L)
    let n = try value(Call(L, base: top))
    if n == 0 { lua_pushnil(L) }
    lua_settop(L, top + 1)
    lua_rawseti(L, table, lua_Integer(position))
  }
  package func set(_ name: String, _ value: String) { set(name) { $0.push(value) } }
  package func set(_ name: String, _ value: Int) { set(name) { $0.push(value) } }
  package func set(_ name: String, _ value: Double) { set(name) { $0.push(value) } }
  package func set(_ name: String, _ value: Bool) { set(name) { $0.push(value) } }
  package func set(_ name: String, _ value: JSONValue) { set(name) { $0.push(value) } }
}
