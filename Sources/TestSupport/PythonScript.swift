package import Core
import Foundation

/// One interpreter of `MOONLAKE_PYTHON` that runs commands of a script of Tests/interop: one JSON array a line to it, one JSON object a line
/// from it, `{"result": ...}` or `{"error": "traceback"}`. For one thread.
package final class PythonScript {
  /// Nil when `MOONLAKE_PYTHON` is not set: tests that need the official library are then skipped.
  package static let interpreter = ProcessInfo.processInfo.environment["MOONLAKE_PYTHON"].flatMap { $0.isEmpty ? nil : $0 }

  private let process = Process()
  private let input = Pipe()
  private let output = Pipe()
  private var rest = Data()

  /// - Parameter path: of the script.
  package init(_ path: String) throws {
    process.executableURL = URL(fileURLWithPath: PythonScript.interpreter ?? "")
    process.arguments = [path]
    process.standardInput = input
    process.standardOutput = output
    try process.run()
  }

  deinit {
    try? input.fileHandleForWriting.close()
    process.waitUntilExit()
  }

  /// Runs a command to its end. A failed one is an error with Python's traceback.
  @discardableResult
  package func run(_ command: JSONValue...) throws -> JSONValue {
    try input.fileHandleForWriting.write(contentsOf: JSONValue.array(command).utf8() + [10])
    let name = command.first?.stringValue ?? ""
    while true {
      if let end = rest.firstIndex(of: 10) {
        let line = [UInt8](rest[..<end])
        rest = Data(rest[(end + 1)...])
        let answer = try JSONValue(parsing: line)
        if let error = answer["error"]?.stringValue { throw Failure(.internalError, "\(name): \(error)") }
        return answer["result"] ?? .null
      }
      let more = output.fileHandleForReading.availableData
      guard !more.isEmpty else { throw Failure(.internalError, "\(name): Python ended") }
      rest.append(more)
    }
  }
}
