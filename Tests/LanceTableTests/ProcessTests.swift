import Columnar
import Core
import Foundation
import LanceTable
import ObjectStore
import TestSupport
import Testing

/// Several processes on one table: this test program starts itself again as the writers.
@Suite("Processes side by side")
struct ProcessTests {
  private static let tableVariable = "MOONLAKE_TEST_APPENDER"

  /// The writer: appends rows `first`, `first + 1`, ... one by one and says each once its commit was acknowledged.
  @Test(.enabled(if: ProcessInfo.processInfo.environment[tableVariable] != nil, "only in the processes that the tests start"))
  func appender() throws {
    let parts = (ProcessInfo.processInfo.environment[ProcessTests.tableVariable] ?? "").split(separator: ":").map(String.init)
    let location = TableLocation(try LocalStore(root: parts[0]), "t.lance")
    let first = try #require(Int(parts[1]))
    for id in first..<first + (Int(parts[2]) ?? 0) {
      do {
        try LanceTable.write(SampleRows.reader([id]), to: location, mode: .append)
        FileHandle.standardError.write(Data("appended \(id)\n".utf8))
      } catch { guard (error as? Failure)?.code == .versionConflict else { throw error } }
    }
  }

  private func start(_ root: String, first: Int, count: Int) throws -> (process: Process, said: Pipe) {
    let process = Process()
    process.executableURL = URL(fileURLWithPath: try #require(realpath("/proc/self/exe", nil).map { String(cString: $0) }))
    process.arguments =
      Array(CommandLine.arguments.dropFirst()).filter { $0.hasSuffix(".xctest") } + [
        "--testing-library", "swift-testing", "--filter", "ProcessTests/appender",
      ]
    var environment = ProcessInfo.processInfo.environment
    environment[ProcessTests.tableVariable] = "\(root):\(first):\(count)"
    process.environment = environment
    let said = Pipe()
    process.standardError = said
    process.standardOutput = FileHandle.nullDevice
    try process.run()
    return (process, said)
  }

  private func acknowledged(_ said: Pipe) -> [Int] {
    let text = String(decoding: said.fileHandleForReading.readDataToEndOfFile(), as: UTF8.self)
    // A last line that the kill cut off is no acknowledgement.
    return text.split(separator: "\n", omittingEmptySubsequences: false).dropLast()
      .filter { $0.hasPrefix("appended ") }.compactMap { Int($0.dropFirst(9)) }
  }

  private func storedIDs(_ table: LanceTable) throws -> [Int] {
    let batch = try table.take(Array(0..<table.rowCount), columns: ["id"])
    return values(batch.columns[0], Int64.self).map { Int($0) }.sorted()
  }

  @Test func twoProcessesAppend() throws {
    let root = temporaryFolder()
    let location = TableLocation(try LocalStore(root: root), "t.lance")
    try LanceTable.write(InMemoryReader(schema: SampleRows.schema, []), to: location, mode: .create)
    let writers = [try start(root, first: 1000, count: 40), try start(root, first: 2000, count: 40)]
    let said = writers.flatMap { acknowledged($0.said) }
    for writer in writers {
      writer.process.waitUntilExit()
      #expect(writer.process.terminationStatus == 0)
    }
    #expect(said.count > 60)
    let table = try LanceTable(location)
    #expect(try storedIDs(table) == said.sorted())
    #expect(table.version == UInt64(said.count + 1))
  }

  /// kill -9 at any moment: the table opens, nothing that was acknowledged is lost, nothing is there twice, and the next
  /// writer goes on.
  @Test func killedWritersLoseNothing() throws {
    let root = temporaryFolder()
    let location = TableLocation(try LocalStore(root: root), "t.lance")
    try LanceTable.write(InMemoryReader(schema: SampleRows.schema, []), to: location, mode: .create)
    var said: [Int] = []
    for round in 1...6 {
      let writer = try start(root, first: round * 100_000, count: 100_000)
      // Until the first acknowledgement, and a random time more.
      var first = Data()
      while !String(decoding: first, as: UTF8.self).contains("appended ") {
        let more = writer.said.fileHandleForReading.availableData
        try #require(!more.isEmpty, "the writer ended: \(String(decoding: first, as: UTF8.self))")
        first += more
      }
      usleep(UInt32.random(in: 20_000...80_000))
      kill(writer.process.processIdentifier, SIGKILL)
      writer.process.waitUntilExit()
      let tail = writer.said.fileHandleForReading.readDataToEndOfFile()
      let lines = String(decoding: first + tail, as: UTF8.self).split(separator: "\n", omittingEmptySubsequences: false)
        .dropLast()
      said += lines.filter { $0.hasPrefix("appended ") }.compactMap { Int($0.dropFirst(9)) }
      let table = try LanceTable(location)
      let stored = try storedIDs(table)
      #expect(Set(stored).count == stored.count)
      #expect(Set(said).isSubset(of: Set(stored)), "lost: \(Set(said).subtracting(stored))")
      // A row may be there whose acknowledgement the kill cut off: one per round at most.
      #expect(stored.count - said.count <= round)
      #expect(try SampleRows.difference(table, storedInOrder(table)) == nil)
    }
    #expect(said.count >= 6)
  }

  private func storedInOrder(_ table: LanceTable) throws -> [Int] {
    let batch = try table.take(Array(0..<table.rowCount), columns: ["id"])
    return values(batch.columns[0], Int64.self).map { Int($0) }
  }
}
