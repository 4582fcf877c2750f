package import Core
import Foundation

/// One interpreter of `MOONLAKE_PYTHON` that runs commands of a script of Tests/interop (command_loop.py): one JSON array a line to
/// it, one JSON object a line from it, `{"result": ...}` or `{"error": "traceback"}`. For one thread.
package final class PythonScript {
  /// Nil when `MOONLAKE_PYTHON` is not set: tests that need the official library are then skipped.
  package static let interpreter = ProcessInfo.processInfo.environment["MOONLAKE_PYTHON"].flatMap { $0.isEmpty ? nil : $0 }

  private let process = Process()
  private let input = Pipe()
  private let output = Pipe()
  private var rest = Data()
  private var last = ""

  /// - Parameter script: its name in Tests/interop, without `.py`.
  package init(_ script: String) throws {
    process.executableURL = URL(fileURLWithPath: PythonScript.interpreter ?? "")
    process.arguments = [repository + "/Tests/interop/\(script).py"]
    process.standardInput = input
    process.standardOutput = output
    try process.run()
  }

  deinit {
    try? input.fileHandleForWriting.close()
    process.waitUntilExit()
  }

  /// Begins a command.
  package func send(_ command: String...) throws { try send(command.map { .string($0) }) }

  private func send(_ command: [JSONValue]) throws {
    let line = JSONValue.array(command).utf8()
    last = String(decoding: line, as: UTF8.self)
    try input.fileHandleForWriting.write(contentsOf: line + [10])
  }

  /// The result of the last command. A failed one is an error with Python's traceback.
  package func answer() throws -> JSONValue {
    while true {
      if let end = rest.firstIndex(of: 10) {
        let line = [UInt8](rest[..<end])
        rest = Data(rest[(end + 1)...])
        let answer = try JSONValue(parsing: line)
        if let error = answer["error"]?.stringValue { throw Failure(.internalError, "\(last): \(error)") }
        return answer["result"] ?? .null
      }
      let more = output.fileHandleForReading.availableData
      guard !more.isEmpty else { throw Failure(.internalError, "\(last): Python ended") }
      rest.append(more)
    }
  }

  /// Runs a command to its end.
  @discardableResult
  package func run(_ command: String...) throws -> JSONValue {
    try send(command.map { .string($0) })
    return try answer()
  }

  /// Runs a command whose arguments are not all text.
  @discardableResult
  package func call(_ command: JSONValue...) throws -> JSONValue {
    try send(command)
    return try answer()
  }
}
