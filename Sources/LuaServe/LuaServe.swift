package import LuaHost

/// The Lua module `http`: services written in scripts. `LuaLib/http.lua` adds `batcher`, `response` and `server:wait()`.
package enum LuaServe {
  package static let module = Module(
    "http", "HTTP services: routes with declared bodies, static files, batches of concurrent requests.",
    [LuaApp.open] + LuaShape.functions, types: [LuaApp.luaType, LuaServer.luaType, LuaShape.luaType])
  /// What only `LuaLib/http.lua` may require.
  package static let internals = LuaServer.internals
}
