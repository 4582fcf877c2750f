import CLuaHost
import Core

/// Reading and pushing single values by functions of the Lua API that never raise (or only for memory, which the
/// allocator does not refuse while Swift is on the stack).
enum LuaValue {
  static func push(_ L: OpaquePointer, _ text: String) {
    var text = text
    text.withUTF8 { utf8 in
      utf8.withMemoryRebound(to: CChar.self) { _ = lua_pushlstring(L, $0.baseAddress, $0.count) }
    }
  }

  /// A string value as text; nil when it is no string or no valid UTF-8.
  static func string(_ L: OpaquePointer, _ index: Int32) -> String? {
    var count = 0
    guard let pointer = host_string(L, index, &count) else { return nil }
    let raw = UnsafeRawBufferPointer(start: pointer, count: count)
    return raw.withMemoryRebound(to: UInt8.self) { String(validating: $0, as: UTF8.self) }
  }

  /// A string value with invalid UTF-8 replaced; nil when it is no string.
  static func repairedString(_ L: OpaquePointer, _ index: Int32) -> String? {
    var count = 0
    guard let pointer = host_string(L, index, &count) else { return nil }
    return String(decoding: UnsafeRawBufferPointer(start: pointer, count: count), as: UTF8.self)
  }

  /// The Swift object of a userdata; nil when it is none or was released.
  static func object(_ L: OpaquePointer, _ index: Int32) -> AnyObject? {
    var isObject = false
    guard let node = host_node_at(L, index, &isObject) else { return nil }
    return Unmanaged<AnyObject>.fromOpaque(node.pointee.object).takeUnretainedValue()
  }

  static func typeName(_ L: OpaquePointer, _ index: Int32) -> String {
    let type = lua_type(L, index)
    if type == LUA_TNONE { return "no value" }
    if type == LUA_TLIGHTUSERDATA { return "null" }
    if type == LUA_TUSERDATA, lua_getmetatable(L, index) != 0 {
      push(L, "__name")
      lua_rawget(L, -2)
      let name = string(L, -1)
      host_pop(L, 2)
      if let name { return name }
    }
    return String(cString: lua_typename(L, type))
  }

  static func describe(_ L: OpaquePointer, _ index: Int32) -> String {
    switch lua_type(L, index) {
    case LUA_TSTRING:
      let text = repairedString(L, index) ?? ""
      return text.utf8.count > 60 ? String(text.prefix(57)) + "..." : text
    case LUA_TNUMBER:
      return lua_isinteger(L, index) != 0 ? "\(lua_tointegerx(L, index, nil))" : "\(lua_tonumberx(L, index, nil))"
    case LUA_TBOOLEAN: return lua_toboolean(L, index) != 0 ? "true" : "false"
    default: return typeName(L, index)
    }
  }

  static func fieldNames(_ L: OpaquePointer, _ index: Int32) -> [String] {
    guard lua_type(L, index) == LUA_TTABLE, lua_checkstack(L, 4) != 0 else { return [] }
    let table = lua_absindex(L, index)
    var names: [String] = []
    lua_pushnil(L)
    while host_next(L, table) != 0 {
      if let name = string(L, -2) { names.append(name) }
      host_pop(L, 1)
    }
    return names.sorted()
  }

  static func kind<T: AnyObject>(of type: T.Type) -> UInt { UInt(bitPattern: ObjectIdentifier(type)) }

  /// Pushes a userdata that retains `object`, with the metatable of its dynamic class.
  static func push(_ L: OpaquePointer, object: some LuaObject) throws(Failure) {
    let type = Swift.type(of: object)
    let kind = kind(of: type)
    let retained = Unmanaged.passRetained(object as AnyObject)
    guard host_push_object(L, retained.toOpaque(), kind, max(0, object.luaBytes)) != nil else {
      retained.release()
      host_pop(L, 1)
      throw Failure(.memoryLimit, "out of memory")
    }
    pushMetatable(L, type.luaType, kind)
    lua_setmetatable(L, -2)
  }

  /// Pushes the metatable of a type, made when first needed in this state.
  static func pushMetatable(_ L: OpaquePointer, _ type: ObjectType, _ kind: UInt) {
    let key = UnsafeRawPointer(Unmanaged.passUnretained(type).toOpaque())
    if lua_rawgetp(L, host_registry_index, key) == LUA_TTABLE { return }
    host_pop(L, 1)
    _ = lua_checkstack(L, 10)
    State.of(L).keep(type)
    lua_createtable(L, 0, 16)
    let meta = lua_gettop(L)
    lua_createtable(L, 0, Int32(clamping: type.methods.count + 4))
    let methods = lua_gettop(L)
    if let base = type.base {
      pushMethods(L, base)
      lua_pushnil(L)
      while host_next(L, methods + 1) != 0 {
        lua_pushvalue(L, -2)
        lua_rotate(L, -2, 1)
        lua_rawset(L, methods)
      }
      host_pop(L, 1)
    }
    for fn in type.methods {
      push(L, fn.name)
      fn.push(L)
      lua_rawset(L, methods)
    }
    func set(_ name: String, in table: Int32, _ pushValue: () -> Void) {
      push(L, name)
      pushValue()
      lua_rawset(L, table)
    }
    set("release", in: methods) { lua_pushcclosure(L, host_release_object, 0) }
    set("__name", in: meta) { push(L, type.name) }
    set("__metatable", in: meta) { lua_pushboolean(L, 0) }
    set("__gc", in: meta) { lua_pushcclosure(L, host_release_object, 0) }
    set("__close", in: meta) { lua_pushcclosure(L, host_release_object, 0) }
    set("__eq", in: meta) { sameObject.push(L) }
    for fn in type.metamethods { set(fn.name, in: meta) { fn.push(L) } }
    set("__index", in: meta) {
      lua_pushvalue(L, methods)
      if let index = type.index {
        index.push(L)
        host_push_index(L)
      }
    }
    if type.index == nil {
      lua_createtable(L, 0, 1)
      let strict = lua_gettop(L)
      set("__index", in: strict) { type.unknown.push(L) }
      lua_setmetatable(L, methods)
    }
    lua_pushvalue(L, methods)
    lua_rawsetp(L, meta, key)  // where `extend` finds the methods
    host_pop(L, 1)
    lua_pushvalue(L, meta)
    lua_rawsetp(L, host_registry_index, key)
  }

  /// Pushes the table of methods of a type.
  static func pushMethods(_ L: OpaquePointer, _ type: ObjectType) {
    pushMetatable(L, type, 0)
    lua_rawgetp(L, -1, UnsafeRawPointer(Unmanaged.passUnretained(type).toOpaque()))
    lua_rotate(L, -2, 1)
    host_pop(L, 1)
  }

  private static let sameObject = Fn("__eq", "fun(a: any, b: any): boolean", "The same object.") { call in
    var isObject = false
    let a = host_node_at(call.L, 1, &isObject)
    let b = host_node_at(call.L, 2, &isObject)
    return call.push(a != nil && b != nil && a?.pointee.object == b?.pointee.object)
  }
}
