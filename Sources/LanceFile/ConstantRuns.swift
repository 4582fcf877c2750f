import Columnar
import Core

/// Where the rows of a page that has few different neighbours change: each run becomes a constant page, which takes some 80 bytes however
/// many rows it has. Sorted and partition-like columns ("train" 60,000 times, then "test" 10,000 times) are made of such runs.
enum ConstantRuns {
  /// Below some rows a constant page saves nothing.
  private static let leastRows = 16
  /// Of a page with several runs: more would cost readers more than chunks of runs do.
  private static let mostRuns = 16
  /// Rows per run of a page with several, on average.
  private static let leastRowsPerRun = 4096
  /// Bytes of a string that stands in a constant page.
  private static let longestString = 4096

  /// The runs of `rows` rows, in order; nil when they are too many or too short. `isLikeLast(i)`: row i has the value of row i - 1.
  @inline(__always)
  private static func of(rows: Int, isLikeLast: (Int) -> Bool) -> [Range<Int>]? {
    guard rows >= leastRows else { return nil }
    let most = max(1, min(mostRuns, rows / leastRowsPerRun))
    var runs: [Range<Int>] = []
    var start = 0
    for i in 1..<rows where !isLikeLast(i) {
      guard runs.count + 1 < most else { return nil }
      runs.append(start..<i)
      start = i
    }
    runs.append(start..<rows)
    // A run of a few rows is better off in chunks, with all others.
    return runs.allSatisfy { $0.count >= leastRows } ? runs : nil
  }

  /// Of fixed-width values of at most 32 bytes.
  static func of(_ values: FlatValues) -> [Range<Int>]? {
    guard values.shape.sizes.isEmpty, let bits = values.shape.bitsPerRow, bits <= 256 else { return nil }
    let base = values.base
    func typed<T: Equatable>(_: T.Type) -> [Range<Int>]? {
      let numbers = base.assumingMemoryBound(to: T.self)
      return of(rows: values.rows) { numbers[$0] == numbers[$0 &- 1] }
    }
    switch bits {
    case 1:
      let (set, first) = (UnsafeRawPointer(values.element.buffers[0].pointer), values.first)
      return of(rows: values.rows) { Bitmap.get(set, first &+ $0) == Bitmap.get(set, first &+ $0 &- 1) }
    case 8: return typed(UInt8.self)
    case 16: return typed(UInt16.self)
    case 32: return typed(UInt32.self)
    case 64: return typed(UInt64.self)
    default:
      let width = bits / 8
      return of(rows: values.rows) { compareBytes(base + $0 * width, base + ($0 - 1) * width, width) }
    }
  }

  /// Of strings without nulls.
  static func of(_ strings: Strings) -> [Range<Int>]? {
    guard strings.longest <= longestString else { return nil }
    return of(rows: strings.count) {
      let (a, b) = (strings.bytes($0), strings.bytes($0 - 1))
      guard a.count == b.count, let p = a.baseAddress, let q = b.baseAddress else { return a.count == b.count }
      return compareBytes(p, q, a.count)
    }
  }
}
