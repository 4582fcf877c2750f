import Columnar
import Core

/// Runs parts several at a time on the machine's cores and hands their results over in order.
///
/// Parts run in waves of 1, 2, 4, then 8: the first rows come soon, memory is bounded by eight parts, no thread outlives a wave,
/// and which parts run does not depend on the number of threads, so counters are the same on any machine.
enum Waves {
  static let widest = 8

  /// Up to `width` parts run by `process`; in order. `source` ended when fewer come back. The first failure, by order of the
  /// parts, comes last in the result.
  static func run<T: Sendable>(
    _ source: any PartSource, width: Int, _ process: @Sendable (PartWork) -> Result<T, Failure>
  ) throws(Failure) -> [Result<T, Failure>] {
    try Cancellation.check()
    var parts: [PartWork] = []
    var failure: Failure?
    while parts.count < width, failure == nil {
      do throws(Failure) {
        guard let part = try source.nextPart() else { break }
        parts.append(part)
      } catch { failure = error }
    }
    var results = [Result<T, Failure>?](repeating: nil, count: parts.count)
    results.withUnsafeMutableBufferPointer { slots in
      nonisolated(unsafe) let slots = slots  // each index is written by one block
      Parallel.forEach(count: parts.count, grain: 1) { block in
        for i in block { slots[i] = process(parts[i]) }
      }
    }
    try Cancellation.check()
    var out: [Result<T, Failure>] = []
    for case let result? in results {
      out.append(result)
      if case .failure = result { return out }
    }
    if let failure { out.append(.failure(failure)) }
    return out
  }
}

/// The morsels of parts in order, computed wave by wave ahead of the reader.
final class ParallelReader: MorselReader {
  private let source: any PartSource
  private var ready: ArraySlice<Morsel> = []
  private var failure: Failure?
  private var width = 1
  private var ended = false

  init(_ source: any PartSource) { self.source = source }

  func next() throws(Failure) -> Morsel? {
    while true {
      if let first = ready.popFirst() {
        if first.batch.count > 0 { return first }
        continue
      }
      if let failure { throw failure }
      if ended { return nil }
      let results = try Waves.run(source, width: width) { $0() }
      ended = results.count < width
      width = min(Waves.widest, width * 2)
      var morsels: [Morsel] = []
      for result in results {
        switch result {
        case .success(let part): morsels += part
        case .failure(let error): failure = error
        }
      }
      ready = morsels[...]
    }
  }
}
