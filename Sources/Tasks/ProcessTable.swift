import Core
import Glibc

/// What Linux's `/proc` says about processes (proc(5)). Everything answers nil or empty for a process that is gone.
enum ProcessTable {
  /// A line of `/proc/PID/stat` and `/proc/PID/statm`.
  struct Entry {
    var pid: Int32
    /// `R`, `S`, `D`, `T` (stopped), `Z` (zombie), ...
    var state: UInt8
    var group: Int32
    var session: Int32
    var cpuSeconds: Double
    var startTicks: UInt64
    /// All resident memory.
    var residentBytes: Int
    /// Resident memory that is not a mapped file: what a memory limit counts.
    var privateBytes: Int

    /// A process that still holds memory or runs: neither a zombie nor dead.
    var isAlive: Bool { state != UInt8(ascii: "Z") && state != UInt8(ascii: "X") }
  }

  static let pageBytes = Int(sysconf(Int32(_SC_PAGESIZE)))
  static let ticksPerSecond = Double(max(1, sysconf(Int32(_SC_CLK_TCK))))
  /// Another value after each boot of the machine.
  static let bootID =
    file("/proc/sys/kernel/random/boot_id").map {
      String(decoding: $0.prefix { $0 > 32 }, as: UTF8.self)
    } ?? ""

  static func entry(_ pid: Int32) -> Entry? {
    guard let text = file("/proc/\(pid)/stat"), let end = text.lastIndex(of: UInt8(ascii: ")")) else { return nil }
    // After the name in brackets: state ppid pgrp session ... utime(12th) stime cutime cstime ... starttime(20th).
    let fields = text[(end + 1)...].split(separator: 32)
    guard fields.count > 19, let state = fields[0].first else { return nil }
    func number(_ i: Int) -> UInt64 {
      fields[i].reduce(0) { $1 >= 48 && $1 <= 57 ? $0 &* 10 &+ UInt64($1 - 48) : $0 }
    }
    let ticks = number(11) &+ number(12) &+ number(13) &+ number(14)
    var entry = Entry(
      pid: pid, state: state, group: Int32(truncatingIfNeeded: number(2)), session: Int32(truncatingIfNeeded: number(3)),
      cpuSeconds: Double(ticks) / ticksPerSecond, startTicks: number(19), residentBytes: 0, privateBytes: 0)
    if let memory = file("/proc/\(pid)/statm") {  // size resident shared ..., in pages
      let parts = memory.split(separator: 32, maxSplits: 3).map { part in
        part.reduce(0) { $1 >= 48 && $1 <= 57 ? $0 &* 10 &+ Int($1 - 48) : $0 }
      }
      if parts.count > 2 {
        entry.residentBytes = parts[1] &* pageBytes
        entry.privateBytes = max(0, parts[1] - parts[2]) &* pageBytes
      }
    }
    return entry
  }

  /// The numbers of all processes.
  static func pids() -> [Int32] {
    guard let folder = opendir("/proc") else { return [] }
    defer { closedir(folder) }
    var found: [Int32] = []
    while let item = readdir(folder) {
      let pid = withUnsafeBytes(of: item.pointee.d_name) { bytes -> Int32 in
        var value: Int32 = 0
        for byte in bytes {
          if byte == 0 { return value }
          guard byte >= 48, byte <= 57, value < 100_000_000 else { return 0 }
          value = value * 10 + Int32(byte - 48)
        }
        return 0
      }
      if pid > 0 { found.append(pid) }
    }
    return found
  }

  /// Living processes of the session (or process group) that `leader` began.
  static func members(ofSession leader: Int32) -> [Entry] {
    pids().compactMap { pid in
      guard let entry = entry(pid), entry.isAlive, entry.session == leader || entry.group == leader else { return nil }
      return entry
    }
  }

  /// Living processes that have `token` in their environment: a worker and all it started, wherever they went.
  static func holders(ofToken token: String) -> [Int32] {
    let wanted = Array("\(WorkerEnvironment.tokenName)=\(token)".utf8)
    return pids().filter { pid in
      guard pid != getpid(), let text = file("/proc/\(pid)/environ"), !text.isEmpty else { return false }
      return text.split(separator: 0).contains { $0.elementsEqual(wanted) } && entry(pid)?.isAlive == true
    }
  }

  /// A small file's bytes (at most 128 KiB).
  static func file(_ path: String) -> [UInt8]? {
    let descriptor = open(path, O_RDONLY | O_CLOEXEC)
    guard descriptor >= 0 else { return nil }
    defer { close(descriptor) }
    var bytes: [UInt8] = []
    var chunk = [UInt8](repeating: 0, count: 4096)
    while bytes.count < 131_072 {
      let count = read(descriptor, &chunk, chunk.count)
      if count < 0 && errno == EINTR { continue }
      guard count >= 0 else { return nil }
      if count == 0 { break }
      bytes.append(contentsOf: chunk[..<count])
    }
    return bytes
  }
}

/// What a worker finds in its environment, and nothing else.
enum WorkerEnvironment {
  static let tokenName = "MOONLAKE_WORKER"
  /// Taken over from the server's environment when set there.
  static let inherited = [
    "PATH", "HOME", "LANG", "LC_ALL", "TZ", "TMPDIR", "LD_LIBRARY_PATH", "MOONLAKE_THREADS", "OPENBLAS_NUM_THREADS",
    "OMP_NUM_THREADS",
  ]

  static func list(task: String, token: String, extra: [String: String]) -> [String] {
    var values = extra
    for name in inherited where values[name] == nil {
      if let value = getenv(name) { values[name] = String(cString: value) }
    }
    values["MOONLAKE_TASK"] = task
    values[tokenName] = token
    return values.map { "\($0.key)=\($0.value)" }.sorted()
  }
}
