-- Lua 5.4 as Moonlake's scripts see it: the sandbox has no io, debug, dofile or loadfile, and globals must be declared.
std = "lua54"
max_line_length = 128
not_globals = { "io", "debug", "dofile", "loadfile" }
-- The contract allows a script to define a global function `run`.
allow_defined_top = false
files["mnist/*.lua"] = { globals = { "run" } }
files["Tests/e2e/scripts/*.lua"] = { globals = { "run" } }
files["Benchmarks/scripts/*.lua"] = { globals = { "run" } }
-- Layers and optimizers may leave arguments of a shared signature unused.
unused_args = false
exclude_files = { "LuaLib/meta/**", ".build/**", ".venv/**" }
-- LuaLib's own environment also has `fail` and `extend` (docs/lua-binding.md).
files["LuaLib/**/*.lua"] = { read_globals = { "fail", "extend" } }
