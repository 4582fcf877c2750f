import Core
import Glibc
import Synchronization

/// A child process as `posix_spawn` made it: leader of its own session and process group, with our ends of its pipes.
struct Child {
  var pid: Int32
  /// Written by us, the child's descriptor 0.
  var input: Int32
  /// Read by us, the child's descriptor 1.
  var output: Int32
  /// Read by us, the child's descriptor 2.
  var errors: Int32
  /// Read by us, the child's descriptor 3: events.
  var events: Int32
}

/// Starts `arguments[0]` with `environment` (`NAME=value`), default signals, and no open files but 0 to 3.
/// - Throws: `IO_ERROR` naming the program and the reason.
func spawn(arguments: [String], environment: [String]) throws(Failure) -> Child {
  let result: Result<Child, Failure> = spawnLock.withLock { _ in
    do throws(Failure) { return .success(try spawnAlone(arguments: arguments, environment: environment)) } catch {
      return .failure(error)
    }
  }
  return try result.get()
}

private let spawnLock = Mutex(())

/// `POSIX_SPAWN_SETSID` of glibc's and musl's <spawn.h>, which Swift's Glibc module leaves out.
private let setSessionFlag: Int32 = 0x80

/// The descriptors that are open in this process now.
private func openDescriptors() -> [Int32] {
  guard let folder = opendir("/proc/self/fd") else { return [] }
  defer { closedir(folder) }
  var found: [Int32] = []
  while let item = readdir(folder) {
    let name = withUnsafeBytes(of: item.pointee.d_name) { String(decoding: $0.prefix { $0 != 0 }, as: UTF8.self) }
    if let number = Int32(name) { found.append(number) }
  }
  return found
}

private func spawnAlone(arguments: [String], environment: [String]) throws(Failure) -> Child {
  var pipes: [(read: Int32, write: Int32)] = []
  func closeAll() {
    for pair in pipes {
      close(pair.read)
      close(pair.write)
    }
  }
  for _ in 0..<4 {
    var ends: [Int32] = [-1, -1]
    guard pipe(&ends) == 0 else {
      let reason = errnoText()
      closeAll()
      throw Failure(.ioError, "cannot make a pipe for a worker: \(reason)")
    }
    // Close-on-exec, and not among 0 ... 3, or one dup2 would overwrite the next one's source. (`pipe2` is not in
    // Swift's Glibc module; `spawnLock` keeps our own children from seeing a descriptor in between.)
    for i in 0..<2 {
      let moved = fcntl(ends[i], F_DUPFD_CLOEXEC, 4)
      close(ends[i])
      ends[i] = moved
    }
    pipes.append((ends[0], ends[1]))
    guard ends[0] >= 0, ends[1] >= 0 else {
      closeAll()
      throw Failure(.ioError, "cannot make a pipe for a worker: \(errnoText(EMFILE))")
    }
  }
  let (input, output, errors, events) = (pipes[0], pipes[1], pipes[2], pipes[3])

  var actions = posix_spawn_file_actions_t()
  posix_spawn_file_actions_init(&actions)
  defer { posix_spawn_file_actions_destroy(&actions) }
  posix_spawn_file_actions_adddup2(&actions, input.read, 0)
  posix_spawn_file_actions_adddup2(&actions, output.write, 1)
  posix_spawn_file_actions_adddup2(&actions, errors.write, 2)
  posix_spawn_file_actions_adddup2(&actions, events.write, 3)
  // Everything of ours is close-on-exec; this is for what a library opened without it.
  for descriptor in openDescriptors() where descriptor > 3 { posix_spawn_file_actions_addclose(&actions, descriptor) }

  var attributes = posix_spawnattr_t()
  posix_spawnattr_init(&attributes)
  defer { posix_spawnattr_destroy(&attributes) }
  var signals = sigset_t()
  sigfillset(&signals)
  posix_spawnattr_setsigdefault(&attributes, &signals)
  sigemptyset(&signals)
  posix_spawnattr_setsigmask(&attributes, &signals)
  posix_spawnattr_setflags(&attributes, Int16(POSIX_SPAWN_SETSIGDEF | POSIX_SPAWN_SETSIGMASK | setSessionFlag))

  var argv: [UnsafeMutablePointer<CChar>?] = arguments.map { strdup($0) } + [nil]
  var envp: [UnsafeMutablePointer<CChar>?] = environment.map { strdup($0) } + [nil]
  defer { for pointer in argv + envp { free(pointer) } }
  var pid: pid_t = 0
  let code = posix_spawn(&pid, arguments.first ?? "", &actions, &attributes, &argv, &envp)
  close(input.read)
  for end in [output.write, errors.write, events.write] { close(end) }
  guard code == 0 else {
    for end in [input.write, output.read, errors.read, events.read] { close(end) }
    throw Failure(.ioError, "cannot start the worker '\(arguments.first ?? "")': \(errnoText(code))")
  }
  for end in [input.write, output.read, errors.read, events.read] {
    _ = fcntl(end, F_SETFL, fcntl(end, F_GETFL) | O_NONBLOCK)
  }
  return Child(pid: pid, input: input.write, output: output.read, errors: errors.read, events: events.read)
}

/// `SIGSEGV` for 11; `signal 99` for one without a name.
func signalName(_ number: Int32) -> String {
  let names: [Int32: String] = [
    SIGHUP: "SIGHUP", SIGINT: "SIGINT", SIGQUIT: "SIGQUIT", SIGILL: "SIGILL", SIGTRAP: "SIGTRAP", SIGABRT: "SIGABRT",
    SIGBUS: "SIGBUS", SIGFPE: "SIGFPE", SIGKILL: "SIGKILL", SIGUSR1: "SIGUSR1", SIGSEGV: "SIGSEGV", SIGUSR2: "SIGUSR2",
    SIGPIPE: "SIGPIPE", SIGALRM: "SIGALRM", SIGTERM: "SIGTERM", SIGXCPU: "SIGXCPU", SIGXFSZ: "SIGXFSZ", SIGSYS: "SIGSYS",
  ]
  return names[number] ?? "signal \(number)"
}
