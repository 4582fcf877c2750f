// Room LuaHost: Lua 5.4 for the other rooms. It knows no tensor, no frame and no file format.
//
// To give scripts a function, write a table of `Fn` rows and register it as a module:
//
//   enum LuaGreeting {
//     static let module = Module("greeting", "Says hello.", [
//       Fn("hello", "fun(name: string, opts?: {loud?: boolean}): string", "Greets one person.") { call in
//         let options = try call.options(2)
//         let text = "hello \(try call.string(1))"
//         return call.push(try options.boolean("loud") ?? false ? text.uppercased() : text)
//       },
//     ])
//   }
//
// A Swift class becomes a Lua type by conforming to `LuaObject`:
//
//   extension Counter: LuaObject {
//     static let luaType = ObjectType("Counter", "Counts.", [
//       Fn("add", "fun(self: Counter, n?: integer): Counter", "Adds n (default 1).") { call in
//         let counter = try call.object(1, as: Counter.self)
//         counter.value += try call.optionalInteger(2) ?? 1
//         return call.pushArgument(1)
//       },
//     ], metamethods: [
//       Fn("__len", "fun(self: Counter): integer", "The count.") { call in
//         call.push(try call.object(1, as: Counter.self).value)
//       },
//     ])
//     var luaBytes: Int { 0 }  // bytes behind the object that Lua cannot see
//   }
//   ... return try call.push(object: Counter())
//
// A body throws `Failure` (or any error); the script sees an error table {code, message, where} at its own line. Before
// the body runs, the number and the Lua types of the arguments were checked against the signature. docs/lua-binding.md
// has the rest: callbacks, JSON, services, LuaLib code on top of Swift types.
