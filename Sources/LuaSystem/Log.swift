import Core
import LuaHost

/// `log`: lines with a level. `LuaLib/log.lua` adds debug, info, warn and error, which format.
enum LuaLog {
  private static let levels = LogLevel.allCases.map(\.rawValue)

  static let module = Module(
    "log", "Lines in the task's log: `log.info(format, ...)`, and debug, warn, error.",
    [
      Fn("write", "fun(level: string, message: string)", "One line as it is; `log.info` and its relatives format.") { call in
        let name = try call.string(1)
        guard let level = LogLevel(rawValue: name) else { throw call.bad(1, nearNames(name, known: levels, what: "levels")) }
        try call.service(TaskContext.self).log(
          level: level, message: try call.withBytes(2) { String(decoding: $0, as: UTF8.self) })
        return 0
      }
    ])
}
