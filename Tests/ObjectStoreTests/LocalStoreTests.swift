import Core
import Glibc
import ObjectStore
import TestSupport
import Testing

/// What only a directory can get wrong.
@Suite("LocalStore")
struct LocalStoreTests {
  @Test func linksThatLeadOutAreRefused() throws {
    let base = temporaryFolder()
    let store = try LocalStore(root: base + "/root")
    mkdir(base + "/outside", 0o755)
    try LocalStore(root: base + "/outside").put("secret", [1])
    symlink(base + "/outside", base + "/root/out")
    symlink(base + "/outside/secret", base + "/root/file")
    symlink("nowhere", base + "/root/dangling")
    let message = "'out/secret' leads out of \(base)/root through a symbolic link"
    #expect(failure { _ = try store.read("out/secret") }?.message == message)
    #expect(failure { _ = try store.read("file") }?.code == .pathNotAllowed)
    #expect(failure { _ = try store.head("file") }?.code == .pathNotAllowed)
    #expect(failure { try store.put("out/new", [1]) }?.code == .pathNotAllowed)
    #expect(failure { try store.put("out/deep/new", [1]) }?.code == .pathNotAllowed)
    #expect(failure { _ = try store.putIfAbsent("out/new", [1]) }?.code == .pathNotAllowed)
    #expect(failure { try store.delete("out/secret") }?.code == .pathNotAllowed)
    #expect(failure { try store.deleteTree("out/x") }?.code == .pathNotAllowed)
    #expect(try store.list("", recursive: true).isEmpty)
    #expect(failure { _ = try store.list("out", recursive: true) }?.code == .pathNotAllowed)
    // Deleting a link deletes the link.
    try store.deleteTree("out")
    try store.delete("file")
    #expect(access(base + "/outside/secret", F_OK) == 0)
    #expect(access(base + "/outside/new", F_OK) != 0 && access(base + "/outside/deep", F_OK) != 0)
  }

  @Test func linksInsideAreFollowed() throws {
    let base = temporaryFolder()
    let store = try LocalStore(root: base)
    try store.put("real/x", [7])
    symlink("real", base + "/alias")
    #expect(try store.read("alias/x").array() == [7])
    try store.put("alias/y", [8])
    #expect(try store.read("real/y").array() == [8])
  }

  @Test func rootMayBeALinkAndIsMade() throws {
    let base = temporaryFolder()
    mkdir(base + "/real", 0o755)
    symlink("real", base + "/link")
    let store = try LocalStore(root: base + "/link")
    try store.put("x", [1])
    #expect(access(base + "/real/x", F_OK) == 0)
    _ = try LocalStore(root: base + "/made/of/parts")
    #expect(access(base + "/made/of/parts", F_OK) == 0)
    #expect(
      failure { _ = try LocalStore(root: base + "/none", create: false) }?.message
        == "directory '\(base)/none' does not exist")
    #expect(failure { _ = try LocalStore(root: base + "/real/x") }?.message == "'\(base)/real/x' is not a directory")
  }

  @Test func foldersAreNotFiles() throws {
    let store = try LocalStore(root: temporaryFolder())
    try store.put("d/x", [1])
    #expect(failure { _ = try store.read("d") }?.message == "'d' in \(store.name) is not a file")
    #expect(failure { try store.put("d", [1]) }?.code == .ioError)
    #expect(failure { try store.put("d/x/y", [1]) }?.code == .ioError)
    #expect(try store.list("", recursive: true).map(\.path) == ["d/x"])
  }

  @Test func largeFilesAreMappedOnPages() throws {
    let store = try LocalStore(root: temporaryFolder())
    try store.put("m", [UInt8](repeating: 3, count: LocalStore.mappingThreshold * 40))
    let mapped = try store.read("m")
    #expect(UInt(bitPattern: mapped.pointer) % 4096 == 0)
    #expect(mapped.withBytes { $0.allSatisfy { $0 == 3 } })
    // Nothing of it is charged to the budget. Other tests take memory meanwhile, but not during every one of these reads.
    let isCharged = try (0..<50).map { _ in
      let before = MemoryBudget.usedBytes
      let again = try store.read("m")
      return withExtendedLifetime(again) { MemoryBudget.usedBytes - before >= LocalStore.mappingThreshold * 40 }
    }
    #expect(isCharged.contains(false))
  }

  @Test func errorsSayWhatTheSystemSaid() throws {
    let base = temporaryFolder()
    let store = try LocalStore(root: base)
    try store.put("locked/x", [1])
    let writer = try store.create("gone/y")
    try writer.append([1])
    try LocalStore(root: base).deleteTree("gone")
    #expect(failure { try writer.finish() }?.message == "cannot write 'gone/y' in \(base): No such file or directory")
  }

  @Test func longNamesStayWithinTheLimit() throws {
    let store = try LocalStore(root: temporaryFolder())
    let name = String(repeating: "n", count: 255)
    try store.put(name, [5])
    #expect(try store.read(name).array() == [5])
  }

  /// What somebody holds, in this process or another, is not removed, and what is being removed cannot be held.
  @Test func heldFilesStay() throws {
    let store = try LocalStore(root: temporaryFolder())
    try store.put("x", [1])
    #expect(try !store.isHeld("x") && !store.isHeld("none"))
    #expect(failure { _ = try store.isHeld("../x") }?.code == .pathNotAllowed)
    mkdir(store.root + "/folder", 0o755)
    #expect(failure { _ = try store.isHeld("folder") }?.code == .ioError)
    var hold = store.hold("x")
    #expect(hold != nil)
    #expect(try store.isHeld("x"))
    #expect(try store.deleteUnheld("x") { () throws(Failure) in Issue.record("checked") } == false)
    hold = nil
    let why = failure { _ = try store.deleteUnheld("x") { () throws(Failure) in throw Failure(.versionConflict, "no") } }
    #expect(why?.code == .versionConflict)
    #expect(try store.read("x").array() == [1])
    let removed = try store.deleteUnheld("x") { () throws(Failure) in
      #expect(store.hold("x") == nil)
      #expect(try store.isHeld("x"))
    }
    #expect(removed && store.hold("x") == nil)
    #expect(try store.head("x") == nil && store.deleteUnheld("x") { () throws(Failure) in })
  }
}
