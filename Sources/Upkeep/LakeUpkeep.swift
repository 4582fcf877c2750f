package import Core
package import Lake
import LanceIndex
package import LanceTable
import ObjectStore
import Synchronization

// Room Upkeep: keeps the tables of a lake small and quick while nobody looks after them.
//
//   LakeUpkeep     looks at every table in turn: joins small fragments, lets indices catch up, removes old versions
//   Pacer          holds the work to a number of bytes per second, and ends it when it is told to

/// How much upkeep does, and how fast.
package struct UpkeepOptions: Sendable {
  /// About the memory that rows on their way may take.
  package var memoryBytes = 256 << 20
  /// Of rows that are moved, as they are in memory; nil: as fast as it goes.
  package var bytesPerSecond: Int? = 64 << 20
  /// Versions that were committed longer ago are removed; nil: none are.
  package var keepVersionsSeconds: Double? = 14 * 86400
  /// So many fragments must become fewer before any is rewritten for their number.
  package var fewestFragments = 8
  /// So many rows, and a twentieth of those that it knows, must be new to an index before they are added to it: until then searching
  /// them one by one costs little, and many small parts cost more.
  package var fewestRowsToIndex = 10_000
  /// A table on which a step failed rests that long before the step is tried again, twice as long after each further failure, a day
  /// at most.
  package var retrySeconds = 600.0

  package init() {}
}

/// What upkeep did to one table.
package struct TableUpkeep: Sendable {
  package let table: String
  package internal(set) var compaction: CompactReport?
  /// Indices that got rows.
  package internal(set) var indices = 0
  package internal(set) var cleanup: CleanupReport?
  /// Step and what stopped it.
  package internal(set) var failures: [(step: String, failure: Failure)] = []

  /// Whether anything was done or went wrong.
  package var isWorthSaying: Bool {
    compaction?.isChanged == true || indices > 0 || (cleanup?.filesRemoved ?? 0) > 0 || !failures.isEmpty
  }

  package var json: JSONValue {
    var members: JSONObject = ["table": .string(table), "indices": .int(Int64(indices))]
    if let compaction { members["compaction"] = compaction.json }
    if let cleanup { members["cleanup"] = cleanup.json }
    members["failures"] = .array(failures.map { ["step": .string($0.step), "message": .string($0.failure.message)] })
    return .object(members)
  }
}

/// Upkeep of all data sets of a lake. `pass` may be called again and again, by one thread at a time. Models are left alone: each of
/// their versions is somebody's result.
///
/// A step that fails (full disk, damaged file) is not tried again for a while and stops no other step and no other table.
package final class LakeUpkeep: Sendable {
  private struct Memory {
    /// The commit at which the last look found nothing to do.
    var idle: Commit?
    var cleaned = -Double.infinity
    var searched = -Double.infinity
    /// By step: failures in a row, and when the next try is due.
    var failures: [String: (count: Int, due: Double)] = [:]
  }
  private struct Commit: Equatable {
    let version: UInt64
    let name: String
  }
  private let lake: DataLake
  private let options: UpkeepOptions
  private let now: @Sendable () -> Double
  private let memory = Mutex<[String: Memory]>([:])

  /// - Parameter now: seconds of any clock, for the times between tries.
  package init(
    _ lake: DataLake, _ options: UpkeepOptions = UpkeepOptions(),
    now: @escaping @Sendable () -> Double = { Instant.now.timeInterval }
  ) {
    self.lake = lake
    self.options = options
    self.now = now
  }

  /// Looks once at every table. Inside of `Cancellation.within`, the pass ends when that says so, and nothing is half done.
  /// - Returns: the tables where something was done or went wrong.
  /// - Throws: when the lake cannot be listed.
  package func pass() throws(Failure) -> [TableUpkeep] {
    var reports: [TableUpkeep] = []
    var there: Set<String> = []
    for id in try lake.names(.dataset) {
      if Cancellation.isRequested { return reports }
      let place = lake.location(.dataset, id)
      there.insert(place.folder)
      let report = look(at: place)
      if report.isWorthSaying { reports.append(report) }
    }
    memory.withLock { memory in memory = memory.filter { there.contains($0.key) } }
    return reports
  }

  private func look(at place: TableLocation) -> TableUpkeep {
    var report = TableUpkeep(table: place.name)
    var known = memory.withLock { $0[place.folder] ?? Memory() }
    let commit: Commit
    do throws(Failure) {
      let table = try LanceTable(place)
      commit = Commit(version: table.version, name: table.commitName)
    } catch {
      // Removed meanwhile, or damaged: the affair of whoever opens it, and of `doctor`.
      return report
    }
    if commit != known.idle {
      let compacted = step("compact", &known, &report) { report throws(Failure) in
        report.compaction = try place.compact(compaction)
      }
      let indexed = catchUp(place, &known, &report)
      // What was done, or came meanwhile, is looked at once more.
      let isIdle = compacted && indexed && report.compaction?.isChanged != true && report.indices == 0
      known.idle = isIdle ? commit : nil
    }
    // Versions grow old without anybody's doing.
    if let age = options.keepVersionsSeconds, now() - known.cleaned >= min(3600, age) {
      var how = CleanupOptions()
      how.olderThanSeconds = age
      how.looksForLostFiles = now() - known.searched >= 86400
      let cleaned = step("clean up", &known, &report) { report throws(Failure) in report.cleanup = try place.cleanup(how) }
      if cleaned { known.cleaned = now() }
      if cleaned, how.looksForLostFiles { known.searched = known.cleaned }
    }
    let result = known
    memory.withLock { $0[place.folder] = result }
    return report
  }

  /// Gives indices the rows that they do not know, each in a step of its own: one that cannot be built is no obstacle to others.
  private func catchUp(_ place: TableLocation, _ known: inout Memory, _ report: inout TableUpkeep) -> Bool {
    var behind: [String] = []
    var isDone = step("index", &known, &report) { _ throws(Failure) in
      behind = try LanceTable(place).indexList().filter {
        $0.isUsable && $0.unindexedRows >= max(1, options.fewestRowsToIndex, $0.indexedRows / 20)
      }.map(\.name)
    }
    for name in behind {
      let isCaughtUp = step("index \(name)", &known, &report) { report throws(Failure) in
        report.indices += try place.optimizeIndices([name])
      }
      isDone = isDone && isCaughtUp
    }
    return isDone
  }

  /// Runs a step that is due.
  /// - Returns: whether it ran and ended well.
  private func step(
    _ name: String, _ known: inout Memory, _ report: inout TableUpkeep, _ body: (inout TableUpkeep) throws(Failure) -> Void
  ) -> Bool {
    if let failed = known.failures[name], now() < failed.due { return false }
    do throws(Failure) {
      try Cancellation.check()
      try body(&report)
      known.failures[name] = nil
      return true
    } catch {
      switch error.code {
      case .unsupported, .typeMismatch: return true  // What others write and we cannot: nothing to be done about it.
      case .cancelled, .datasetNotFound, .versionConflict: return false  // Told to stop, gone, or others write: the next pass.
      default: break
      }
      let count = (known.failures[name]?.count ?? 0) + 1
      let rest = min(86400, options.retrySeconds * Double(1 << min(count - 1, 20)))
      known.failures[name] = (count, now() + rest)
      report.failures.append((name, error))
      return false
    }
  }

  private var compaction: CompactOptions {
    var how = CompactOptions()
    how.memoryBytes = options.memoryBytes
    how.fewestFragments = options.fewestFragments
    how.leavesLargeAlone = true
    // Those who write have the right of way.
    how.attempts = 2
    how.properties = ["moonlake.upkeep": "true"]
    how.spares = { table throws(Failure) in try table.fragmentsOfForeignIndices() }
    let rate = options.bytesPerSecond
    how.pace = { bytes throws(Failure) in try Pacer.pass(bytes, bytesPerSecond: rate) }
    return how
  }
}
