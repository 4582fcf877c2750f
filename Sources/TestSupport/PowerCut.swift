package import Core
package import ObjectStore

/// What a disk may hold after a power cut.
///
/// The model: bytes of a file are safe when the file was synced after they were written; a name (new, gone or moved) is safe
/// when its directory was synced after the change. Of everything else any part may be there and any may not: later changes
/// without earlier ones, files without bytes, half of a write, zeros or garbage in place of bytes. A change of one name is
/// all or nothing. (As the crash layer of SQLite's test6.c, and ALICE, https://www.usenix.org/conference/osdi14.)
package struct PowerCut: Sendable {
  /// What becomes of that which was not synced.
  package enum Loss: Sendable, Hashable {
    /// Nothing of it is there.
    case everything
    /// Names are there, bytes are not: files are empty.
    case bytes
    /// Names and lengths are there, bytes are zero.
    case zeroed
    /// All of it is there: as after a kill of the process.
    case nothing
    /// Any part of it, torn and garbled.
    case random(seed: UInt64)
  }

  private struct File {
    var safe: [UInt8] = []
    var pending: [[UInt8]] = []
  }
  private enum Target: Hashable { case file(Int), folder }
  private enum NameChange {
    case set(String, Target)
    case remove(String)
    case move(String, String, Target)
  }
  private struct Folder {
    var safe: [String: Target] = [:]
    var now: [String: Target] = [:]
    var pending: [NameChange] = []

    static func apply(_ change: NameChange, to names: inout [String: Target]) {
      switch change {
      case .set(let name, let target): names[name] = target
      case .remove(let name): names[name] = nil
      case .move(let from, let to, let target):
        names[from] = nil
        names[to] = target
      }
    }
    mutating func change(_ change: NameChange) {
      Folder.apply(change, to: &now)
      pending.append(change)
    }
  }

  private var files: [Int: File] = [:]
  private var folders: [String: Folder] = [:]
  private let root: String
  /// The marks before the cut.
  package private(set) var marks: [String] = []

  /// The disk after the first `count` of `changes`, below the directory `root`, which was there and empty before.
  package init(after changes: some Collection<DiskChange>, root: String) {
    self.root = root
    folders[root] = Folder()
    for change in changes { apply(change) }
  }

  private mutating func apply(_ change: DiskChange) {
    switch change {
    case .create(let path, let inode):
      files[inode] = File()
      self.change(path, .set(ObjectPath.name(path), .file(inode)))
    case .write(let inode, let bytes): files[inode]?.pending.append(bytes)
    case .sync(let inode):
      guard var file = files[inode] else { return }
      file.safe += file.pending.joined()
      file.pending = []
      files[inode] = file
    case .rename(let from, let to):
      guard let target = target(from) else { return }
      if ObjectPath.folder(from) == ObjectPath.folder(to) {
        self.change(from, .move(ObjectPath.name(from), ObjectPath.name(to), target))
      } else {
        self.change(to, .set(ObjectPath.name(to), target))
        self.change(from, .remove(ObjectPath.name(from)))
      }
    case .link(let from, let to):
      guard let target = target(from) else { return }
      self.change(to, .set(ObjectPath.name(to), target))
    case .unlink(let path), .removeFolder(let path): self.change(path, .remove(ObjectPath.name(path)))
    case .makeFolder(let path):
      folders[path] = Folder()
      self.change(path, .set(ObjectPath.name(path), .folder))
    case .syncFolder(let path):
      guard var folder = folders[path] else { return }
      folder.safe = folder.now
      folder.pending = []
      folders[path] = folder
    case .mark(let text): marks.append(text)
    }
  }

  private mutating func change(_ path: String, _ change: NameChange) { folders[ObjectPath.folder(path)]?.change(change) }
  private func target(_ path: String) -> Target? { folders[ObjectPath.folder(path)]?.now[ObjectPath.name(path)] }

  /// The files that are there when power is back, in memory.
  package func disk(_ loss: Loss) throws(Failure) -> MemoryStore {
    let store = MemoryStore()
    var random = SeededRandom(seed: { if case .random(let seed) = loss { seed } else { 0 } }())
    var contents: [Int: [UInt8]] = [:]
    for inode in files.keys.sorted() { if let file = files[inode] { contents[inode] = content(file, loss, &random) } }
    try put(root, "", loss, contents, &random, into: store)
    return store
  }

  private func put(
    _ path: String, _ shown: String, _ loss: Loss, _ contents: [Int: [UInt8]], _ random: inout SeededRandom,
    into store: MemoryStore
  ) throws(Failure) {
    guard let folder = folders[path] else { return }
    var names = folder.safe
    for change in folder.pending {
      let isThere: Bool
      switch loss {
      case .everything: isThere = false
      case .bytes, .zeroed, .nothing: isThere = true
      case .random: isThere = Bool.random(using: &random)
      }
      if isThere { Folder.apply(change, to: &names) }
    }
    for (name, target) in names.sorted(by: { $0.key < $1.key }) {
      let place = ObjectPath.join(shown, name)
      switch target {
      case .folder: try put(path + "/" + name, place, loss, contents, &random, into: store)
      case .file(let inode): try store.put(place, contents[inode] ?? [])
      }
    }
  }

  private func content(_ file: File, _ loss: Loss, _ random: inout SeededRandom) -> [UInt8] {
    var bytes = file.safe
    switch loss {
    case .everything, .bytes: break
    case .zeroed: bytes += [UInt8](repeating: 0, count: file.pending.reduce(0) { $0 + $1.count })
    case .nothing: bytes += file.pending.joined()
    case .random:
      // Where a write is lost and a later one is not, zeros stand in its place.
      var end = bytes.count
      for write in file.pending {
        let start = end
        end += write.count
        var part = write
        switch Int.random(in: 0..<5, using: &random) {
        case 0: continue
        case 1: part = Array(write.prefix(Int.random(in: 0...write.count, using: &random)))
        case 2: part = [UInt8](repeating: 0, count: write.count)
        case 3 where !write.isEmpty:
          // A sector of garbage.
          let at = Int.random(in: 0..<write.count, using: &random)
          for i in at..<min(write.count, at + 512) { part[i] = UInt8.random(in: 0...255, using: &random) }
        default: break
        }
        bytes += [UInt8](repeating: 0, count: start - bytes.count)
        bytes += part
      }
    }
    return bytes
  }
}
