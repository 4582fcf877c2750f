package import Core
import LuaHost
package import LuaSystem
import LuaTensor

extension Failure.Code {
  package static let resultTooLarge = Failure.Code("RESULT_TOO_LARGE")
}

/// Runs one job in this process.
package struct ScriptRunner {
  /// A result is kept in the task store and sent with every answer about the task.
  package static let resultLimitBytes = 8 << 20

  private let job: ScriptJob
  private let events: any TaskEvents

  package init(_ job: ScriptJob, events: any TaskEvents) {
    self.job = job
    self.events = events
  }

  /// The table that `run` returned. `Cancellation.request()` from any thread stops the script.
  /// - Throws: `INVALID_SCRIPT`, `INVALID_PARAMS`, `INVALID_RESULT`, `TIMEOUT`, `CANCELLED`, `MEMORY_LIMIT`, `SCRIPT_ERROR`,
  ///   or the code of the error table that the script raised; `details` hold script, line, excerpt and traceback.
  package func run() throws(Failure) -> JSONValue {
    let text = try source()
    let environment = try ScriptEnvironment(job, events: events)
    environment.context.facts = [
      "script": .string(job.shownScript), "script_sha256": .string(sha256(text)), "input": .string(job.input),
      "output": .string(job.output),
    ]
    let state = environment.state
    defer {
      environment.context.flush()
      state.close()
    }
    do {
      return try state.watched(timeLimitSeconds: job.wallLimitSeconds) { () throws(Failure) -> JSONValue in
        let (run, schema) = try entry(state, text)
        let params = try schema?.apply(to: job.params) ?? job.params
        var own = params
        let most = Parallel.threads
        defer { if Parallel.threads != most { Parallel.setThreads(most) } }
        if schema?.takesThreads == true {
          if let fewer = params["threads"]?.intValue, fewer < most { Parallel.setThreads(Int(clamping: fewer)) }
          own["threads"] = nil
        }
        environment.context.facts["params"] = .object(own)
        let result = try state.run(
          run, results: 1,
          arguments: { call in
            call.push(job.input)
            call.push(job.output)
            return call.push(.object(params)) + 2
          },
          read: { call in
            guard call.isTable(1) else {
              throw Failure(.invalidResult, "run must return a table, got \(call.describe(1))", place: job.shownScript)
            }
            let result = try call.json(1, name: "result")
            let size = result.utf8().count
            guard size <= ScriptRunner.resultLimitBytes else {
              throw Failure(
                .resultTooLarge,
                "the result has \(size) bytes as JSON, more than \(ScriptRunner.resultLimitBytes); write large data to 'output'"
              )
            }
            return result.arrayValue?.isEmpty == true ? .object([:]) : result
          })
        do throws(Failure) { try environment.checkpoints.runHasEndedWell() } catch {
          events.log(level: .warn, message: "the checkpoints of this run could not be removed: \(error.message)")
        }
        return result
      }
    } catch {
      // A script may catch neither of these: what it raised afterwards is not the reason.
      var failure = error
      if failure.code == Failure.Code("LUA_ERROR") { failure.code = .scriptError }
      throw failure
    }
  }

  private func source() throws(Failure) -> String {
    let bytes: [UInt8]
    do throws(Failure) {
      bytes = try ConfinedPaths(roots: [job.scriptRoot], base: job.scriptRoot).read(job.script, limitBytes: 16 << 20)
    } catch {
      throw Failure(
        error.code == .pathNotAllowed ? error.code : .invalidScript, "script '\(job.shownScript)': \(error.message)")
    }
    guard let text = String(validating: bytes, as: UTF8.self) else {
      throw Failure(.invalidScript, "script '\(job.shownScript)' is not UTF-8 text; scripts are Lua source")
    }
    return text
  }

  /// `run` and the schema: fields of the table that the file returns, else globals.
  private func entry(_ state: State, _ text: String) throws(Failure) -> (LuaFunction, ParameterSchema?) {
    let chunk = try state.load(text, name: job.shownScript)
    let returned = try state.defining { () throws(Failure) in try state.run(chunk, results: 1, read: { $0.reference(1) }) }
    let pick = try state.load(ScriptRunner.pick, name: "script runner", trusted: true)
    let shown = job.shownScript
    return try state.run(
      pick, results: 2, arguments: { $0.push(reference: returned) },
      read: { call in
        guard call.isFunction(1) else {
          throw Failure(
            .invalidScript,
            "the script defines no function run(input, output, params), neither as a global nor in the table it returns",
            place: shown)
        }
        let schema = call.isNil(2) ? nil : try ParameterSchema(try call.json(2, name: "params"), script: shown)
        return (try call.function(1), schema)
      })
  }

  private static let pick = """
    local module = ...
    local function find(name)
      if type(module) == "table" then
        local value = module[name]
        if value ~= nil then return value end
      end
      return rawget(_G, name)
    end
    return find "run", find "params"
    """
}
