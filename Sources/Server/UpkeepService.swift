import Core
import Logging
import ServiceLifecycle
import Synchronization
import Upkeep

/// Looks after the tables of the lake every so often, on a thread of its own, until the server is told to end.
struct UpkeepService: Service {
  let upkeep: LakeUpkeep
  let intervalSeconds: Double
  let metrics: ServerMetrics
  let logger: Logger

  func run() async throws {
    await cancelWhenGracefulShutdown {
      while (try? await Task.sleep(for: .seconds(intervalSeconds))) != nil { await pass() }
    }
  }

  private func pass() async {
    let (upkeep, flag) = (upkeep, Flag())
    await withTaskCancellationHandler {
      do throws(Failure) {
        for report in try await offload({ () throws(Failure) in
          try Cancellation.within(stop: { flag.isSet }) { () throws(Failure) in try upkeep.pass() }
        }) {
          metrics.upkeep(report)
          for (step, failure) in report.failures {
            logger.warning("upkeep of '\(report.table)': \(step) failed, later again: \(failure.message)")
          }
          if report.failures.isEmpty { logger.info("upkeep: \(report.json.text())") }
        }
      } catch { logger.warning("upkeep: the lake cannot be listed: \(error.message)") }
    } onCancel: {
      flag.set()
    }
  }
}

/// Set once, seen by all threads.
private final class Flag: Sendable {
  private let value = Atomic(false)
  var isSet: Bool { value.load(ordering: .relaxed) }
  func set() { value.store(true, ordering: .relaxed) }
}
