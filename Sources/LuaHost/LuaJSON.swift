import CLuaHost
import Core

/// How large a Lua value may be to become JSON.
package struct LuaJSONLimits: Sendable {
  package var depth: Int
  package var values: Int
  package init(depth: Int = 64, values: Int = 10_000_000) {
    self.depth = depth
    self.values = values
  }
}

/// Lua values <-> JSON.
///
/// A table with the positions 1...n and nothing else is an array, one with string keys an object (keys sorted). The empty
/// table is `{}` unless marked by `json.array`. `json.null` is null. Anything else is an `INVALID_RESULT` that names the path.
extension JSONValue {
  init(lua L: OpaquePointer, at index: Int32, name: String, limits: LuaJSONLimits = .init()) throws(Failure) {
    var reader = LuaJSONReader(L: L, limits: limits)
    self = try reader.value(lua_absindex(L, index), LuaPath(parent: nil, step: .root(name)), depth: 0)
  }

  /// Pushes the value as Lua data.
  func push(to L: OpaquePointer) {
    guard lua_checkstack(L, 6) != 0 else {
      lua_pushnil(L)
      return
    }
    switch self {
    case .null: lua_pushlightuserdata(L, nil)
    case .bool(let value): lua_pushboolean(L, value ? 1 : 0)
    case .int(let value): lua_pushinteger(L, value)
    case .double(let value): lua_pushnumber(L, value)
    case .string(let text): LuaValue.push(L, text)
    case .array(let items):
      lua_createtable(L, Int32(clamping: items.count), 0)
      for (i, item) in items.enumerated() {
        item.push(to: L)
        lua_rawseti(L, -2, lua_Integer(i + 1))
      }
      host_set_array_mark(L, -1)
    case .object(let members):
      lua_createtable(L, 0, Int32(clamping: members.count))
      for (key, value) in members {
        LuaValue.push(L, key)
        value.push(to: L)
        lua_rawset(L, -3)
      }
    }
  }
}

/// Where a value stands, as a linked list; made text only for messages.
private final class LuaPath {
  enum Step { case root(String), key(String), position(Int) }
  let parent: LuaPath?
  let step: Step
  init(parent: LuaPath?, step: Step) {
    self.parent = parent
    self.step = step
  }
  var text: String {
    switch step {
    case .root(let name): return name
    case .key(let key):
      let isName =
        !key.isEmpty
        && key.utf8.allSatisfy { $0 == 95 || (48...57).contains($0) || (65...90).contains($0) || (97...122).contains($0) }
      return (parent?.text ?? "") + (isName ? ".\(key)" : "[\"\(key.prefix(40))\"]")
    case .position(let n): return (parent?.text ?? "") + "[\(n)]"
    }
  }
}

private struct LuaJSONReader {
  let L: OpaquePointer
  let limits: LuaJSONLimits
  var count = 0
  var open: [UnsafeRawPointer] = []

  func failure(_ path: LuaPath, _ complaint: String) -> Failure {
    Failure(.invalidResult, "\(path.text) \(complaint)", details: ["field": .string(path.text)])
  }

  mutating func value(_ index: Int32, _ path: LuaPath, depth: Int) throws(Failure) -> JSONValue {
    count += 1
    guard count <= limits.values else { throw failure(path, "is beyond the limit of \(limits.values) values") }
    switch lua_type(L, index) {
    case LUA_TNIL, LUA_TLIGHTUSERDATA: return .null
    case LUA_TBOOLEAN: return .bool(lua_toboolean(L, index) != 0)
    case LUA_TNUMBER:
      if lua_isinteger(L, index) != 0 { return .int(lua_tointegerx(L, index, nil)) }
      let number = lua_tonumberx(L, index, nil)
      guard number.isFinite else {
        throw failure(path, "is \(number.isNaN ? "NaN" : number > 0 ? "infinity" : "-infinity"), which JSON cannot hold")
      }
      return .double(number)
    case LUA_TSTRING:
      guard let text = LuaValue.string(L, index) else { throw failure(path, "is a string that is not valid UTF-8") }
      return .string(text)
    case LUA_TTABLE: return try table(index, path, depth: depth + 1)
    default: throw failure(path, "is a \(LuaValue.typeName(L, index)), which JSON cannot hold")
    }
  }

  private mutating func table(_ index: Int32, _ path: LuaPath, depth: Int) throws(Failure) -> JSONValue {
    guard depth <= limits.depth else { throw failure(path, "is nested deeper than \(limits.depth)") }
    guard lua_checkstack(L, 8) != 0, let identity = lua_topointer(L, index) else { throw failure(path, "is nested too deeply") }
    guard !open.contains(identity) else { throw failure(path, "contains itself") }
    open.append(identity)
    let top = lua_gettop(L)
    defer {
      open.removeLast()
      lua_settop(L, top)
    }
    let marked = host_has_array_mark(L, index)
    let length = Int(lua_rawlen(L, index))
    if length > 0 || marked { return try array(index, length, path, depth) }
    var members: [(String, JSONValue)] = []
    lua_pushnil(L)
    while host_next(L, index) != 0 {
      let key = try self.key(path)
      members.append((key, try value(top + 2, LuaPath(parent: path, step: .key(key)), depth: depth)))
      lua_settop(L, top + 1)
    }
    members.sort { $0.0.utf8.lexicographicallyPrecedes($1.0.utf8) }
    var object = JSONObject()
    for (key, value) in members { object[key] = value }
    return .object(object)
  }

  /// The key at the top - 1 of a table without elements at 1...
  private func key(_ path: LuaPath) throws(Failure) -> String {
    switch lua_type(L, -2) {
    case LUA_TSTRING:
      guard let key = LuaValue.string(L, -2) else { throw failure(path, "has a key that is not valid UTF-8") }
      return key
    case LUA_TNUMBER:
      throw failure(path, "is a list with holes or not from 1 (it has the position \(LuaValue.describe(L, -2)) but not 1)")
    default: throw failure(path, "has a key of type \(LuaValue.typeName(L, -2)); keys are strings")
    }
  }

  private mutating func array(_ index: Int32, _ length: Int, _ path: LuaPath, _ depth: Int) throws(Failure) -> JSONValue {
    guard count + length <= limits.values else { throw failure(path, "is beyond the limit of \(limits.values) values") }
    var items: [JSONValue] = []
    items.reserveCapacity(length)
    let top = lua_gettop(L)
    for i in 1...max(1, length) where i <= length {
      if lua_rawgeti(L, index, lua_Integer(i)) == LUA_TNIL {
        throw failure(path, "is a list with a hole: position \(i) of \(length) is nil; use json.null")
      }
      items.append(try value(top + 1, LuaPath(parent: path, step: .position(i)), depth: depth))
      lua_settop(L, top)
    }
    // Nothing but 1...length may be there.
    lua_pushnil(L)
    while host_next(L, index) != 0 {
      host_pop(L, 1)
      if lua_isinteger(L, -1) != 0, (1...max(1, length)).contains(Int(lua_tointegerx(L, -1, nil))), length > 0 { continue }
      if lua_isinteger(L, -1) != 0 {
        throw failure(path, "is a list with holes: it has position \(LuaValue.describe(L, -1)) but ends at \(length)")
      }
      throw failure(path, "has both positions and the key '\(LuaValue.describe(L, -1))': it is neither a list nor an object")
    }
    return .array(items)
  }
}
