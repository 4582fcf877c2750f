package import LuaHost

// Room LuaSystem: what scripts get from the machine: JSON, log, confined files, time, gunzip, hashes, IDX files, their task.

/// The modules of this room.
package enum LuaSystem {
  package static let modules: [ModuleEntry] = [
    ModuleEntry("task", LuaTask.module), ModuleEntry("json", LuaJSON.module), ModuleEntry("log", LuaLog.module),
    ModuleEntry("fs", LuaFiles.module), ModuleEntry("time", LuaTime.module), ModuleEntry("gunzip", LuaGunzip.module),
    ModuleEntry("hash", LuaHash.module), ModuleEntry("base64", LuaBase64.module), ModuleEntry("uuid", LuaUUID.module),
    ModuleEntry("idx", LuaIDX.module), ModuleEntry("_testing", LuaTesting.module),
  ]
}
