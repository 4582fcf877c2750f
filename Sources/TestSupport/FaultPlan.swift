import Synchronization

/// Counts calls and says which of them fail: the `failing`-th (from 1), and with `forGood` all that follow.
package final class FaultPlan: Sendable {
  private struct State {
    var calls = 0
    var failing: Int
    var struck = 0
  }
  private let state: Mutex<State>
  private let forGood: Bool

  /// `failing` 0: none fails, the calls are only counted.
  package init(failing: Int = 0, forGood: Bool = false) {
    state = Mutex(State(failing: failing))
    self.forGood = forGood
  }

  /// Calls so far.
  package var calls: Int { state.withLock { $0.calls } }
  /// Calls that failed.
  package var struck: Int { state.withLock { $0.struck } }

  /// Counts one call; true when it is to fail.
  package func strikes() -> Bool {
    state.withLock { state in
      state.calls += 1
      guard state.failing > 0, forGood ? state.calls >= state.failing : state.calls == state.failing else { return false }
      state.struck += 1
      return true
    }
  }

  /// Failures from here on are over.
  package func heal() { state.withLock { $0.failing = 0 } }
}

/// Repeatable random numbers (SplitMix64, https://prng.di.unimi.it/splitmix64.c).
package struct SeededRandom: RandomNumberGenerator {
  private var state: UInt64
  package init(seed: UInt64) { state = seed }

  package mutating func next() -> UInt64 {
    state &+= 0x9E37_79B9_7F4A_7C15
    var z = state
    z = (z ^ (z >> 30)) &* 0xBF58_476D_1CE4_E5B9
    z = (z ^ (z >> 27)) &* 0x94D0_49BB_1331_11EB
    return z ^ (z >> 31)
  }
}
