import ArgumentParser
import Core

/// The program: one executable for the server, its workers, and the people at a terminal.
@main
struct Moonlake: AsyncParsableCommand {
  static let version = "0.1.0"

  static let configuration = CommandConfiguration(
    commandName: "moonlake",
    abstract: "A data lake, script runner and model server in one program.",
    discussion: """
      Examples:
        moonlake serve                                  start the service on config.yaml
        moonlake run mnist/mnist_clean.lua --input data/mnist --output mnist_clean
        moonlake submit mnist/mnist_cnn.lua --input mnist_clean --output mnist_cnn_v1 --wait
        moonlake tasks                                  what ran, runs and waits
        moonlake show mnist_clean                       schema and first rows
        moonlake lake ls                                the lake on disk; lake --help lists its commands
        moonlake repl                                   explore the lake in Lua

      Exit codes: 0 done; 1 the script, task or request failed; 2 wrong configuration or input;
      3 no server answers; 64 wrong usage; 130 interrupted.
      """,
    version: "moonlake \(version)",
    subcommands: [
      Serve.self, Run.self, Submit.self, Tasks.self, Logs.self, Cancel.self, Datasets.self, Models.self, Show.self,
      LakeCommand.self, Repl.self,
      Test.self, Doc.self, Version.self, Worker.self,
    ])

  static func main() async {
    do {
      var command = try parseAsRoot()
      if var asynchronous = command as? any AsyncParsableCommand {
        try await asynchronous.run()
      } else {
        try command.run()
      }
    } catch let failure as Failure {
      Terminal.complain(failure)
      exit(withError: ExitCode(failure.exitCode))
    } catch {
      exit(withError: error)
    }
  }
}

struct Version: ParsableCommand {
  static let configuration = CommandConfiguration(abstract: "Print the version.")
  @Flag(help: "Print JSON.") var json = false

  func run() {
    print(json ? JSONValue.object(["version": .string(Moonlake.version)]).text() : "moonlake \(Moonlake.version)")
  }
}

extension Failure {
  /// See the exit codes in `moonlake --help`.
  var exitCode: Int32 {
    switch code {
    case .serverUnreachable: 3
    case .invalidConfiguration, .invalidArgument, .fileNotFound, .invalidParams: 2
    case .cancelled: 130
    default: 1
    }
  }
}

extension Failure.Code {
  static let serverUnreachable = Failure.Code("SERVER_UNREACHABLE")
}
