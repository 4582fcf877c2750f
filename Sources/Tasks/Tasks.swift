// Tasks: what a task is, where it is kept, and how it runs. Knows no HTTP and no Lua.
//   TaskState.swift        the states and the one function that changes them
//   TaskStore.swift        what is kept; SQLiteTaskStore, MemoryTaskStore
//   TaskScheduler.swift    queue, slots, cancel, restart; what Server talks to
//   ProcessExecutor.swift  worker processes (WorkerRun.swift is one of them, WorkerProtocol.swift what is said)
