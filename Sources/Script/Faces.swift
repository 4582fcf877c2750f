import LuaData
package import LuaHost
import LuaServe
import LuaSystem
import LuaTensor

/// Everything that `require` gives to scripts, besides LuaLib and the script's own files.
package enum Faces {
  package static let modules: [ModuleEntry] =
    LuaSystem.modules + LuaLake.entries + [
      ModuleEntry("http", LuaServe.module),
      ModuleEntry("_http", LuaServe.internals),
      ModuleEntry("tensor", TensorFaces.module),
      ModuleEntry("_tensor", TensorFaces.internals),
      ModuleEntry("_checkpoint", CheckpointFaces.module),
      ModuleEntry("_batch", BatchFaces.module),
      ModuleEntry("_bridge", Bridge.module),
    ]
}
