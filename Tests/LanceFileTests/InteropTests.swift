import Columnar
import Core
import Foundation
import LanceFile
import Testing

private let interopPython = ProcessInfo.processInfo.environment["MOONLAKE_PYTHON"]

/// Files between pylance and us, by `Tests/interop/lance_file.py`: pylance writes, we read and write back, pylance compares.
/// Needs `MOONLAKE_PYTHON`; `MOONLAKE_INTEROP=all` adds the cases of 100,000 rows.
@Suite(.enabled(if: interopPython != nil, "MOONLAKE_PYTHON is not set: nothing was compared with pylance"))
struct InteropTests {
  static let script = URL(filePath: #filePath).deletingLastPathComponent().appending(path: "../interop/lance_file.py")
    .standardized.path

  struct Case: Codable { var name: String, version: String, take: [Int] }
  struct Cases: Codable { var cases: [Case], refused: [String] }
  struct Verdict: Codable { var cases: Int, differences: [String] }

  private func run(_ arguments: [String]) throws -> Data {
    let process = Process()
    process.executableURL = URL(filePath: try #require(interopPython))
    process.arguments = [Self.script] + arguments
    let output = Pipe()
    process.standardOutput = output
    process.standardError = FileHandle.nullDevice
    try process.run()
    let data = output.fileHandleForReading.readDataToEndOfFile()
    process.waitUntilExit()
    try #require(process.terminationStatus == 0, "lance_file.py \(arguments) failed")
    return data
  }

  @Test func pylanceAndWeReadTheSame() throws {
    let root = FileManager.default.temporaryDirectory.appending(path: "moonlake-interop-\(randomUUID())").path
    try FileManager.default.createDirectory(atPath: root, withIntermediateDirectories: true)
    defer { try? FileManager.default.removeItem(atPath: root) }
    let level = ProcessInfo.processInfo.environment["MOONLAKE_INTEROP"] == "all" ? "all" : "small"
    _ = try run(["generate", root, level])
    let cases = try JSONDecoder().decode(Cases.self, from: try Data(contentsOf: URL(filePath: "\(root)/cases.json")))
    #expect(cases.cases.count > 1500, "pylance refused too much: \(cases.refused)")
    for item in cases.cases {
      do {
        let bytes = [UInt8](try Data(contentsOf: URL(filePath: "\(root)/\(item.name).lance")))
        let file = try LanceFileReader(buffer: try Buffer(bytes), path: item.name)
        try writeBack(file, rows: nil, item, "\(root)/\(item.name).back.lance")
        try writeBack(file, rows: item.take, item, "\(root)/\(item.name).take.lance")
      } catch { Issue.record("\(item.name): \(error)") }
    }
    let verdict = try JSONDecoder().decode(Verdict.self, from: try run(["verify", root]))
    #expect(verdict.cases == cases.cases.count)
    #expect(verdict.differences == [])
    print(
      "pylance interop: \(verdict.cases) cases, \(verdict.differences.count) differences, \(cases.refused.count) refused by pylance itself"
    )
  }

  /// Writes the rows that we read, in two batches. Packed structs and blobs, which we only read, become plain columns; a compression
  /// that was asked for is kept.
  private func writeBack(_ file: LanceFileReader, rows: [Int]?, _ item: Case, _ path: String) throws {
    let batches: [RecordBatch]
    if let rows {
      batches = [try file.take(rows: rows)]
    } else {
      let half = file.rowCount / 2
      batches = [try file.read(rows: 0..<half), try file.read(rows: half..<file.rowCount)]
    }
    for batch in batches { for (i, column) in batch.columns.enumerated() { try column.validated("\(item.name) column \(i)") } }
    var schema = batches[0].schema
    for i in schema.fields.indices {
      schema.fields[i].metadata = schema.fields[i].metadata.filter { $0.key.hasPrefix("lance-encoding:compression") }
    }
    let version = try LanceFileVersion.named(item.version)
    try Data(try written(batches, schema: schema, version)).write(to: URL(filePath: path))
  }
}
