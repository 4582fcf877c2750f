import Core

/// How often and when a request is tried again: exponential back-off with full jitter, so that clients which failed together do not
/// come back together. Source: "Exponential Backoff And Jitter" (aws.amazon.com/blogs/architecture/exponential-backoff-and-jitter).
package struct RetryPolicy: Sendable {
  /// Tries in all.
  package var attempts = 6
  package var firstDelaySeconds = 0.1
  package var longestDelaySeconds = 5.0

  package init() {}

  /// Seconds to wait before try `attempt` (1 is the first repetition). A server that asks for a pause gets it, up to 10 s.
  func delaySeconds(_ attempt: Int, asked: Double?) -> Double {
    let most = min(longestDelaySeconds, firstDelaySeconds * Double(1 << min(attempt - 1, 16)))
    return max(Double.random(in: 0...most), min(10, max(0, asked ?? 0)))
  }
}

/// How long one try may take.
package struct S3Timeouts: Sendable {
  package var connectSeconds = 5.0
  /// Without a byte coming in.
  package var silenceSeconds = 30.0
  /// In all, 8 MiB on the slowest useful line.
  package var wholeSeconds = 300.0

  package init() {}
}
