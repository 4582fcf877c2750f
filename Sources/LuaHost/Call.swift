import CLuaHost
package import Core

extension Failure.Code {
  /// Shown to scripts as a plain string with position, as Lua's own argument errors are.
  package static let plain = Failure.Code("LUA_ERROR")
}

/// The arguments and results of one call from Lua, valid only while the function runs. Not copyable, so that it cannot be
/// kept. Index 1 is the first argument.
///
/// Nothing here jumps: functions of the Lua API that may raise are not called from Swift (house rule; docs/lua-binding.md).
package struct Call: ~Copyable {
  let L: OpaquePointer
  let base: Int32
  let fn: Fn?

  init(_ L: OpaquePointer, base: Int32 = 0, fn: Fn? = nil) {
    self.L = L
    self.base = base
    self.fn = fn
  }

  /// The number of arguments given.
  package var count: Int32 { lua_gettop(L) - base }

  /// The state this call runs in.
  package var state: State { State.of(L) }

  /// A service that the state was given by `State.provide`.
  package func service<T>(_ type: T.Type) throws(Failure) -> T { try state.service(type) }

  @inline(__always) func at(_ index: Int32) -> Int32 { index > 0 ? index + base : index }

  package func isNil(_ index: Int32) -> Bool { lua_type(L, at(index)) <= LUA_TNIL }
  package func isNumber(_ index: Int32) -> Bool { lua_type(L, at(index)) == LUA_TNUMBER }
  /// A number of Lua's float subtype: 1.0 is one, 1 is none.
  package func isFloat(_ index: Int32) -> Bool { isNumber(index) && lua_isinteger(L, at(index)) == 0 }
  package func isString(_ index: Int32) -> Bool { lua_type(L, at(index)) == LUA_TSTRING }
  package func isBoolean(_ index: Int32) -> Bool { lua_type(L, at(index)) == LUA_TBOOLEAN }
  package func isTable(_ index: Int32) -> Bool { lua_type(L, at(index)) == LUA_TTABLE }
  package func isFunction(_ index: Int32) -> Bool { lua_type(L, at(index)) == LUA_TFUNCTION }
  package func isObject(_ index: Int32) -> Bool { lua_type(L, at(index)) == LUA_TUSERDATA }
  package func isNull(_ index: Int32) -> Bool { lua_type(L, at(index)) == LUA_TLIGHTUSERDATA }
  /// True for a number with an integral value that fits 64 bits.
  package func isInteger(_ index: Int32) -> Bool {
    var isInteger: Int32 = 0
    guard lua_type(L, at(index)) == LUA_TNUMBER else { return false }
    _ = lua_tointegerx(L, at(index), &isInteger)
    return isInteger != 0
  }

  /// The type name of an argument for messages: `number`, `Tensor`, `no value`.
  package func typeName(_ index: Int32) -> String { LuaValue.typeName(L, at(index)) }

  /// A short text of any value for messages: strings quoted not at all, numbers as written, else the type name.
  package func describe(_ index: Int32) -> String { LuaValue.describe(L, at(index)) }

  /// An error that names the argument: `bad argument #1 'x' to 'add' (complaint)`.
  package func bad(_ index: Int32, _ complaint: String) -> Failure {
    guard let fn else { return Failure(.plain, "bad value #\(index) (\(complaint))") }
    return Failure(.plain, fn.argumentMessage(index, complaint))
  }

  func wrongType(_ index: Int32, _ expected: String) -> Failure { bad(index, "\(expected) expected, got \(typeName(index))") }

  // MARK: Arguments

  package func number(_ index: Int32) throws(Failure) -> Double {
    guard lua_type(L, at(index)) == LUA_TNUMBER else { throw wrongType(index, "number") }
    return lua_tonumberx(L, at(index), nil)
  }

  package func integer(_ index: Int32) throws(Failure) -> Int {
    guard lua_type(L, at(index)) == LUA_TNUMBER else { throw wrongType(index, "integer") }
    var isInteger: Int32 = 0
    let value = lua_tointegerx(L, at(index), &isInteger)
    guard isInteger != 0 else { throw bad(index, "integer expected, got \(describe(index))") }
    return Int(value)
  }

  /// An integer in `range`, named in the complaint: `'port' must be 0 to 65535, got 70000`.
  package func integer(_ index: Int32, in range: ClosedRange<Int>) throws(Failure) -> Int {
    let value = try integer(index)
    guard range.contains(value) else {
      throw bad(index, "\(range.lowerBound) to \(range.upperBound) expected, got \(value)")
    }
    return value
  }

  package func boolean(_ index: Int32) throws(Failure) -> Bool {
    guard lua_type(L, at(index)) == LUA_TBOOLEAN else { throw wrongType(index, "boolean") }
    return lua_toboolean(L, at(index)) != 0
  }

  /// A string that is valid UTF-8.
  package func string(_ index: Int32) throws(Failure) -> String {
    guard lua_type(L, at(index)) == LUA_TSTRING else { throw wrongType(index, "string") }
    guard let text = LuaValue.string(L, at(index)) else { throw bad(index, "the string is not valid UTF-8") }
    return text
  }

  /// The bytes of a string argument. The pointer is good as long as the argument is on the stack: until the function
  /// returns, unless it is replaced.
  package func withBytes<R>(_ index: Int32, _ body: (UnsafeRawBufferPointer) throws -> R) throws -> R {
    var count = 0
    guard let pointer = host_string(L, at(index), &count) else { throw wrongType(index, "string") }
    return try body(UnsafeRawBufferPointer(start: pointer, count: count))
  }

  package func bytes(_ index: Int32) throws -> [UInt8] { try withBytes(index) { Array($0) } }

  package func optionalNumber(_ index: Int32) throws(Failure) -> Double? { isNil(index) ? nil : try number(index) }
  package func optionalInteger(_ index: Int32) throws(Failure) -> Int? { isNil(index) ? nil : try integer(index) }
  package func optionalBoolean(_ index: Int32) throws(Failure) -> Bool? { isNil(index) ? nil : try boolean(index) }
  package func optionalString(_ index: Int32) throws(Failure) -> String? { isNil(index) ? nil : try string(index) }

  /// A Swift object.
  package func object<T: LuaObject>(_ index: Int32, as type: T.Type) throws(Failure) -> T {
    var isObject = false
    if let node = host_node_at(L, at(index), &isObject) {
      let object = Unmanaged<AnyObject>.fromOpaque(node.pointee.object).takeUnretainedValue()
      if node.pointee.kind == LuaValue.kind(of: type) { return unsafeDowncast(object, to: T.self) }
      if let object = object as? T { return object }
      throw wrongType(index, T.luaType.name)
    }
    if isObject, LuaValue.typeName(L, at(index)) == T.luaType.name { throw bad(index, "the \(T.luaType.name) was released") }
    throw wrongType(index, T.luaType.name)
  }

  /// A Swift object, or nil when the argument is absent.
  package func optionalObject<T: LuaObject>(_ index: Int32, as type: T.Type) throws(Failure) -> T? {
    isNil(index) ? nil : try object(index, as: type)
  }

  /// A Swift object when the argument is one of this class, else nil; for functions that take several kinds.
  package func objectIfPresent<T: LuaObject>(_ index: Int32, as type: T.Type) -> T? {
    var isObject = false
    guard let node = host_node_at(L, at(index), &isObject) else { return nil }
    let object = Unmanaged<AnyObject>.fromOpaque(node.pointee.object).takeUnretainedValue()
    return node.pointee.kind == LuaValue.kind(of: type) ? unsafeDowncast(object, to: T.self) : object as? T
  }

  /// Tells the collector that an object now stands for another number of bytes.
  package func setBytes(_ index: Int32, _ bytes: Int) {
    var isObject = false
    if let node = host_node_at(L, at(index), &isObject) { host_set_bytes(L, node, max(0, bytes)) }
  }

  /// The numbers of a list.
  package func numbers(_ index: Int32) throws(Failure) -> [Double] {
    guard lua_type(L, at(index)) == LUA_TTABLE else { throw wrongType(index, "list of numbers") }
    let count = Int(lua_rawlen(L, at(index)))
    var bad = 0
    let values = [Double](unsafeUninitializedCapacity: count) { buffer, filled in
      if let start = buffer.baseAddress { bad = Int(host_read_numbers(L, at(index), start, count)) }
      filled = bad == 0 ? count : bad - 1
    }
    guard bad == 0 else {
      lua_rawgeti(L, at(index), lua_Integer(bad))
      let found = typeName(-1)
      host_pop(L, 1)
      throw self.bad(index, "element \(bad) must be a number, got \(found)")
    }
    return values
  }

  /// The integers of a list, all 64 bits; nil when an element is none. `strict`: 1.0 is none either.
  package func exactIntegers(_ index: Int32, strict: Bool = false) -> [Int64]? {
    guard lua_type(L, at(index)) == LUA_TTABLE else { return nil }
    let count = Int(lua_rawlen(L, at(index)))
    var bad = 0
    let values = [Int64](unsafeUninitializedCapacity: count) { buffer, filled in
      if let start = buffer.baseAddress { bad = Int(host_read_integers(L, at(index), start, count, strict ? 1 : 0)) }
      filled = bad == 0 ? count : bad - 1
    }
    return bad == 0 ? values : nil
  }

  /// The integers of a list.
  package func integers(_ index: Int32) throws(Failure) -> [Int] {
    let values = try numbers(index)
    var result: [Int] = []
    result.reserveCapacity(values.count)
    for (i, value) in values.enumerated() {
      guard let integer = Int(exactly: value) else { throw bad(index, "element \(i + 1) must be an integer, got \(value)") }
      result.append(integer)
    }
    return result
  }

  /// Integers given one by one from `index` on (`zeros(2, 3)`) or as one list (`zeros {2, 3}`).
  package func integersOrList(from index: Int32) throws(Failure) -> [Int] {
    if isTable(index) { return try integers(index) }
    var result: [Int] = []
    for i in stride(from: index, through: max(index, count), by: 1) { result.append(try integer(i)) }
    return result
  }

  /// The strings of a list.
  package func strings(_ index: Int32) throws(Failure) -> [String] {
    guard lua_type(L, at(index)) == LUA_TTABLE else { throw wrongType(index, "list of strings") }
    var result: [String] = []
    for i in 0..<Int(lua_rawlen(L, at(index))) {
      let type = lua_rawgeti(L, at(index), lua_Integer(i + 1))
      let text = type == LUA_TSTRING ? LuaValue.string(L, -1) : nil
      let found = typeName(-1)
      host_pop(L, 1)
      guard let text else { throw bad(index, "element \(i + 1) must be a string, got \(found)") }
      result.append(text)
    }
    return result
  }

  /// Strings given one by one from `index` on, or as one list.
  package func stringsOrList(from index: Int32) throws(Failure) -> [String] {
    if isTable(index) { return try strings(index) }
    var result: [String] = []
    for i in stride(from: index, through: max(index, count), by: 1) { result.append(try string(i)) }
    return result
  }

  /// The length of a list or string by raw access.
  package func length(_ index: Int32) -> Int { Int(lua_rawlen(L, at(index))) }

  /// A callable value, kept alive until the result is dropped.
  package func function(_ index: Int32) throws(Failure) -> LuaFunction {
    guard lua_type(L, at(index)) == LUA_TFUNCTION else { throw wrongType(index, "function") }
    return LuaFunction(L, at(index))
  }
  package func optionalFunction(_ index: Int32) throws(Failure) -> LuaFunction? { isNil(index) ? nil : try function(index) }

  /// Any value, kept alive until the result is dropped; push it again with `push(reference:)`.
  package func reference(_ index: Int32) -> LuaFunction { LuaFunction(L, at(index)) }

  /// A value as JSON: `name` begins the path in messages (`result.metrics[3] is a function`).
  package func json(_ index: Int32, name: String? = nil, limits: LuaJSONLimits = .init()) throws(Failure) -> JSONValue {
    let root =
      name ?? fn.flatMap { Int(index) <= $0.signature.parameters.count ? $0.signature.parameters[Int(index) - 1].name : nil }
    return try JSONValue(lua: L, at: at(index), name: root ?? "value", limits: limits)
  }

  /// The options in table argument `index` (an absent table has no options). Names that the signature's inline table type
  /// does not list are errors.
  package func options(_ index: Int32) throws(Failure) -> Options {
    guard let fn, Int(index) <= fn.signature.parameters.count,
      let fields = fn.signature.parameters[Int(index) - 1].fields
    else { throw Failure(.internalError, "\(fn?.name ?? "?") declares no options for argument \(index)") }
    return try options(index, known: fields.map(\.name))
  }

  /// The options in table argument `index`, of which only `known` may be given.
  package func options(_ index: Int32, known: [String]) throws(Failure) -> Options {
    try Options(L, isNil(index) ? 0 : lua_absindex(L, at(index)), function: fn?.name ?? "callback", known: known)
  }

  /// String keys of a table or of the table behind a metatable-free value, sorted; for messages.
  package func fieldNames(_ index: Int32) -> [String] { LuaValue.fieldNames(L, at(index)) }

  /// Calls `body` for every pair of a table, with the key at -2 and the value at -1. The table must not be changed.
  package func forEachPair(_ index: Int32, _ body: () throws -> Void) throws {
    guard isTable(index), lua_checkstack(L, 8) != 0 else { throw wrongType(index, "table") }
    let table = lua_absindex(L, at(index))
    lua_pushnil(L)
    let top = lua_gettop(L)
    while host_next(L, table) != 0 {
      do { try body() } catch {
        lua_settop(L, top - 1)
        throw error
      }
      lua_settop(L, top)
    }
  }

  /// Calls `body` for every element of a list with its 1-based position; the element is at -1.
  package func forEachElement(_ index: Int32, _ body: (Int) throws -> Void) throws {
    guard isTable(index), lua_checkstack(L, 8) != 0 else { throw wrongType(index, "list") }
    let table = lua_absindex(L, at(index))
    let top = lua_gettop(L)
    for i in 0..<Int(lua_rawlen(L, table)) {
      lua_rawgeti(L, table, lua_Integer(i + 1))
      do { try body(i + 1) } catch {
        lua_settop(L, top)
        throw error
      }
      lua_settop(L, top)
    }
  }

  /// Reads field `name` of table `index` by raw access: `body` sees the value at -1 (nil when absent).
  package func withField<R>(_ index: Int32, _ name: String, _ body: () throws -> R) throws -> R {
    guard isTable(index) else { throw wrongType(index, "table") }
    let table = lua_absindex(L, at(index))
    let top = lua_gettop(L)
    defer { lua_settop(L, top) }
    LuaValue.push(L, name)
    lua_rawget(L, table)
    return try body()
  }
}
