import Compute
import Core
import Engine
import Plan
import Testing

/// A run under way, then a stop asked for: what the next batches say.
private func stoppedRun() -> String {
  message {
    let positive = Expr.compare(.greater, .column("x"), .literal(.int(0)))
    let execution = try Execution(try ExecutionTests.table(data).filter(positive))
    _ = try execution.next()
    Cancellation.request()
    while try execution.next() != nil {}
  }
}

@Suite struct CancelTests {
  /// In a process of its own: the flag is the whole process's, and other suites' kernels and services poll it.
  @Test func cancelStopsARun() async {
    await #expect(processExitsWith: .success) {
      #expect(stoppedRun() == "CANCELLED: cancelled")
    }
  }
}
