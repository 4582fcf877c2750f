import Core
import Glibc
import HTTPTypes
import LanceTable
import Synchronization
import Tasks
import Upkeep

/// Figures of the server in Prometheus' text format (exposition format 0.0.4).
final class ServerMetrics: Sendable {
  /// Upper bounds of the latency buckets, in seconds.
  static let bounds = [0.001, 0.005, 0.025, 0.1, 0.5, 2.5, 10]

  private struct PerRoute {
    var statuses: [Int: Int] = [:]
    var buckets = [Int](repeating: 0, count: ServerMetrics.bounds.count + 1)
    var seconds = 0.0
  }
  private struct State {
    var routes: [PerRoute] = []
    /// Requests that no route took, by status.
    var others: [Int: Int] = [:]
    var open = 0
    var streams = 0
    var compactions = 0
    var freedBytes = 0
    var upkeepFailures = 0
  }
  private let state = Mutex(State())
  private let started = Instant.now.timeInterval

  func count(route: Int, method: HTTPRequest.Method, status: Int, seconds: Double) {
    state.withLock { state in
      guard route >= 0 else {
        state.others[status, default: 0] += 1
        return
      }
      while state.routes.count <= route { state.routes.append(PerRoute()) }
      state.routes[route].statuses[status, default: 0] += 1
      state.routes[route].seconds += seconds
      state.routes[route].buckets[ServerMetrics.bounds.firstIndex { seconds <= $0 } ?? ServerMetrics.bounds.count] += 1
    }
  }

  func connection(_ change: Int) { state.withLock { $0.open += change } }
  func stream(_ change: Int) { state.withLock { $0.streams += change } }
  func upkeep(_ report: TableUpkeep) {
    state.withLock { state in
      if report.compaction?.isChanged == true { state.compactions += 1 }
      state.freedBytes += report.cleanup?.bytesFreed ?? 0
      state.upkeepFailures += report.failures.count
    }
  }

  /// All figures; `routes` are the table's, `counts` the tasks by state.
  func text(routes: [Route], counts: [TaskStatus: Int], version: String) -> String {
    let state = state.withLock { $0 }
    var out = ""
    func metric(_ name: String, _ type: String, _ help: String) { out += "# HELP \(name) \(help)\n# TYPE \(name) \(type)\n" }
    func label(_ text: String) -> String {
      text.replacing("\\", with: "\\\\").replacing("\"", with: "\\\"").replacing("\n", with: "\\n")
    }
    metric("moonlake_info", "gauge", "The program's version.")
    out += "moonlake_info{version=\"\(label(version))\"} 1\n"
    metric("moonlake_http_requests_total", "counter", "Requests answered, by route and status.")
    for (i, figures) in state.routes.enumerated() {
      for (status, n) in figures.statuses.sorted(by: { $0.key < $1.key }) {
        out +=
          "moonlake_http_requests_total{method=\"\(routes[i].method.rawValue)\",route=\"\(label(routes[i].path))\",status=\"\(status)\"} \(n)\n"
      }
    }
    for (status, n) in state.others.sorted(by: { $0.key < $1.key }) {
      out += "moonlake_http_requests_total{method=\"\",route=\"\",status=\"\(status)\"} \(n)\n"
    }
    metric("moonlake_http_request_duration_seconds", "histogram", "Time to an answer's head, by route.")
    for (i, figures) in state.routes.enumerated() where !figures.statuses.isEmpty {
      let labels = "method=\"\(routes[i].method.rawValue)\",route=\"\(label(routes[i].path))\""
      var sum = 0
      for (k, n) in figures.buckets.enumerated() {
        sum += n
        let bound = k < ServerMetrics.bounds.count ? "\(ServerMetrics.bounds[k])" : "+Inf"
        out += "moonlake_http_request_duration_seconds_bucket{\(labels),le=\"\(bound)\"} \(sum)\n"
      }
      out += "moonlake_http_request_duration_seconds_sum{\(labels)} \(figures.seconds)\n"
      out += "moonlake_http_request_duration_seconds_count{\(labels)} \(sum)\n"
    }
    metric("moonlake_http_connections", "gauge", "Connections that are open.")
    out += "moonlake_http_connections \(state.open)\n"
    metric("moonlake_http_streams", "gauge", "Event streams that are open.")
    out += "moonlake_http_streams \(state.streams)\n"
    metric("moonlake_tasks", "gauge", "Tasks, by state.")
    for status in TaskStatus.allCases { out += "moonlake_tasks{status=\"\(status.rawValue)\"} \(counts[status] ?? 0)\n" }
    metric("moonlake_upkeep_compactions_total", "counter", "Tables whose fragments upkeep has joined.")
    out += "moonlake_upkeep_compactions_total \(state.compactions)\n"
    metric("moonlake_upkeep_freed_bytes_total", "counter", "Bytes of old versions that upkeep has removed.")
    out += "moonlake_upkeep_freed_bytes_total \(state.freedBytes)\n"
    metric("moonlake_upkeep_failures_total", "counter", "Steps of upkeep that failed.")
    out += "moonlake_upkeep_failures_total \(state.upkeepFailures)\n"
    metric("process_start_time_seconds", "gauge", "When the server started, in seconds since 1970.")
    out += "process_start_time_seconds \(started)\n"
    var usage = rusage()
    getrusage(__rusage_who_t(RUSAGE_SELF.rawValue), &usage)
    let cpu = [usage.ru_utime, usage.ru_stime].reduce(0.0) { $0 + Double($1.tv_sec) + Double($1.tv_usec) / 1e6 }
    metric("process_cpu_seconds_total", "counter", "Processor time of the server.")
    out += "process_cpu_seconds_total \(cpu)\n"
    metric("process_resident_memory_bytes", "gauge", "Resident memory of the server.")
    out += "process_resident_memory_bytes \(ServerMetrics.residentBytes)\n"
    return out
  }

  private static var residentBytes: Int {
    guard let file = fopen("/proc/self/statm", "re") else { return 0 }
    defer { fclose(file) }
    var text = [CChar](repeating: 0, count: 128)
    guard fgets(&text, Int32(text.count), file) != nil else { return 0 }
    let fields = String(decoding: text.prefix { $0 != 0 }.map { UInt8(bitPattern: $0) }, as: UTF8.self).split(separator: " ")
    return fields.count > 1 ? (Int(fields[1]) ?? 0) * Int(sysconf(Int32(_SC_PAGESIZE))) : 0
  }

  /// 7 as `007`.
  static func three(_ n: Int) -> String { n < 10 ? "00\(n)" : n < 100 ? "0\(n)" : "\(n)" }
}
