// Core: what every room may use. Failures, aligned memory, bytes, JSON, threads, time, names.
// It knows no file format, no socket and no Lua. Capped at about 1,500 lines; there is no "Utils".
