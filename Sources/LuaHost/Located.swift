import Core

/// Where in the user's script an error came from.
extension State {
  /// `failure` with place, and `script`, `line`, `excerpt`, `traceback` in its details.
  func located(_ failure: Failure, source: String?, line: Int, traceback: String?) -> Failure {
    var result = failure
    result.details["where"] = nil
    var script = source
    var number = line
    if let place = failure.place, let colon = place.lastIndex(of: ":"), let named = Int(place[place.index(after: colon)...]) {
      let short = String(place[..<colon])
      script = sources.keys.first { $0 == short || shortened($0) == short } ?? short
      number = named
    }
    guard let script, !script.isEmpty, number > 0 else {
      if let traceback { result.details["traceback"] = .string(traceback) }
      return result
    }
    result.place = "\(script):\(number)"
    result.details["script"] = .string(script)
    result.details["line"] = .int(Int64(number))
    if let text = excerpt(script, number) { result.details["excerpt"] = .string(text) }
    if let traceback { result.details["traceback"] = .string(traceback) }
    return result
  }

  /// Lua shows chunk names of 60 bytes and more as `...` and their end.
  private func shortened(_ name: String) -> String {
    name.utf8.count < 60 ? name : "..." + String(decoding: Array(name.utf8.suffix(56)), as: UTF8.self)
  }

  /// Two lines before and after, the line itself marked by `>`.
  private func excerpt(_ script: String, _ line: Int) -> String? {
    guard let text = sources[script] else { return nil }
    let lines = text.split(separator: "\n", omittingEmptySubsequences: false)
    guard line <= lines.count else { return nil }
    let first = max(1, line - 2)
    let last = min(lines.count, line + 2)
    let width = "\(last)".count
    return (first...last).map { n in
      let number = String(repeating: " ", count: width - "\(n)".count) + "\(n)"
      return "\(n == line ? ">" : " ") \(number) | \(lines[n - 1].prefix(200))"
    }.joined(separator: "\n")
  }
}
