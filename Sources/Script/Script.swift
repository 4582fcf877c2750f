// Room Script: binds the towers for a script. It opens the sandbox with all modules, loads the file, checks the
// parameters against the script's own schema, calls `run(input, output, params)` and returns its table as JSON.
