import Columnar
import Core
import Plan

/// A batch on its way through operators, and where its rows come from, so that a failure can name the row of the source.
struct Morsel: Sendable {
  var batch: RecordBatch
  var origin: Origin

  struct Origin: Sendable {
    /// The source's label; nil for rows made by an operator.
    var label: String?
    /// Position in the source of the batch's first row before any filter; nil when unknown.
    var firstRow: Int?
    /// Rows left by filters, as positions in the batch that was read; nil when all are left.
    var positions: [Int32]?
  }

  /// The rows at `indices`, which are different and ascending, as a filter leaves them.
  func keeping(_ indices: [Int32]) throws(Failure) -> Morsel {
    indices.count == batch.count ? self : try taking(indices)
  }

  /// The rows at `indices`, repeats allowed.
  func taking(_ indices: [Int32]) throws(Failure) -> Morsel {
    var copy = origin
    if let old = origin.positions { copy.positions = indices.map { old[Int($0)] } } else { copy.positions = indices }
    return Morsel(batch: try batch.take(indices), origin: copy)
  }

  /// Other columns for the same rows.
  func with(_ batch: RecordBatch) -> Morsel { Morsel(batch: batch, origin: origin) }

  /// Row `i` of the batch (from 0) in words: `row 17 of csv sales.csv`; nil when it is unknown.
  func place(_ i: Int) -> String? {
    guard let first = origin.firstRow else { return nil }
    let at = origin.positions.map { i < $0.count ? Int($0[i]) : i } ?? i
    return "row \(first + at + 1)" + (origin.label.map { " of \($0)" } ?? "")
  }

  /// A failure of a row of this batch with the row of the source in its place.
  func locating(_ failure: Failure) -> Failure {
    guard let row = failure.details["row"]?.intValue, failure.details["expression"] != nil else { return failure }
    var copy = failure
    copy.place = place(Int(row) - 1) ?? origin.label
    copy.details["row"] = nil
    copy.details["expression"] = nil
    return copy
  }
}

/// Work that yields morsels; may run on any thread.
typealias PartWork = @Sendable () -> Result<[Morsel], Failure>

/// Parts in row order. `nextPart` is called by one thread at a time.
protocol PartSource: AnyObject {
  func nextPart() throws(Failure) -> PartWork?
}

/// A table scan as parts.
final class ScanParts: PartSource {
  private let scan: any TableScan
  private let label: String

  init(_ scan: any TableScan, label: String) {
    self.scan = scan
    self.label = label
  }

  func nextPart() throws(Failure) -> PartWork? {
    guard let part = try scan.nextPart() else { return nil }
    let label = label
    return {
      do throws(Failure) {
        var row = part.firstRow
        var morsels: [Morsel] = []
        for batch in try part.read().get() {
          morsels.append(Morsel(batch: try ScanParts.decoded(batch), origin: .init(label: label, firstRow: row)))
          row = row.map { $0 + batch.count }
        }
        return .success(morsels)
      } catch { return .failure(error) }
    }
  }
}

extension ScanParts {
  /// Dictionary columns as plain ones: plans know values only.
  static func decoded(_ batch: RecordBatch) throws(Failure) -> RecordBatch {
    var fields = batch.schema.fields
    var columns = batch.columns
    var changed = false
    for (i, field) in fields.enumerated() {
      guard case .dictionary(_, let value) = field.type else { continue }
      fields[i].type = value
      columns[i] = try columns[i].decodingDictionary()
      changed = true
    }
    return changed
      ? try RecordBatch(schema: Schema(fields, metadata: batch.schema.metadata), columns: columns, count: batch.count) : batch
  }
}

/// Batches that are already made, as parts, counted from row 1.
final class ReaderParts: PartSource {
  private let reader: any MorselReader
  private let keepsOrigin: Bool
  private var row = 0

  /// With `keepsOrigin`, rows are still those of the source (a limit or row index in between).
  init(_ reader: any MorselReader, keepsOrigin: Bool) {
    self.reader = reader
    self.keepsOrigin = keepsOrigin
  }

  func nextPart() throws(Failure) -> PartWork? {
    guard var morsel = try reader.next() else { return nil }
    if !keepsOrigin { morsel.origin = .init(label: nil, firstRow: row) }
    row += morsel.batch.count
    let made = morsel
    return { .success([made]) }
  }
}

/// Morsels in order, on one thread.
protocol MorselReader: AnyObject {
  func next() throws(Failure) -> Morsel?
}

/// The parts of several sources, one source after the other.
final class ConcatParts: PartSource {
  private var rest: ArraySlice<any PartSource>
  init(_ sources: [any PartSource]) { rest = sources[...] }

  func nextPart() throws(Failure) -> PartWork? {
    while let first = rest.first {
      if let part = try first.nextPart() { return part }
      rest.removeFirst()
    }
    return nil
  }
}

/// A stateless operator applied to every morsel of its input, on whatever thread runs the part.
final class TransformParts: PartSource {
  typealias Transform = @Sendable (Morsel) throws(Failure) -> [Morsel]
  private let input: any PartSource
  private let transform: Transform

  init(_ input: any PartSource, _ transform: @escaping Transform) {
    self.input = input
    self.transform = transform
  }

  func nextPart() throws(Failure) -> PartWork? {
    guard let part = try input.nextPart() else { return nil }
    let transform = transform
    return {
      switch part() {
      case .failure(let failure): return .failure(failure)
      case .success(let morsels):
        var out: [Morsel] = []
        for morsel in morsels {
          do throws(Failure) { out += try transform(morsel) } catch { return .failure(morsel.locating(error)) }
        }
        return .success(out)
      }
    }
  }
}
