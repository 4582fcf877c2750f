import ArgumentParser
import Core
import Foundation
import Script

struct Run: ParsableCommand {
  static let configuration = CommandConfiguration(
    abstract: "Run a script here, without a server.",
    discussion: """
      The result is printed as JSON on stdout; logs and progress go to stderr.
      Examples:
        moonlake run mnist/mnist_clean.lua --input data/mnist --output mnist_clean
        moonlake run mnist/mnist_cnn.lua --input mnist_clean --output mnist_cnn_v1 --params '{"epochs": 1}'
      """)
  @Argument(help: "The Lua script.") var script: String
  @Option(help: "Path or name of the input.") var input = ""
  @Option(help: "Path or name of the output.") var output = ""
  @Option(help: "Parameters as a JSON object.") var params = "{}"
  @Option(help: "Stop after this time, such as 90s or 10m.") var timeLimit: String?
  @Option(help: "Most memory for Lua and tensors, such as 2GiB.") var memoryLimit: String?
  @Option(help: "Configuration file.") var config: String?
  @Flag(help: "Result on one line; errors as JSON on stdout.") var json = false

  func run() throws {
    let settings = try Configuration.load(config)
    let bar = ProgressBar()
    do {
      let job = try job(settings)
      WorkerProcess.stopOnSignals { Cancellation.request() }
      let result = try job.run(events: TerminalEvents(bar: bar, quiet: json))
      bar.clear()
      print(result.text(pretty: !json))
    } catch let failure as Failure where json {
      print(JSONValue.object(["error": failure.taskError]).text())
      throw ExitCode(failure.exitCode)
    } catch {
      bar.clear()
      throw error
    }
  }
}
