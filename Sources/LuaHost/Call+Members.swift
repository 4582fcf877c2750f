import CLuaHost

extension Call {
  /// Names that may follow `value.` or `value:`: keys of a table (and of what stands behind it), methods of an object.
  /// Runs no script code. For completion in the REPL.
  package func memberNames(_ index: Int32) -> [String] {
    var names: Set<String> = []
    Members.collect(L, index < 0 ? index : at(index), &names, depth: 4)
    return names.sorted()
  }
}

private enum Members {
  static func collect(_ L: OpaquePointer, _ index: Int32, _ names: inout Set<String>, depth: Int) {
    guard depth > 0, lua_checkstack(L, 8) != 0 else { return }
    let value = lua_absindex(L, index)
    let top = lua_gettop(L)
    defer { lua_settop(L, top) }
    let isTable = lua_type(L, value) == LUA_TTABLE
    if isTable { names.formUnion(LuaValue.fieldNames(L, value)) }
    guard isTable || lua_type(L, value) == LUA_TUSERDATA, lua_getmetatable(L, value) != 0 else { return }
    let meta = lua_gettop(L)
    lua_pushstring(L, "__index")
    if lua_rawget(L, meta) == LUA_TTABLE { collect(L, -1, &names, depth: depth - 1) }
    // The methods of a Swift type stand under a light key of its metatable, whatever __index is.
    lua_settop(L, meta)
    guard !isTable else { return }
    lua_pushnil(L)
    while host_next(L, meta) != 0 {
      if lua_type(L, -2) == LUA_TLIGHTUSERDATA, lua_type(L, -1) == LUA_TTABLE { names.formUnion(LuaValue.fieldNames(L, -1)) }
      host_pop(L, 1)
    }
  }
}

extension Call {
  /// Pushes the table of the scripts' own globals.
  @discardableResult package func pushGlobals() -> Int32 {
    host_push_globals(L, false)
    return 1
  }
}
