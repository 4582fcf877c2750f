import CLuaHost
package import Core

/// A Lua value (mostly a function) that Swift keeps: a reference in the state's registry, dropped with the last copy.
///
/// It belongs to the state's thread. An object that holds one which in turn captures that object is a cycle the collector
/// cannot see; it ends when the state closes.
package final class LuaFunction {
  private let owner: State
  private let reference: Int32

  init(_ L: OpaquePointer, _ index: Int32) {
    owner = State.of(L)
    lua_pushvalue(L, index)
    reference = luaL_ref(L, host_registry_index)
  }

  // The last copy may go in a finalizer, where the state must not be touched: the drop waits for the next safe moment.
  deinit { owner.drop(reference: reference) }

  func push(_ L: OpaquePointer) { lua_rawgeti(L, host_registry_index, lua_Integer(reference)) }

  /// Calls the function: `arguments` pushes them and returns how many, `results` reads `count` of them (from index 1).
  ///
  /// An error inside comes back as `Failure` with its code, message and place. Throw it on and the script's caller sees it.
  package func call<R>(
    _ caller: borrowing Call, results count: Int32 = 0, arguments: (borrowing Call) throws -> Int32 = { _ in 0 },
    read: (borrowing Call) throws -> R
  ) throws(Failure) -> R {
    try owner.invoke(
      caller.L, report: false, results: count,
      push: { call in
        push(call.L)
        return try arguments(Call(call.L, base: lua_gettop(call.L)))
      }, read: read)
  }

  /// Calls the function and drops its results.
  package func call(_ caller: borrowing Call, arguments: (borrowing Call) throws -> Int32 = { _ in 0 }) throws(Failure) {
    try call(caller, results: 0, arguments: arguments, read: { _ in () })
  }
}
