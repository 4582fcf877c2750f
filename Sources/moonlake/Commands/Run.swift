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
    let bar = ProgressBar()
    do throws(Failure) {
      let job = try job()
      WorkerProcess.limit(job)
      LastWord(timeLimitSeconds: job.wallLimitSeconds).watch()
      let result = try ScriptRunner(job, events: TerminalEvents(bar: bar, isQuiet: json)).run()
      bar.clear()
      print(result.text(pretty: !json))
    } catch {
      bar.clear()
      guard json else { throw error }
      print(JSONValue.object(["error": error.taskError]).text())
      throw ExitCode(error.exitCode)
    }
  }

  private func job() throws(Failure) -> ScriptJob {
    var job = try Configuration.load(config).localJob(script: script, input: input)
    job.input = input
    job.output = output
    job.params = try parseParams(params).objectValue ?? [:]
    if let timeLimit {
      guard let seconds = Quantity.seconds(timeLimit) else {
        throw Failure(.invalidArgument, "--time-limit: '\(timeLimit)' is no duration such as 90s or 10m")
      }
      job.wallLimitSeconds = seconds
    }
    if let memoryLimit {
      guard let bytes = Quantity.bytes(memoryLimit) else {
        throw Failure(.invalidArgument, "--memory-limit: '\(memoryLimit)' is no size such as 512MiB or 2GiB")
      }
      job.memoryLimitBytes = bytes
    }
    return job
  }
}
