package import Core
package import ObjectStore
import Synchronization
import Tensors

/// Where a script's checkpoints lie: in the lake, beside its data sets and models, one folder for each output.
package struct CheckpointPlace: Sendable {
  let store: any ObjectStore
  let folder: @Sendable (String) throws -> String
  let endings = CheckpointEndings()

  /// - Parameter folder: the folder in `store` for an output's name; throws for names that cannot be.
  package init(store: any ObjectStore, folder: @escaping @Sendable (String) throws -> String) {
    self.store = store
    self.folder = folder
  }
}

/// The outputs whose checkpoints go when the run has ended well: until then a failure may still need them.
final class CheckpointEndings: Sendable {
  let names = Mutex<Set<String>>([])
}

extension CheckpointPlace {
  /// - Throws: as `CheckpointFolder.init`, for names that cannot be.
  func deleteAtEnd(_ name: String) throws(Failure) {
    _ = try CheckpointFolder(self, name)
    endings.names.withLock { _ = $0.insert(name) }
  }

  /// Removes what the run asked to have removed at its end.
  /// - Throws: the first failure; what could not be removed stays for the next run.
  package func runHasEndedWell() throws(Failure) {
    for name in endings.names.withLock({ $0.sorted() }) { try CheckpointFolder(self, name).deleteAll() }
  }
}

/// The checkpoints of one output: `0000000012.safetensors`, numbered as they were written.
struct CheckpointFolder {
  /// A temporary file that nobody has written to for so long was left by a process that died.
  static let staleSeconds = 600.0
  private static let ending = ".safetensors"

  let store: any ObjectStore
  let folder: String

  init(_ place: CheckpointPlace, _ name: String) throws(Failure) {
    store = place.store
    do { folder = try place.folder(name) } catch { throw Failure.wrapping(error) }
  }

  struct Entry {
    let number: Int
    let info: ObjectInfo
  }

  /// All that are there, oldest first.
  func entries() throws(Failure) -> [Entry] {
    var out: [Entry] = []
    for info in try store.list(folder, recursive: false) {
      guard !info.isFolder, info.name.hasSuffix(CheckpointFolder.ending) else { continue }
      let digits = info.name.dropLast(CheckpointFolder.ending.utf8.count)
      guard digits.utf8.count == 10, digits.utf8.allSatisfy({ (48...57).contains($0) }), let number = Int(digits) else {
        continue
      }
      out.append(Entry(number: number, info: info))
    }
    return out.sorted { $0.number < $1.number }
  }

  /// Removes those with numbers below `number`.
  func deleteAll(below number: Int) throws(Failure) {
    try store.delete(try entries().filter { $0.number < number }.map(\.info.path))
  }

  func deleteAll() throws(Failure) {
    // Above a folder that was never made there may be none either.
    if try !store.list(folder, recursive: false).isEmpty { try store.deleteTree(folder) }
  }

  func path(_ number: Int) -> String {
    let digits = String(number)
    return "\(folder)/\(String(repeating: "0", count: max(0, 10 - digits.utf8.count)))\(digits)\(CheckpointFolder.ending)"
  }

  /// Adds one; it is there whole and durable when this returns, or not at all.
  func add(_ file: CheckpointFile) throws(Failure) -> Int {
    let number = (try entries().last?.number ?? 0) + 1
    guard number < 10_000_000_000 else {
      throw Failure(.invalidArgument, "checkpoint: '\(folder)' has the number \(number - 1), after which there is none")
    }
    let writer = try store.create(path(number))
    do throws(Failure) {
      try file.write(to: writer)
      try writer.finish()
    } catch {
      writer.abort()
      throw error.context("checkpoint")
    }
    return number
  }

  func read(_ entry: Entry) throws(Failure) -> CheckpointFile {
    try CheckpointFile(reading: try store.read(entry.info.path), shown: entry.info.path)
  }

  /// What a checkpoint says of itself; nothing when it cannot be read.
  func facts(_ entry: Entry) throws(Failure) -> CheckpointFacts {
    do throws(Failure) {
      let first = try store.read(entry.info.path, range: 0..<min(8, entry.info.size))
      guard let length = SafeTensors.headerBytes(first.bytes), length <= entry.info.size else { return CheckpointFacts() }
      let header = try store.read(entry.info.path, range: 0..<length)
      return CheckpointFacts(try SafeTensors.metadata(header.bytes))
    } catch {
      guard error.code == .corruptData || error.code == .fileNotFound else { throw error }
      return CheckpointFacts()
    }
  }

  /// Keeps the last `count` and, when that is asked for, the one with the best metric (of equal ones the newest).
  func keep(last count: Int, smallestIsBest: Bool?) throws(Failure) {
    let all = try entries()
    var drop = Array(all.dropLast(count))
    if let smallestIsBest, !drop.isEmpty {
      var best: (number: Int, metric: Double)?
      for entry in all {
        guard let metric = try facts(entry).metric, !metric.isNaN else { continue }
        if let known = best, smallestIsBest ? metric > known.metric : metric < known.metric { continue }
        best = (entry.number, metric)
      }
      drop.removeAll { $0.number == best?.number }
    }
    let now = Instant.now.timeInterval
    let left = try store.list(folder, recursive: false).filter {
      !$0.isFolder && $0.name.hasSuffix(".tmp") && now - $0.modified.timeInterval > CheckpointFolder.staleSeconds
    }
    try store.delete(drop.map(\.info.path) + left.map(\.path))
  }
}
