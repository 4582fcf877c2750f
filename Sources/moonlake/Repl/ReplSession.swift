import Core
import LuaHost

/// What happens to a line in the REPL, without the terminal: evaluate, print, complete, help.
final class ReplSession {
  enum Outcome {
    /// The text is the beginning of something: read one more line.
    case incomplete
    case done
    case failed(Failure)
    case quit
  }

  private let state: State
  private let modules: [Module]
  private let output: (String) -> Void
  private var entries = 0
  private var show: LuaFunction?
  /// Columns of the frames seen so far, for completion inside quotes.
  private var columns: Set<String> = []

  /// Modules that are there without `require`.
  static let preloaded = ["df", "lake", "tensor", "nn", "optim", "idx", "json", "fs", "time"]

  init(state: State, modules: [Module], output: @escaping (String) -> Void) throws(Failure) {
    self.state = state
    self.modules = modules
    self.output = output
    let boot = try state.load(ReplSession.boot, name: "repl", trusted: true)
    show = try state.run(boot, results: 1, read: { $0.reference(1) })
    for name in ReplSession.preloaded where modules.contains(where: { $0.name == name }) || name == "nn" || name == "optim" {
      let chunk = try state.load("\(name) = require '\(name)'", name: "repl")
      try state.defining { () throws(Failure) in try state.run(chunk, read: { _ in () }) }
    }
  }

  /// Prints results: frames as tables of their first rows, everything else by content. Returns column names seen.
  private static let boot = """
    local inspect = require "inspect"
    return function(...)
      local columns = {}
      for i = 1, select("#", ...) do
        local value = select(i, ...)
        local kind = inspect.type_name(value)
        if kind == "Frame" then
          value:show()
          columns = value:columns()
        elseif kind == "Batch" then
          print(tostring(value))
          columns = value:names()
        else
          print(inspect.pretty(value))
        end
      end
      return columns
    end
    """

  /// The columns of all frames that globals hold.
  private static let columnsOfGlobals = """
    local inspect = require "inspect"
    local columns = {}
    for _, value in pairs(_G) do
      if inspect.type_name(value) == "Frame" then
        local ok, names = pcall(value.columns, value)
        for _, name in ipairs(ok and names or {}) do columns[#columns + 1] = name end
      end
    end
    return columns
    """

  /// Runs one entry: a bare expression is printed, a statement is executed, `?name` and `:command` are the REPL's own.
  func evaluate(_ text: String) -> Outcome {
    let trimmed = text.drop { $0.isWhitespace }
    if trimmed.allSatisfy({ $0.isWhitespace }) { return .done }
    if trimmed.hasPrefix("?") { return help(String(trimmed.dropFirst())) }
    if trimmed.hasPrefix(":"), !trimmed.hasPrefix("::") { return command(String(trimmed.dropFirst())) }
    entries += 1
    let name = "repl \(entries)"
    let chunk: LuaFunction
    do throws(Failure) {
      chunk = try state.load("return " + text, name: name)
    } catch {
      do throws(Failure) { chunk = try state.load(text, name: name) } catch {
        return error.message.contains("<eof>") ? .incomplete : .failed(error)
      }
    }
    do throws(Failure) {
      try state.watched { () throws(Failure) in
        try state.defining { () throws(Failure) in try run(chunk) }
      }
      return .done
    } catch {
      return .failed(error)
    }
  }

  private func run(_ chunk: LuaFunction) throws(Failure) {
    let seen = try state.run(
      chunk, results: -1,
      read: { call -> [String] in
        guard call.count > 0, let show else { return [] }
        let values = (1...call.count).map { call.reference($0) }
        return try show.call(
          call, results: 1,
          arguments: { inner in
            for value in values { inner.push(reference: value) }
            return Int32(values.count)
          }, read: { try $0.strings(1) })
      })
    columns.formUnion(seen)
  }

  // MARK: Help

  private func command(_ text: String) -> Outcome {
    let parts = text.split(separator: " ", maxSplits: 1).map(String.init)
    switch parts.first {
    case "quit", "q", "exit": return .quit
    case "help", "h", nil:
      output(ReplSession.instructions)
      return .done
    case "time":
      let started = monotonicSeconds()
      let outcome = evaluate(parts.count > 1 ? parts[1] : "")
      output("\(((monotonicSeconds() - started) * 1e5).rounded() / 100) ms")
      return outcome
    default:
      return .failed(Failure(.invalidArgument, "unknown command ':\(parts[0])'; commands are :help, :time EXPRESSION, :quit"))
    }
  }

  static let instructions = """
    Type Lua. A bare expression is printed; an unfinished line goes on with >>.
      lake.datasets()                     what the lake holds
      d = df.read_lance "mnist_clean"     a lazy frame; d shows its first rows
      ?df    ?df.read_lance    ?Frame     help on a module, a function, a type
      :time EXPRESSION                    run and time
      :quit  (or Ctrl-D)                  leave
    Tab completes names, methods and columns in quotes. Ctrl-C stops an expression, not the REPL.
    Ready without require: \(preloaded.joined(separator: ", ")).
    """

  /// Help on `module`, `module.function`, `Type`, `Type:method` or a bare function or method name.
  private func help(_ text: String) -> Outcome {
    let topic = text.split(whereSeparator: \.isWhitespace).joined()
    if topic.isEmpty {
      output(ReplSession.instructions)
      output("Modules: " + modules.map(\.name).filter { !$0.hasPrefix("_") }.sorted().joined(separator: ", "))
      return .done
    }
    let parts = topic.split(whereSeparator: { $0 == "." || $0 == ":" }).map(String.init)
    let types = modules.flatMap(\.types)
    var found: [String] = []
    if parts.count == 1 {
      for module in modules where module.name == parts[0] {
        found.append(
          "\(module.name): \(module.doc)\n"
            + module.functions.map { "  \($0.name)  \(firstLine($0.doc))" }.joined(separator: "\n"))
      }
      for type in types where type.name == parts[0] {
        found.append(
          "\(type.name): \(type.doc)\n" + type.methods.map { "  :\($0.name)  \(firstLine($0.doc))" }.joined(separator: "\n"))
      }
    }
    guard let last = parts.last else { return .done }
    let owner = parts.count > 1 ? parts[parts.count - 2] : nil
    for module in modules where owner == nil || owner == module.name {
      for fn in module.functions where fn.name == last {
        found.append("\(module.name).\(fn.name): \(fn.signatureText)\n  \(fn.doc)")
      }
    }
    for type in types where owner == nil || owner == type.name || !modules.contains(where: { $0.name == owner }) {
      for fn in type.methods where fn.name == last { found.append("\(type.name):\(fn.name): \(fn.signatureText)\n  \(fn.doc)") }
    }
    guard !found.isEmpty else {
      let known =
        modules.flatMap { [$0.name] + $0.functions.map(\.name) } + types.flatMap { [$0.name] + $0.methods.map(\.name) }
      return .failed(
        Failure(.invalidArgument, "no help on \(nearNames(topic, known: Array(Set(known)).sorted(), what: "topics"))"))
    }
    output(found.joined(separator: "\n"))
    return .done
  }

  private func firstLine(_ text: String) -> Substring { text.prefix { $0 != "\n" } }

  // MARK: Completion

  private static let words = [
    "and", "break", "do", "else", "elseif", "end", "false", "for", "function", "goto", "if", "in", "local", "nil", "not", "or",
    "repeat",
    "return", "then", "true", "until", "while", "assert", "error", "ipairs", "math", "next", "pairs", "pcall", "print",
    "require", "select",
    "setmetatable", "string", "table", "tonumber", "tostring", "type", "utf8", "xpcall",
  ]

  /// Candidates at the end of `line`: columns inside quotes, members after `.` and `:`, names otherwise.
  func complete(_ line: String) -> (typed: String, candidates: [String]) {
    if let quote = openQuote(line) {
      return (quote, columns.union(columnsOfGlobals()).filter { $0.hasPrefix(quote) }.sorted())
    }
    let tail = String(line.reversed().prefix { $0.isLetter || $0.isNumber || "_.:".contains($0) }.reversed())
    guard let mark = tail.lastIndex(where: { $0 == "." || $0 == ":" }) else {
      guard !tail.isEmpty else { return ("", []) }
      return (tail, (globals() + ReplSession.words).filter { $0.hasPrefix(tail) }.sorted())
    }
    let typed = String(tail[tail.index(after: mark)...])
    let path = String(tail[..<mark].map { $0 == ":" ? "." : $0 })
    let names = members(of: path).filter { $0.hasPrefix(typed) && !$0.hasPrefix("_") }
    return (typed, names)
  }

  /// The text after a quote that is still open, when a column name may stand there.
  private func openQuote(_ line: String) -> String? {
    var open: (Character, String.Index)?
    for (i, character) in zip(line.indices, line) where character == "\"" || character == "'" {
      if open?.0 == character { open = nil } else if open == nil { open = (character, line.index(after: i)) }
    }
    return open.map { String(line[$0.1...]) }
  }

  private func globals() -> [String] { members(of: "_G") }

  private func columnsOfGlobals() -> [String] {
    guard let chunk = try? state.load(ReplSession.columnsOfGlobals, name: "completion", trusted: true) else { return [] }
    let names = try? state.watched(timeLimitSeconds: 0.5) { () throws(Failure) in
      try state.run(chunk, results: 1, read: { try $0.strings(1) })
    }
    return names ?? []
  }

  private func members(of path: String) -> [String] {
    guard !path.isEmpty, let chunk = try? state.load("return \(path)", name: "completion") else { return [] }
    let names = try? state.watched(timeLimitSeconds: 0.2) { () throws(Failure) in
      try state.run(chunk, results: 1, read: { $0.memberNames(1) })
    }
    return names ?? []
  }
}
