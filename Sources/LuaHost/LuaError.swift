import CLuaHost
import Core

/// Error values: a `Failure` becomes an error table or a plain string; a Lua error value becomes a `Failure`.
enum LuaError {
  /// In the details of a failure that began as a Lua error: its place in the script, kept when it is thrown on.
  static let whereKey = "where"

  /// Pushes what the trampoline will raise.
  static func push(_ L: OpaquePointer, _ error: any Error) -> Int32 {
    let failure = Failure.wrapping(error)
    _ = lua_checkstack(L, 10)
    if failure.code == .plain {
      var text = failure.message
      if failure.place == nil {
        host_push_where(L)
        let place = LuaValue.string(L, -1) ?? ""
        host_pop(L, 1)
        if !place.isEmpty { text = "\(place): \(text)" }
      }
      LuaValue.push(L, text)
      return Int32(HOST_RAISE)
    }
    var code = failure.code.rawValue
    let wherever = failure.details[LuaError.whereKey]?.stringValue
    // A place in the user's data (a line of JSON, a page of a file) belongs to the message.
    var message = failure.place.map { wherever == nil ? "\(failure.message) (\($0))" : failure.message } ?? failure.message
    code.withUTF8 { code in
      message.withUTF8 { message in
        code.withMemoryRebound(to: CChar.self) { code in
          message.withMemoryRebound(to: CChar.self) { message in
            host_push_error(L, code.baseAddress, code.count, message.baseAddress, message.count)
          }
        }
      }
    }
    let table = lua_gettop(L)
    if let wherever {
      LuaValue.push(L, "where")
      LuaValue.push(L, wherever)
      lua_rawset(L, table)
    }
    for (name, value) in failure.details where name != LuaError.whereKey && name != "traceback" && name != "excerpt" {
      LuaValue.push(L, "details")
      if lua_rawget(L, table) != LUA_TTABLE {
        host_pop(L, 1)
        lua_createtable(L, 0, 2)
        LuaValue.push(L, "details")
        lua_pushvalue(L, -2)
        lua_rawset(L, table)
      }
      LuaValue.push(L, name)
      value.push(to: L)
      lua_rawset(L, -3)
      host_pop(L, 1)
    }
    return Int32(HOST_RAISE)
  }

  /// The error value on the stack top as a failure; pops it.
  static func take(_ L: OpaquePointer) -> Failure {
    _ = lua_checkstack(L, 10)
    let index = lua_gettop(L)
    defer { lua_settop(L, index - 1) }
    guard lua_type(L, index) == LUA_TTABLE else {
      if lua_type(L, index) == LUA_TNIL { return Failure(.scriptError, "the script raised nil as an error") }
      host_to_text(L)
      return place(of: LuaValue.repairedString(L, index) ?? "error")
    }
    func field(_ name: String) -> String? {
      LuaValue.push(L, name)
      lua_rawget(L, index)
      defer { host_pop(L, 1) }
      return LuaValue.repairedString(L, -1)
    }
    let code = field("code").flatMap(validCode)
    if let message = field("message") {
      let place = field("where").flatMap { $0.isEmpty ? nil : $0 }
      return Failure(code.map { Failure.Code($0) } ?? .scriptError, message, place: place, details: details(place))
    }
    let fields = LuaValue.fieldNames(L, index)
    if host_has_tostring(L, index) {
      host_to_text(L)
      return place(of: LuaValue.repairedString(L, index) ?? "error")
    }
    return Failure(
      code.map { Failure.Code($0) } ?? .scriptError,
      "the script raised a table without 'message'"
        + (fields.isEmpty ? "" : " (its fields: \(fields.prefix(8).joined(separator: ", ")))"))
  }

  private static func host_has_tostring(_ L: OpaquePointer, _ index: Int32) -> Bool {
    guard lua_getmetatable(L, index) != 0 else { return false }
    LuaValue.push(L, "__tostring")
    lua_rawget(L, -2)
    defer { host_pop(L, 2) }
    return lua_type(L, -1) != LUA_TNIL
  }

  /// Splits `file.lua:12: message` into place and message.
  private static func place(of text: String) -> Failure {
    if let (place, rest) = split(text) { return Failure(.scriptError, rest, place: place, details: details(place)) }
    return Failure(.scriptError, text)
  }

  private static func details(_ place: String?) -> [String: JSONValue] { place.map { [whereKey: .string($0)] } ?? [:] }

  static func split(_ text: String) -> (place: String, message: String)? {
    let bytes = Array(text.utf8.prefix(512))
    var i = 0
    while i < bytes.count, bytes[i] != 10 {
      if bytes[i] == UInt8(ascii: ":"), i > 0 {
        var j = i + 1
        while j < bytes.count, (48...57).contains(bytes[j]) { j += 1 }
        if j > i + 1, j + 1 < bytes.count, bytes[j] == UInt8(ascii: ":"), bytes[j + 1] == 32 {
          return (String(decoding: bytes[..<j], as: UTF8.self), String(text.utf8.dropFirst(j + 2)) ?? "")
        }
      }
      i += 1
    }
    return nil
  }

  /// Script codes are names in capitals, as the platform's are.
  private static func validCode(_ text: String) -> String? {
    let isCode =
      !text.isEmpty && text.utf8.count <= 64
      && text.utf8.allSatisfy { $0 == 95 || (48...57).contains($0) || (65...90).contains($0) }
    return isCode ? text : nil
  }
}
