package import LuaHost
import LuaSystem
import LuaTensor

/// Everything that `require` gives to scripts, besides LuaLib and the script's own files: one line per module.
package enum Faces {
  package static let modules: [ModuleEntry] = [
    ModuleEntry("task", LuaTask.module),
    ModuleEntry("tensor", TensorFaces.module),
    ModuleEntry("_tensor", TensorFaces.internals),
  ]
}
