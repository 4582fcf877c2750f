import Core
import Glibc
import ObjectStore
import TestSupport
import Testing

/// System calls that fail, one after the other, and power cuts at every one of them.
@Suite("LocalStore under faults")
struct FaultTests {
  enum Step: String, CaseIterable, CustomTestStringConvertible {
    case put, putIfAbsent, stream, delete, deleteTree, moveTree
    var testDescription: String { rawValue }
  }

  /// Runs one step on a store that holds `a/old` and `a/tree/x`.
  private func run(_ step: Step, _ store: LocalStore) throws {
    switch step {
    case .put: try store.put("a/old", Array("new".utf8))
    case .putIfAbsent: _ = try store.putIfAbsent("b/c/fresh", Array("new".utf8))
    case .stream:
      let writer = try store.create("b/c/fresh")
      try writer.append([UInt8](repeating: 1, count: 300 << 10))
      try writer.append(Array("new".utf8))
      try writer.finish()
    case .delete: try store.delete("a/old")
    case .deleteTree: try store.deleteTree("a/tree")
    case .moveTree: try store.moveTree("a/tree", to: "moved")
    }
  }

  /// Every call fails in turn: the step says so or did its work, what was there is whole, no temporary file stays.
  @Test(arguments: Step.allCases, [ENOSPC, EIO, EROFS, EMFILE]) func everyCallFailsOnce(_ step: Step, _ code: Int32) throws {
    var failing = 1
    while true {
      let root = temporaryFolder()
      let plain = try LocalStore(root: root)
      try plain.put("a/old", Array("old".utf8))
      try plain.put("a/tree/x", Array("x".utf8))
      let plan = FaultPlan(failing: failing)
      let store = try LocalStore(root: root, disk: FaultyFileSystem(plan, errno: code))
      let error = failure { try run(step, store) }
      if plan.struck == 0 {
        #expect(error == nil && failing > 1)
        break
      }
      if let error {
        #expect(error.code == .ioError && error.message.contains(String(cString: strerror(code))), "call \(failing)")
      }
      let names = try plain.list("", recursive: true)
      #expect(
        names.allSatisfy { !$0.path.hasSuffix(".tmp") } || (step == .putIfAbsent && error == nil),
        "call \(failing): \(names.map(\.path))")
      for object in names where object.name == "old" { #expect(["old", "new"].contains(text(try plain.read(object.path)))) }
      for object in names where object.name == "fresh" {
        #expect(object.size == (step == .stream ? 300 << 10 : 0) + 3, "call \(failing)")
      }
      // The same step works afterwards.
      if error != nil, step != .moveTree { try run(step, plain) }
      failing += 1
    }
  }

  /// What was acknowledged is there after any loss; what was not is old or new, never a mixture.
  @Test func powerCutsAtEveryChange() throws {
    let root = temporaryFolder()
    let disk = RecordingFileSystem()
    let store = try LocalStore(root: root, disk: disk)
    try store.put("a/x", Array("one".utf8))
    disk.mark("one")
    try store.put("a/x", Array("two".utf8))
    disk.mark("two")
    _ = try store.putIfAbsent("a/b/y", Array("why".utf8))
    disk.mark("why")
    let changes = disk.changes
    #expect(changes.count > 20)
    let order = ["one", "two", "why"]
    for count in 0...changes.count {
      let cut = PowerCut(after: changes[..<count], root: store.root)
      var losses: [PowerCut.Loss] = [.everything, .bytes, .zeroed, .nothing]
      losses += (0..<20).map { .random(seed: UInt64(count * 100 + $0)) }
      for loss in losses {
        let after = try cut.disk(loss)
        let done = order.filter { cut.marks.contains($0) }.count
        let x = try after.head("a/x").map { _ in text(try after.read("a/x")) }
        let y = try after.head("a/b/y").map { _ in text(try after.read("a/b/y")) }
        #expect(x == nil ? done == 0 : x == "one" ? done <= 1 : x == "two", "\(count) \(loss): \(x ?? "nil")")
        #expect(y == nil ? done <= 2 : y == "why", "\(count) \(loss): \(y ?? "nil")")
      }
    }
  }

  /// The model itself: without syncs everything may be lost, and a rename may come before the bytes.
  @Test func theModelLosesWhatIsNotSynced() throws {
    let changes: [DiskChange] = [
      .create(path: "/r/f.tmp", inode: 0), .write(inode: 0, bytes: [1, 2, 3]), .rename(from: "/r/f.tmp", to: "/r/f"),
    ]
    let cut = PowerCut(after: changes, root: "/r")
    #expect(try cut.disk(.everything).list("", recursive: true).isEmpty)
    #expect(try cut.disk(.bytes).read("f").array() == [])
    #expect(try cut.disk(.zeroed).read("f").array() == [0, 0, 0])
    #expect(try cut.disk(.nothing).read("f").array() == [1, 2, 3])
    var seen: Set<String> = []
    for seed in 0..<200 {
      let disk = try cut.disk(.random(seed: UInt64(seed)))
      seen.insert(
        try disk.list("", recursive: true).map { "\($0.name)=\(try disk.read($0.path).array())" }.joined(separator: ","))
    }
    #expect(seen.isSuperset(of: ["", "f=[]", "f=[1, 2, 3]", "f=[0, 0, 0]", "f.tmp=[1, 2, 3]", "f=[1]"]))
    let synced = PowerCut(
      after: changes[..<2] + [.sync(inode: 0)] + changes[2...] + [.syncFolder(path: "/r")], root: "/r")
    for seed in 0..<50 { #expect(try synced.disk(.random(seed: UInt64(seed))).read("f").array() == [1, 2, 3]) }
  }
}
