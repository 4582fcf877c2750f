import Core
import LuaHost

/// `json`: text <-> Lua data. The empty table is `{}`; `json.array {}` is `[]`; `json.null` is null.
enum LuaJSON {
  static let module = Module(
    "json", "JSON text and Lua data. An empty table is `{}`, `json.array {}` is `[]`, `json.null` is null.",
    [
      Fn(
        "encode", "fun(value: any, opts?: {pretty?: boolean}): string",
        "JSON text of a value. Cycles, holes, NaN, functions and invalid UTF-8 are errors that name the place."
      ) { call in
        let pretty = try call.options(2).boolean("pretty") ?? false
        return call.push(try call.json(1).text(pretty: pretty))
      },
      Fn("decode", "fun(text: string): any", "The value of JSON text. Errors give line and column.") { call in
        call.push(try call.withBytes(1) { try JSONValue(parsing: $0) })
      },
      Fn("array", "fun(list?: table): table", "Marks a table (or a new one) as a list, so that it is `[]` when empty.") {
        call in
        if call.isNil(1) {
          call.pushTable { _ in }
          call.markArray(-1)
          return 1
        }
        call.markArray(1)
        return call.pushArgument(1)
      },
    ], constants: [("null", .null, "JSON's null.")])
}
