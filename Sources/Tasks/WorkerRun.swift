import Core
import Glibc

/// One worker process from its start until nothing of it is left. Lives on one thread: reads the worker's pipes, samples
/// its use, ends it when asked to or when a limit is passed.
final class WorkerRun {
  private let job: Job
  private let options: ProcessExecutor.Options
  private let handle: WorkerHandle
  private let report: (JobReport) throws(Failure) -> Void

  private var child = Child(pid: 0, input: -1, output: -1, errors: -1, events: -1)
  private var wake: Int32 = -1
  private let token = randomUUID()
  private let started = monotonicSeconds()

  private var pendingInput: [UInt8] = []
  private var outputLines = LineSplitter(limit: 16384, overflow: .split)
  private var errorLines = LineSplitter(limit: 16384, overflow: .split)
  private var eventLines: LineSplitter
  private var lines: [LogLine] = []
  private var progress: TaskProgress?
  private var loggedBytes = 0
  private var unreadableEvents = 0
  private var chunk = [UInt8](repeating: 0, count: 65536)

  /// What the worker said about its end.
  private var outcome: JobEnding?
  /// Why we ended it, the first reason only.
  private enum Cause { case stop(StopReason), limit(TaskError) }
  private var cause: Cause?
  private var stopBegan: Double?
  private var sentTerm = false
  private var sentKill = false
  private var isServing = false

  private var usage = TaskUsage()
  private var othersPrivate = 0
  private var othersResident = 0
  private var othersCPU = 0.0
  private var lastSample = 0.0
  private var lastScan = 0.0
  private var lastTick = 0.0

  init(job: Job, options: ProcessExecutor.Options, handle: WorkerHandle, report: @escaping (JobReport) throws(Failure) -> Void)
  {
    self.job = job
    self.options = options
    self.handle = handle
    self.report = report
    self.eventLines = LineSplitter(limit: options.resultLimitBytes + 65536, overflow: .drop)
  }

  func run() {
    do throws(Failure) {
      var ends: [Int32] = [-1, -1]
      if pipe(&ends) == 0 {
        for end in ends {
          _ = fcntl(end, F_SETFD, FD_CLOEXEC)
          _ = fcntl(end, F_SETFL, O_NONBLOCK)
        }
        wake = ends[0]
        handle.setWake(ends[1])
      }
      child = try spawn(
        arguments: options.arguments,
        environment: WorkerEnvironment.list(task: job.task, token: token, extra: options.environment))
    } catch {
      let failure = error
      close(wake)
      handle.setWake(-1)
      do throws(Failure) { try report(.spawned(nil)) } catch {}
      try? report(.ended(.error(TaskError("WORKER_NOT_STARTED", failure.message))))
      return
    }
    do throws(Failure) {
      try report(
        .spawned(
          ProcessIdentity(
            pid: child.pid, startTicks: ProcessTable.entry(child.pid)?.startTicks ?? 0, bootID: ProcessTable.bootID,
            token: token)))
      pendingInput = job.line(options.places)
    } catch {
      stop(.limit(TaskError(error.code.rawValue, error.message)), kill: true)
    }
    while !hasExited() { step() }
    endGroup()
    drain()
    let ending = reap()
    deliver(final: true)
    try? report(.usage(usage))
    try? report(.ended(ending))
  }

  // MARK: one round

  private func step() {
    var files = [
      pollfd(fd: child.events, events: Int16(POLLIN), revents: 0), pollfd(fd: child.output, events: Int16(POLLIN), revents: 0),
      pollfd(fd: child.errors, events: Int16(POLLIN), revents: 0), pollfd(fd: wake, events: Int16(POLLIN), revents: 0),
      pollfd(fd: pendingInput.isEmpty ? -1 : child.input, events: Int16(POLLOUT), revents: 0),
    ]
    // Once the worker has closed its events it is about to exit: look more often.
    let wait = child.events < 0 ? 0.002 : min(options.sampleSeconds, JobReport.tickSeconds)
    _ = poll(&files, nfds_t(files.count), Int32((wait * 1000).rounded(.up)))
    if files[0].revents != 0 { child.events = read(child.events) { self.take(event: $0) } }
    if files[1].revents != 0 { child.output = read(child.output) { self.take($0, .stdout) } }
    if files[2].revents != 0 { child.errors = read(child.errors) { self.take($0, .stderr) } }
    if files[3].revents != 0 { while Glibc.read(wake, &chunk, 64) > 0 {} }
    if files[4].revents != 0 { writeInput() }
    deliver(final: false)
    if let reason = handle.reason, outcome == nil { stop(.stop(reason)) }
    sample()
    advanceStop()
  }

  /// Reads what is there, at most 1 MiB, and returns the descriptor, or -1 once it is closed.
  private func read(_ descriptor: Int32, _ take: (UnsafeRawBufferPointer) -> Void) -> Int32 {
    guard descriptor >= 0 else { return -1 }
    for _ in 0..<16 {
      let count = Glibc.read(descriptor, &chunk, chunk.count)
      if count < 0, errno == EINTR { continue }
      if count < 0, errno == EAGAIN { return descriptor }
      guard count > 0 else {
        close(descriptor)
        return -1
      }
      chunk.withUnsafeBytes { take(UnsafeRawBufferPointer(rebasing: $0[..<count])) }
    }
    return descriptor
  }

  private func writeInput() {
    let count = write(child.input, pendingInput, pendingInput.count)
    if count > 0 {
      pendingInput.removeFirst(count)
    } else if count < 0, errno != EAGAIN, errno != EINTR {
      pendingInput = []  // the worker does not read; its exit says more
    }
  }

  // MARK: what the worker says

  private func take(_ bytes: UnsafeRawBufferPointer, _ stream: LogLine.Stream) {
    let now = Instant.now
    let attempt = job.attempt
    var cut: [LogLine] = []
    func add(_ line: UnsafeRawBufferPointer) {
      let line = line.last == 13 ? UnsafeRawBufferPointer(rebasing: line.dropLast()) : line
      cut.append(
        LogLine(
          at: now, attempt: attempt, stream: stream, level: stream == .stderr ? "error" : "info",
          text: String(decoding: line, as: UTF8.self)))
    }
    if stream == .stdout { outputLines.feed(bytes, line: add) } else { errorLines.feed(bytes, line: add) }
    lines += cut
    count(bytes.count)
  }

  private func count(_ bytes: Int) {
    loggedBytes += bytes
    guard loggedBytes > options.logLimitBytes else { return }
    stop(
      .limit(
        TaskError("LOG_LIMIT", "the task wrote more than \(options.logLimitBytes) bytes of output and log lines and was ended")),
      kill: true)
  }

  private func say(_ level: String, _ text: String, _ stream: LogLine.Stream = .system) {
    lines.append(LogLine(at: .now, attempt: job.attempt, stream: stream, level: level, text: text))
  }

  private func take(event bytes: UnsafeRawBufferPointer) {
    let before = eventLines.dropped
    var found: [Result<WorkerEvent, Failure>] = []
    eventLines.feed(bytes) { line in
      if line.isEmpty { return }
      do throws(Failure) { found.append(.success(try WorkerEvent(line: line))) } catch {
        self.count(line.count)
        found.append(.failure(error))
      }
    }
    for event in found { handleEvent(event) }
    if eventLines.dropped > before {
      settle(
        .error(
          TaskError(
            "RESULT_TOO_LARGE", "the result is larger than \(options.resultLimitBytes) bytes of JSON; write data to a data set")
        ))
    }
  }

  private func handleEvent(_ event: Result<WorkerEvent, Failure>) {
    switch event {
    case .failure(let failure):
      unreadableEvents += 1
      if unreadableEvents <= 10 { say("warning", "an unreadable event from the worker: \(failure.message)") }
    case .success(let event):
      switch event {
      case .started: break
      case .progress(let value): progress = value
      case .metric(let name, let value, let step):
        send(.metric(MetricPoint(name: name, step: step, value: value, at: .now)))
      case .log(let level, let message):
        count(message.utf8.count + 16)
        say(level, message, .log)
      case .ready(let url):
        isServing = true
        send(.ready(url))
      case .usage(_, let peak): usage.peakRSSBytes = max(usage.peakRSSBytes, peak ?? 0)
      case .result(let value): settle(.result(value))
      case .error(let error): settle(.error(error))
      }
    }
  }

  /// Keeps the first outcome, unless we asked for the end before it came.
  private func settle(_ ending: JobEnding) {
    guard outcome == nil, cause == nil, handle.settle() else { return }
    outcome = ending
    stopBegan = stopBegan ?? monotonicSeconds()  // it has the grace period to exit
  }

  private func deliver(final: Bool) {
    if !lines.isEmpty {
      send(.lines(lines))
      lines = []
    }
    if let progress {
      send(.progress(progress))
      self.progress = nil
    }
    let now = monotonicSeconds()
    if !final, now - lastTick >= JobReport.tickSeconds {
      lastTick = now
      usage.wallSeconds = now - started
      send(.usage(usage))
    }
  }

  private func send(_ message: JobReport) {
    do throws(Failure) { try report(message) } catch {
      stop(.limit(TaskError(error.code.rawValue, "the task cannot go on: \(error.message)")), kill: true)
    }
  }

  // MARK: limits and the end

  private func sample() {
    let now = monotonicSeconds()
    guard now - lastSample >= options.sampleSeconds else { return }
    lastSample = now
    if !(isServing && !job.wallLimitIsExplicit), let wall = job.limits.wallSeconds, now - started > wall {
      stop(.limit(TaskError("TIMEOUT", "the task ran longer than its limit of \(shown(wall)) s")))
    }
    guard let leader = ProcessTable.entry(child.pid), leader.isAlive else { return }
    if now - lastScan >= options.sampleSeconds * 5 {
      lastScan = now
      let others = ProcessTable.members(ofSession: child.pid).filter { $0.pid != child.pid }
      othersPrivate = others.reduce(0) { $0 + $1.privateBytes }
      othersResident = others.reduce(0) { $0 + $1.residentBytes }
      othersCPU = max(othersCPU, others.reduce(0) { $0 + $1.cpuSeconds })
    }
    usage.cpuSeconds = max(usage.cpuSeconds, leader.cpuSeconds + othersCPU)
    usage.peakRSSBytes = max(usage.peakRSSBytes, leader.residentBytes + othersResident)
    if let cpu = job.limits.cpuSeconds, usage.cpuSeconds > cpu {
      stop(.limit(TaskError("CPU_LIMIT", "the task used more than its limit of \(shown(cpu)) s of processor time")))
    }
    if let memory = job.limits.memoryBytes, leader.privateBytes + othersPrivate > memory {
      stop(
        .limit(
          TaskError(
            "MEMORY_LIMIT",
            "the task's processes held \(leader.privateBytes + othersPrivate) bytes of memory; the limit is \(memory)")),
        kill: true)
    }
  }

  private func shown(_ seconds: Double) -> String { JSONValue.double(seconds).text() }

  /// Begins the end of the worker for `cause`: the command at once, SIGTERM and SIGKILL as time goes on, or SIGKILL now.
  private func stop(_ cause: Cause, kill: Bool = false) {
    guard outcome == nil, self.cause == nil else { return }
    if case .limit = cause, !handle.settle(), let reason = handle.reason {
      self.cause = .stop(reason)  // somebody asked for the end before: that is why it ends
    } else {
      self.cause = cause
    }
    stopBegan = monotonicSeconds()
    if kill {
      killGroup()
    } else {
      pendingInput += Job.cancelLine
      writeInput()
    }
  }

  private func advanceStop() {
    guard let stopBegan else { return }
    let passed = monotonicSeconds() - stopBegan
    if !sentTerm, cause != nil, passed >= options.graceSeconds / 4 {
      sentTerm = true
      Glibc.kill(-child.pid, SIGTERM)
      Glibc.kill(-child.pid, SIGCONT)
    }
    if !sentKill, passed >= options.graceSeconds {
      if outcome != nil { say("warning", "the worker did not exit within \(shown(options.graceSeconds)) s after its result") }
      killGroup()
    }
  }

  private func killGroup() {
    sentKill = true
    Glibc.kill(-child.pid, SIGKILL)
  }

  /// True once the leader is a zombie; it stays one until `reap`, so its number cannot be taken by another process.
  private func hasExited() -> Bool {
    var info = siginfo_t()
    let code = waitid(P_PID, id_t(child.pid), &info, WEXITED | WNOHANG | WNOWAIT)
    return code != 0 && errno == ECHILD || info.si_signo == SIGCHLD
  }

  /// Kills all that the worker started, in its group, its session or with its token, and waits until they are gone.
  private func endGroup() {
    let deadline = monotonicSeconds() + 5
    var left = ProcessTable.members(ofSession: child.pid).map(\.pid)
    left += ProcessTable.holders(ofToken: token)
    while !left.isEmpty {
      Glibc.kill(-child.pid, SIGKILL)
      for pid in Set(left) where pid != child.pid { Glibc.kill(pid, SIGKILL) }
      usleep(2000)
      left = ProcessTable.members(ofSession: child.pid).map(\.pid) + ProcessTable.holders(ofToken: token)
      if monotonicSeconds() > deadline {
        say("error", "processes \(Set(left).sorted()) of the task do not end")
        return
      }
    }
  }

  private func drain() {
    child.events = read(child.events) { self.take(event: $0) }
    child.output = read(child.output) { self.take($0, .stdout) }
    child.errors = read(child.errors) { self.take($0, .stderr) }
    finishLines()
    for descriptor in [child.events, child.output, child.errors, child.input, wake] where descriptor >= 0 { close(descriptor) }
    handle.setWake(-1)
  }

  /// Ends the last lines where the worker did not.
  private func finishLines() {
    let end: [UInt8] = [10]
    end.withUnsafeBytes { end in
      if outputLines.hasRest { take(end, .stdout) }
      if errorLines.hasRest { take(end, .stderr) }
      if eventLines.hasRest { take(event: end) }
    }
  }

  private func reap() -> JobEnding {
    var status: Int32 = 0
    var resources = rusage()
    while wait4(child.pid, &status, 0, &resources) < 0, errno == EINTR {}
    // ru_maxrss is of no use: a child of vfork starts with its parent's peak. Sampled memory and the worker's word count.
    let seconds = { (time: timeval) in Double(time.tv_sec) + Double(time.tv_usec) / 1e6 }
    usage.cpuSeconds = max(usage.cpuSeconds, seconds(resources.ru_utime) + seconds(resources.ru_stime))
    usage.wallSeconds = monotonicSeconds() - started
    let signal = status & 0x7f
    let code = (status >> 8) & 0xff
    if let outcome {
      if signal != 0, !sentKill {
        say("warning", "the worker ended by \(signalName(signal)) after its result")
      }
      return outcome
    }
    switch cause {
    case .stop(.cancel): return .cancelled
    case .stop(.shutdown): return .stopped
    case .limit(let error): return .error(error)
    case nil: break
    }
    switch handle.settle() ? nil : handle.reason {  // asked to stop in the last moment
    case .cancel: return .cancelled
    case .shutdown: return .stopped
    case nil: break
    }
    if signal == SIGXCPU {
      return .error(TaskError("CPU_LIMIT", "the task used more processor time than its limit", signal: "SIGXCPU"))
    }
    if signal != 0 {
      let hint = signal == SIGKILL ? "; nobody here asked for it: perhaps the machine ran out of memory" : ""
      return .error(
        TaskError(
          "WORKER_CRASHED", "the worker process died by \(signalName(signal))\(hint)", signal: signalName(signal)))
    }
    let garbage = unreadableEvents > 0 ? "; \(unreadableEvents) of its events could not be read" : ""
    return .error(
      TaskError(
        "WORKER_CRASHED", "the worker process exited with code \(code) and without a result\(garbage)", exitCode: Int(code)))
  }
}
