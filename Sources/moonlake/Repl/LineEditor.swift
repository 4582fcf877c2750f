import CEdit
import Core
import Foundation

/// Lines from a person: libedit with history and completion on a terminal, plain lines from a pipe.
///
/// One editor per process, used by one thread; libedit's callbacks find it through `current`.
final class LineEditor {
  enum Line {
    case text(String)
    /// Ctrl-C: the line so far is dropped.
    case interrupted
    /// Ctrl-D on an empty line, or the end of the pipe.
    case end
  }

  /// Names that may stand at the cursor: the part already typed that they replace, and the full candidates.
  typealias Completer = (_ lineToCursor: String) -> (typed: String, candidates: [String])

  nonisolated(unsafe) private static var current: LineEditor?  // set once by the one thread that reads lines
  private let complete: Completer
  private let historyFile: String?
  private var editor: OpaquePointer?
  private var history: OpaquePointer?
  private var prompt = strdup("> ")
  private var wasInterrupted = false

  init(historyFile: String?, complete: @escaping Completer) {
    self.complete = complete
    self.historyFile = historyFile
    LineEditor.current = self
    guard isatty(STDIN_FILENO) == 1 else { return }
    setlocale(LC_CTYPE, "")
    history = edit_history(historyFile, 1000)
    editor = edit_open(
      history, { _ in LineEditor.current?.prompt },
      { editor, _ in LineEditor.current?.completeAtCursor(editor) ?? UInt8(CC_ERROR) },
      { _, _ in
        LineEditor.current?.wasInterrupted = true
        print("^C")
        fflush(nil)
        return UInt8(CC_NEWLINE)
      })
  }

  deinit {
    if let editor { el_end(editor) }
    edit_forget(history)
    free(prompt)
  }

  /// The next line, without its end.
  func read(_ text: String) -> Line {
    guard let editor else {
      return readLine(strippingNewline: true).map { .text($0) } ?? .end
    }
    free(prompt)
    prompt = strdup(text)
    wasInterrupted = false
    var count: Int32 = 0
    let raw = el_gets(editor, &count)
    // Ctrl-C on an empty line gives no text either, but is not the end.
    if wasInterrupted {
      el_reset(editor)
      return .interrupted
    }
    guard let raw, count > 0 else { return .end }
    var line = String(cString: raw)
    while line.hasSuffix("\n") || line.hasSuffix("\r") { line.removeLast() }
    return .text(line)
  }

  /// Keeps an entry (of one or more lines) for later sessions.
  func remember(_ entry: String) {
    guard let history, !entry.allSatisfy(\.isWhitespace) else { return }
    edit_remember(history, entry)
    if let historyFile { _ = edit_save(history, historyFile) }
  }

  private func completeAtCursor(_ editor: OpaquePointer?) -> UInt8 {
    guard let editor, let info = el_line(editor)?.pointee, let start = info.buffer, let cursor = info.cursor else {
      return UInt8(CC_ERROR)
    }
    let bytes = UnsafeRawBufferPointer(start: start, count: cursor - start)
    let (typed, candidates) = complete(String(decoding: bytes, as: UTF8.self))
    guard let first = candidates.first else { return UInt8(CC_ERROR) }
    let common = candidates.dropFirst().reduce(first) { $0.commonPrefix(with: $1) }
    if common.count > typed.count, common.hasPrefix(typed) {
      return el_insertstr(editor, String(common.dropFirst(typed.count))) == 0 ? UInt8(CC_REFRESH) : UInt8(CC_ERROR)
    }
    if candidates.count == 1 { return UInt8(CC_NORM) }
    print("\n" + LineEditor.columns(candidates, width: 80))
    fflush(nil)
    return UInt8(CC_REDISPLAY)
  }

  private static func columns(_ names: [String], width: Int) -> String {
    let shown = names.prefix(200)
    let cell = (shown.map(\.count).max() ?? 0) + 2
    let perLine = max(1, width / cell)
    var text = ""
    for (i, name) in shown.enumerated() {
      text += name
      if i == shown.count - 1 { break }
      text += (i + 1) % perLine == 0 ? "\n" : String(repeating: " ", count: cell - name.count)
    }
    return names.count > shown.count ? text + "\n... \(names.count - shown.count) more" : text
  }
}
