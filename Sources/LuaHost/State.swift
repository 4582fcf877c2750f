import CLuaHost
package import Core

#if canImport(Glibc)
  import Glibc
#elseif canImport(Darwin)
  import Darwin
#endif

/// One Lua interpreter with the sandbox in place. It belongs to one thread for life and is not Sendable.
package final class State {
  /// What a state is opened with.
  package struct Configuration {
    /// Most bytes of Lua's own memory; 0 = no limit.
    package var memoryLimitBytes = 0
    /// Most bytes behind objects (tensors, frames); 0 = no limit of this state.
    package var externalLimitBytes = 0
    /// What `require` finds, besides LuaLib and the script's own files.
    package var modules: [ModuleEntry] = []
    /// The folder LuaLib.
    package var libraryRoot: String?
    /// The folder below which the script's own modules are.
    package var scriptRoot: String?
    /// Gets the text of `print` and of `task.log`.
    package var print: (String) -> Void = { _ in }
    package init() {}
  }

  package let configuration: Configuration
  private(set) var account: UnsafeMutablePointer<host_account>?
  private var services: [ObjectIdentifier: Any] = [:]
  private var kept: [ObjectIdentifier: AnyObject] = [:]
  private var dropped: [Int32] = []
  /// Source text by chunk name, for excerpts.
  var sources: [String: String] = [:]
  let modules: [String: ModuleEntry]
  var opened: [String: Module] = [:]
  /// Types by name that were opened with their modules, for LuaLib's `extend`.
  var types: [String: ObjectType] = [:]

  /// - Throws: `MEMORY_LIMIT` when not even an empty state fits.
  package init(_ configuration: Configuration = Configuration()) throws(Failure) {
    self.configuration = configuration
    modules = Dictionary(configuration.modules.map { ($0.name, $0) }, uniquingKeysWith: { first, _ in first })
    guard let account = host_open(callbacks, nil, 0) else {
      throw Failure(.memoryLimit, "out of memory: the Lua state could not be opened")
    }
    self.account = account
    account.pointee.state = Unmanaged.passUnretained(self).toOpaque()
    openPlatform(account.pointee.main)
    account.pointee.limit = max(0, configuration.memoryLimitBytes)
    account.pointee.external_hard = max(0, configuration.externalLimitBytes)
    if configuration.externalLimitBytes > 0 {
      account.pointee.external_soft = min(account.pointee.external_soft, configuration.externalLimitBytes / 4)
    }
  }

  deinit { close() }

  /// Ends the state: finalizers run, objects that scripts still held are released. Safe to call twice.
  package func close() {
    guard let account else { return }
    self.account = nil
    isClosing = true
    host_close(account)
  }
  private var isClosing = false

  static func of(_ L: OpaquePointer) -> State {
    Unmanaged<State>.fromOpaque(host_account_of(L).pointee.state).takeUnretainedValue()
  }

  var main: OpaquePointer {
    guard let account, let main = account.pointee.main else { preconditionFailure("the Lua state was closed") }
    return main
  }

  /// Bytes of Lua memory held now.
  package var usedBytes: Int { account.map { Int($0.pointee.used) } ?? 0 }
  /// The most bytes of Lua memory ever held.
  package var peakBytes: Int { account.map { Int($0.pointee.peak) } ?? 0 }
  /// Bytes behind live objects.
  package var externalBytes: Int { account.map { Int($0.pointee.external) } ?? 0 }
  /// Swift objects that scripts hold.
  package var objectCount: Int { account.map { $0.pointee.node_count } ?? 0 }
  /// Changes the limit of Lua's own memory; 0 = none.
  package func setMemoryLimit(bytes: Int) { account?.pointee.limit = max(0, bytes) }
  /// A full collection.
  package func collect() { if account != nil { host_collect(main) } }

  // MARK: Services

  /// Gives functions of this state access to `service` by its type.
  package func provide<T>(_ service: T, as type: T.Type = T.self) { services[ObjectIdentifier(type)] = service }

  /// - Throws: `UNSUPPORTED` when this state was opened without it.
  package func service<T>(_ type: T.Type) throws(Failure) -> T {
    guard let service = services[ObjectIdentifier(type)] as? T else {
      throw Failure(.unsupported, "not available here: this Lua state was opened without \(type)")
    }
    return service
  }

  func keep(_ object: AnyObject) { kept[ObjectIdentifier(object)] = object }

  func drop(reference: Int32) {
    guard !isClosing, let account else { return }
    dropped.append(reference)
    account.pointee.pending = true
  }

  /// No Swift frame above: references dropped meanwhile may go.
  func idle() {
    guard let account else { return }
    account.pointee.pending = false
    let references = dropped
    dropped.removeAll(keepingCapacity: true)
    for reference in references { luaL_unref(account.pointee.main, host_registry_index, reference) }
  }

  // MARK: Running

  /// Loads Lua text as a function. `name` is shown in messages (`mnist/clean.lua`).
  /// - Throws: `INVALID_SCRIPT` with the place of a syntax error.
  package func load(_ text: String, name: String, trusted: Bool = false) throws(Failure) -> LuaFunction {
    let L = main
    var copy = text
    let status = copy.withUTF8 { utf8 in
      utf8.withMemoryRebound(to: CChar.self) { host_load(L, $0.baseAddress, $0.count, "@" + name, trusted) }
    }
    sources[name] = text
    guard status == LUA_OK else {
      var failure = LuaError.take(L)
      if status == LUA_ERRMEM { throw Failure(.memoryLimit, "not enough memory to load \(name)") }
      failure = Failure(.invalidScript, failure.message, place: failure.place)
      throw located(failure, source: nil, line: -1, traceback: nil)
    }
    defer { host_pop(L, 1) }
    return LuaFunction(L, -1)
  }

  /// Calls a function as the outermost call: failures carry `script`, `line`, `excerpt` and `traceback` in their details.
  package func run<R>(
    _ function: LuaFunction, results count: Int32 = 0, arguments: (borrowing Call) throws -> Int32 = { _ in 0 },
    read: (borrowing Call) throws -> R
  ) throws(Failure) -> R {
    try invoke(
      main, report: true, results: count,
      push: { call in
        function.push(call.L)
        return try arguments(Call(call.L, base: lua_gettop(call.L)))
      }, read: read)
  }

  /// Lets main chunks declare globals while `body` runs.
  package func defining<R>(_ body: () throws(Failure) -> R) throws(Failure) -> R {
    account?.pointee.defining += 1
    defer { account?.pointee.defining -= 1 }
    return try body()
  }

  /// Reads with a view of the state's stack outside any call, for example globals.
  package func withCall<R>(_ body: (borrowing Call) throws -> R) rethrows -> R {
    let L = main
    let top = lua_gettop(L)
    defer { lua_settop(L, top) }
    return try body(Call(L, base: top))
  }

  func invoke<R>(
    _ L: OpaquePointer, report: Bool, results: Int32, push: (borrowing Call) throws -> Int32,
    read: (borrowing Call) throws -> R
  ) throws(Failure) -> R {
    guard account != nil else { throw Failure(.internalError, "the Lua state was closed") }
    guard lua_checkstack(L, 24) != 0 else { throw Failure(.plain, "stack overflow") }
    let top = lua_gettop(L)
    defer { lua_settop(L, top) }
    do {
      let arguments = try push(Call(L, base: top))
      let status = host_pcall(L, arguments, results, report)
      if account?.pointee.pending == true { idle() }
      guard status == LUA_OK else { throw failure(L, report: report) }
      return try read(Call(L, base: top))
    } catch {
      throw Failure.wrapping(error)
    }
  }

  /// The error on the stack top, with place and traceback when it is the outermost one.
  private func failure(_ L: OpaquePointer, report: Bool) -> Failure {
    var failure = LuaError.take(L)
    switch account.map({ host_stop_reason($0) }) ?? 0 {
    case Int32(HOST_STOP_CANCELLED): failure = Failure(.cancelled, "cancelled", place: failure.place)
    case Int32(HOST_STOP_TIMEOUT):
      failure = Failure(.timeout, stopMessage ?? "the time limit was reached", place: failure.place)
    default: break
    }
    guard report else { return failure }
    let line = host_push_report(L)
    guard line != -1 || lua_type(L, -1) == LUA_TSTRING else { return located(failure, source: nil, line: -1, traceback: nil) }
    return located(
      failure, source: LuaValue.repairedString(L, -2), line: Int(line), traceback: LuaValue.repairedString(L, -1))
  }

  /// Text of the `TIMEOUT` failure, set by the watchdog's owner.
  package var stopMessage: String?
}

/// The process-wide table of functions that C calls.
private nonisolated(unsafe) let callbacks: UnsafePointer<host_callbacks> = {
  let table = UnsafeMutablePointer<host_callbacks>.allocate(capacity: 1)
  table.initialize(
    to: host_callbacks(
      call: { L, swift in
        guard let L, let swift else { return 0 }
        let fn = Unmanaged<Fn>.fromOpaque(swift).takeUnretainedValue()
        do { return try fn.body(Call(L, fn: fn)) } catch { return LuaError.push(L, error) }
      },
      fault: { L, swift, argument in
        guard let L, let swift else { return 0 }
        let fn = Unmanaged<Fn>.fromOpaque(swift).takeUnretainedValue()
        return LuaError.push(L, Call(L, fn: fn).fault(argument))
      },
      release: { object in if let object { Unmanaged<AnyObject>.fromOpaque(object).release() } },
      print: { state, text, count in
        guard let state else { return }
        let bytes = UnsafeRawBufferPointer(start: text, count: count)
        Unmanaged<State>.fromOpaque(state).takeUnretainedValue().configuration.print(String(decoding: bytes, as: UTF8.self))
      },
      idle: { state in if let state { Unmanaged<State>.fromOpaque(state).takeUnretainedValue().idle() } }))
  return UnsafePointer(table)
}()

extension Call {
  /// The error for an argument that the trampoline refused.
  fileprivate func fault(_ argument: Int32) -> Failure {
    guard let fn else { return Failure(.plain, "bad argument") }
    let parameters = fn.signature.parameters
    if argument == Int32(HOST_FAULT_TOO_MANY) {
      let hidden = fn.signature.isMethod ? 1 : 0
      return Failure(
        .plain, "too many arguments to \(fn.shownName) (at most \(parameters.count - hidden), got \(Int(count) - hidden))")
    }
    return wrongType(argument, Int(argument) <= parameters.count ? parameters[Int(argument) - 1].type : "nothing")
  }
}
