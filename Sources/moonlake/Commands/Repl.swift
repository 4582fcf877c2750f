import ArgumentParser
import Core
import Foundation
import LuaHost
import Script

struct Repl: ParsableCommand {
  static let configuration = CommandConfiguration(
    abstract: "Explore the lake in Lua.",
    discussion: """
      Example:
        moonlake repl
        > d = df.read_lance "mnist_clean"
        > d:group_by("split"):agg { n = df.count() }
      Tab completes, ?name helps, Ctrl-C stops an expression, Ctrl-D leaves. History is kept in ~/.moonlake_history.
      """)
  @Option(help: "Configuration file.") var config: String?

  func run() throws {
    let settings = try Configuration.load(config)
    let environment = try settings.environment(
      root: settings.scriptDirectory, events: TerminalEvents(bar: ProgressBar(), isQuiet: false), print: { print($0) })
    let session = try ReplSession(state: environment.state, modules: environment.modules, output: { print($0) })
    let home = ProcessInfo.processInfo.environment["HOME"]
    let editor = LineEditor(historyFile: home.map { $0 + "/.moonlake_history" }, complete: session.complete)
    let interrupts = Interrupts()
    if isatty(STDIN_FILENO) == 1 { print("Moonlake \(Moonlake.version), Lua 5.4. ?  for help, Ctrl-D to leave.") }

    var pending = ""
    while true {
      switch editor.read(pending.isEmpty ? "> " : ">> ") {
      case .end:
        if isatty(STDIN_FILENO) == 1 { print("") }
        return
      case .interrupted: pending = ""
      case .text(let line):
        let entry = pending.isEmpty ? line : pending + "\n" + line
        let outcome = interrupts.during { session.evaluate(entry) }
        if case .incomplete = outcome {
          pending = entry
          continue
        }
        pending = ""
        editor.remember(entry.replacingOccurrences(of: "\n", with: " "))
        switch outcome {
        case .quit: return
        case .failed(let failure): complain(failure)
        default: break
        }
      }
    }
  }

  private func complain(_ failure: Failure) {
    fflush(nil)
    if failure.code == .cancelled { return Terminal.error("interrupted") }
    Terminal.error("error: " + (failure.place.map { "\($0): " } ?? "") + failure.message)
    // Only frames of the user's own functions add anything to one entry's place.
    if let excerpt = failure.details["excerpt"]?.stringValue, excerpt.contains("\n") { Terminal.error(excerpt) }
  }
}

/// Ctrl-C while an expression runs: asks it to stop. Between expressions the line editor has the key.
private final class Interrupts {
  private let source = DispatchSource.makeSignalSource(signal: SIGINT, queue: DispatchQueue(label: "moonlake.interrupt"))
  init() {
    signal(SIGINT, SIG_IGN)
    source.setEventHandler { Cancellation.request() }
    source.resume()
  }

  func during<R>(_ body: () -> R) -> R {
    Cancellation.reset()
    defer { Cancellation.reset() }
    return body()
  }
}
