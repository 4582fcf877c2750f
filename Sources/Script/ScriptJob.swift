package import Core
package import Lake

/// One run of a script: what, on what, with what it may touch. All paths are absolute.
package struct ScriptJob: Sendable {
  package var task = "local"
  package var name = ""
  package var attempt = 1
  /// The Lua file.
  package var script: String
  /// `require` finds modules below it, and the script lies in it.
  package var scriptRoot: String
  package var input = ""
  package var output = ""
  package var params = JSONObject()
  /// The lake's root (`lance_storage`); of a lake that `openLake` opens, its name.
  package var lake: String
  /// Opens a lake that is no directory; nil: the lake is the directory `lake`.
  package var openLake: (@Sendable () throws(Failure) -> DataLake)?
  /// How the lake's root is written in paths that people see.
  package var lakeShownAs: String?
  /// Folders that scripts may read.
  package var dataRoots: [String] = []
  package var luaLib: String
  package var wallLimitSeconds: Double?
  /// Held by the process (`RLIMIT_CPU`) and by the supervisor, not by the runner.
  package var cpuLimitSeconds: Double?
  package var memoryLimitBytes: Int?
  /// The most threads that kernels use; nil: as the process has it. The parameter `threads` may ask for fewer.
  package var threads: Int?

  package init(script: String, scriptRoot: String, lake: String, luaLib: String) {
    self.script = script
    self.scriptRoot = scriptRoot
    self.lake = lake
    self.luaLib = luaLib
  }

  /// Lua's own heap may take half of the task's memory, at most 1 GiB: data belongs into frames and tensors.
  var heapLimitBytes: Int { min((memoryLimitBytes ?? 2 << 30) / 2, 1 << 30) }

  /// The script's path as messages show it: relative to the root.
  var shownScript: String {
    script.hasPrefix(scriptRoot + "/") ? String(script.dropFirst(scriptRoot.count + 1)) : script
  }
}
