import Core
package import LuaHost

/// `require "task"`: this run. `LuaLib/task.lua` adds the formatting of log lines.
package enum LuaTask {
  package static let module = Module(
    "task", "This run of the script: progress, metrics, log lines, readiness, cancellation.",
    [
      Fn(
        "progress", "fun(done: number, total?: number, phase?: string)",
        "Reports `done` of `total` units of work; cheap, may be called for every step."
      ) { call in
        let (done, total) = (try call.number(1), try call.optionalNumber(2))
        guard done.isFinite, done >= 0 else { throw call.bad(1, "a number of units from 0 expected, got \(call.describe(1))") }
        if let total, !total.isFinite || total < 0 {
          throw call.bad(2, "a number of units from 0 expected, got \(call.describe(2))")
        }
        try call.service(TaskContext.self).progress(done: done, total: total, phase: try call.optionalString(3))
        return 0
      },
      Fn(
        "metric", "fun(name: string, value: number, step?: integer)",
        "Adds a point to the curve `name`; the page draws it, a saved model keeps it."
      ) {
        call in
        let name = try call.string(1)
        guard !name.isEmpty, name.utf8.count <= 200 else { throw call.bad(1, "a name of 1 to 200 bytes expected") }
        try call.service(TaskContext.self).metric(name: name, value: try call.number(2), step: try call.optionalInteger(3))
        return 0
      },
      Fn(
        "write_log", "fun(level: string, message: string)",
        "Writes one log line of level debug, info, warn or error; `task.log` formats for you."
      ) {
        call in
        guard let level = LogLevel(rawValue: try call.string(1)) else {
          throw call.bad(1, "debug, info, warn or error expected, got \(call.describe(1))")
        }
        try call.service(TaskContext.self).log(
          level: level, message: try call.withBytes(2) { String(decoding: $0, as: UTF8.self) })
        return 0
      },
      Fn(
        "ready", "fun(service: {url: string})",
        "Says that this task serves at `url`: it gives its slot to the next task and shows the address."
      ) {
        call in
        guard let url = try call.options(1).string("url") else { throw call.bad(1, "url is missing") }
        try call.service(TaskContext.self).events.ready(url: url)
        return 0
      },
      Fn("cancelled", "fun(): boolean", "True once this task was asked to stop; long loops of your own may look at it.") {
        call in
        call.push(Cancellation.isRequested)
      },
      Fn(
        "info", "fun(): table",
        "The task: id, name, attempt, started_at (RFC 3339), script, script_sha256, input, output, params, threads."
      ) {
        call in
        let context = try call.service(TaskContext.self)
        var info: JSONObject = [
          "id": .string(context.id), "name": .string(context.name), "attempt": .int(Int64(context.attempt)),
          "started_at": .string(context.startedAt.description),
        ]
        for (name, value) in context.facts { info[name] = value }
        info["threads"] = .int(Int64(Parallel.threads))
        return call.push(JSONValue.object(info))
      },
      Fn(
        "points", "fun(): table[]",
        "The metric points so far: { name, value, step }, oldest first; a saved model keeps them as its curves."
      ) {
        call in
        let points = try call.service(TaskContext.self).points
        return call.push(
          JSONValue.array(
            points.map { point in
              var one: JSONObject = ["name": .string(point.name), "value": .double(point.value)]
              if let step = point.step { one["step"] = .int(Int64(step)) }
              return .object(one)
            }))
      },
    ])
}
