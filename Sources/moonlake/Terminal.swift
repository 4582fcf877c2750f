import Core
import Foundation

/// What goes to a person's terminal: results on stdout; errors, logs and progress on stderr.
enum Terminal {
  static let isInteractiveOutput = isatty(STDOUT_FILENO) == 1
  static let isInteractiveErrors = isatty(STDERR_FILENO) == 1

  static func error(_ line: String) { FileHandle.standardError.write(Data((line + "\n").utf8)) }

  /// A failure as people read it: code and message, then place, excerpt and traceback when a script was involved.
  static func complain(_ failure: Failure) {
    // All of it may be a script's words.
    error(clean("error: \(failure.message) [\(failure.code)]"))
    if let place = failure.place { error(clean("  at \(place)")) }
    for key in ["excerpt", "traceback"] {
      if let text = failure.details[key]?.stringValue, !text.isEmpty { error(clean(text)) }
    }
  }

  /// Text without control characters, so that a name or a log line cannot move the cursor or recolour a terminal.
  static func clean(_ text: String) -> String {
    String(
      String.UnicodeScalarView(
        text.unicodeScalars.map { ($0.value < 32 && $0 != "\t" && $0 != "\n") || $0.value == 127 ? "\u{FFFD}" : $0 }))
  }

  /// Columns aligned under their headings.
  static func table(_ head: [String], _ rows: [[String]]) -> String {
    let rows = rows.map { $0.map(clean) }
    let widths = head.indices.map { i in ([head] + rows).map { $0[i].count }.max() ?? 0 }
    func line(_ cells: [String]) -> String {
      var text = ""
      for (i, cell) in cells.enumerated() {
        text += cell
        if i < cells.count - 1 { text += String(repeating: " ", count: widths[i] - cell.count + 2) }
      }
      return text
    }
    return ([line(head)] + rows.map(line)).joined(separator: "\n")
  }
}

/// One line on a terminal that shows how far a task is; nothing when stderr is no terminal.
final class ProgressBar {
  private var started = monotonicSeconds()
  private var shown = false
  private var last = 0.0
  private var phase = ""

  func update(done: Double, total: Double?, phase newPhase: String?) {
    guard Terminal.isInteractiveErrors else { return }
    let now = monotonicSeconds()
    if let newPhase, newPhase != phase {
      phase = newPhase
      started = now
    }
    guard now - last > 0.1 || done == total else { return }
    last = now
    var line = phase.isEmpty ? "" : Terminal.clean(phase) + " "
    if let total, total > 0 {
      let share = min(1, max(0, done / total))
      let filled = Int(share * 30)
      line += "[" + String(repeating: "#", count: filled) + String(repeating: ".", count: 30 - filled) + "] "
      line += "\(Int(share * 100))% \(ProgressBar.number(done))/\(ProgressBar.number(total))"
      if share > 0.01, share < 1 { line += " \(ProgressBar.number(((now - started) * (1 - share) / share).rounded())) s left" }
    } else {
      line += ProgressBar.number(done)
    }
    FileHandle.standardError.write(Data("\r\u{1B}[K\(line)".utf8))
    shown = true
  }

  /// Ends the line, so that other text can follow.
  func clear() {
    guard shown else { return }
    FileHandle.standardError.write(Data("\r\u{1B}[K".utf8))
    shown = false
  }

  private static func number(_ value: Double) -> String { JSONValue.double(value).text() }
}
