package import Core
package import Lake
package import LuaHost
package import LuaSystem
import LuaTensor

/// A Lua state with every module and service in place, for a job, the REPL or a test.
package final class ScriptEnvironment {
  package let state: State
  package let context: TaskContext
  package let lake: DataLake
  let checkpoints: CheckpointPlace

  /// All modules that scripts may require, built; for help and reference pages.
  package var modules: [Module] { Faces.modules.map { $0.make() } }

  package init(_ job: ScriptJob, events: any TaskEvents, print: ((String) -> Void)? = nil) throws(Failure) {
    var configuration = State.Configuration()
    configuration.memoryLimitBytes = job.heapLimitBytes
    configuration.externalLimitBytes = job.memoryLimitBytes ?? 0
    configuration.modules = Faces.modules
    configuration.libraryRoot = job.luaLib
    configuration.scriptRoot = job.scriptRoot
    configuration.print = print ?? { events.log(level: .info, message: $0) }
    if let threads = job.threads { Parallel.setThreads(threads) }
    if let open = job.openLake { lake = try open() } else { lake = try DataLake(root: job.lake, shownAs: job.lakeShownAs) }
    context = TaskContext(id: job.task, name: job.name, attempt: job.attempt, events: events)
    checkpoints = CheckpointPlace(lake)
    state = try State(configuration)
    state.provide(context)
    state.provide(lake)
    state.provide(checkpoints)
    state.provide(ConfinedPaths(roots: job.dataRoots + [job.scriptRoot], base: job.scriptRoot))
  }
}
