import Core
import DataFrames
import Engine
import LanceFile
import LanceTable
import LuaHost
import Plan

/// Frames into data sets of the lake.
extension LuaFrame {
  static let writing: [Fn] = [
    Fn(
      "write",
      "fun(self: Frame, output: string, opts?: {mode?: string, key?: any, compression?: string, max_rows_per_file?: integer, data_storage_version?: string, progress?: function}): table",
      "Computes the rows and writes them to data set `output`: mode \"create\" (default), \"append\", \"overwrite\", or \"merge\" with key columns: rows whose key is there take these values, the others are added. For a new or replaced data set: compression of its values (\"none\", \"lz4\", \"zstd\" or \"zstd:LEVEL\", which appends follow) and data_storage_version (\"2.0\", \"2.1\", \"2.2\"). Gives rows, version, fragments, inserted, updated, deleted and, per check, its counts."
    ) { call in
      let output = try call.string(2)
      let options = try call.options(3)
      let mode = try options.choice("mode", WriteMode.allCases.map(\.rawValue)).flatMap { WriteMode(rawValue: $0) } ?? .create
      let key = try options.strings("key") ?? []
      if mode == .merge, key.isEmpty { throw options.bad("key", "must name the columns that tell rows apart") }
      let report = try options.function("progress")
      let written = try writeOptions(options)
      let location = try LuaLake.output(call, output)
      // The callback runs on this thread, between batches.
      var progress: ((Int, Int?) throws(Failure) -> Void)?
      if let report {
        let state = call.state
        progress = { (done: Int, total: Int?) throws(Failure) in try callProgress(report, state, done, total) }
      }
      return push(call, try call.selfFrame().write(to: location, mode: mode, key: key, options: written, progress: progress))
    }
  ]

  private static func writeOptions(_ given: borrowing Options) throws(Failure) -> WriteOptions {
    var options = WriteOptions()
    options.compression = try given.string("compression")
    options.maxRowsPerFile = try given.integer("max_rows_per_file", in: 1...Int.max) ?? options.maxRowsPerFile
    options.fileVersion = try given.choice("data_storage_version", LanceFileVersion.allCases.map(\.rawValue)).flatMap {
      LanceFileVersion(rawValue: $0)
    }
    return options
  }

  /// What a write did, as a table.
  static func push(_ call: borrowing Call, _ written: WriteReport) -> Int32 {
    call.pushTable(fields: 7) { table in
      table.set("rows", written.rows)
      table.set("inserted", written.inserted)
      table.set("updated", written.updated)
      table.set("deleted", written.deleted)
      table.set("version", Int(clamping: written.version))
      table.set("fragments", written.fragments)
      table.set("checks") { checks in
        checks.pushTable(fields: written.checks.count) { list in
          for check in written.checks {
            list.set(check.name) { one in
              one.pushTable(fields: 4) {
                $0.set("action", check.action.rawValue)
                $0.set("checked", check.checked)
                $0.set("violations", check.violations)
                $0.set("dropped", check.action == .drop ? check.violations : 0)
              }
            }
          }
        }
      }
    }
  }

  private static func callProgress(_ report: LuaFunction, _ state: State, _ done: Int, _ total: Int?) throws(Failure) {
    do {
      try state.withCall { call in
        try report.call(
          call,
          arguments: { inner in
            inner.push(done)
            if let total { inner.push(total) } else { inner.pushNil() }
            return 2
          })
      }
    } catch { throw Failure.wrapping(error) }
  }
}
