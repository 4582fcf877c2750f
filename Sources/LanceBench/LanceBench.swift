import Columnar
import Compute
import Core
import DataFrames
import Foundation
import LanceTable
import ObjectStore
import Plan

// Room LanceBench: a warm process for Benchmarks/lance. Reads commands as JSON lines from standard input, answers one JSON line each.
//
//   {"op":"load","path":P}                           reads a table into memory, for `write`
//   {"op":"write","path":P,"compression":C?}         writes what was loaded to P, made anew each time
//   {"op":"open" | "scan" | "stream" | "filter" | "count" | "take","path":P, "columns":[...]?, "filter":F?, "rows":[...]?}
//   {"op":"copy","path":P,"target":Q}                streams one table into another
//
//   {"op":"scan","path":P,"touching":C}              and adds up the eight-byte words of column C, a vector without nulls: reads every byte
//
// Each but `load` and `copy` takes "repeat" (one more call comes first, to warm up) and answers {"seconds":[...],"rows":n}. Filters are lists: ["<","x",0.01],
// ["==","cat",{"text":"a"}], ["and",F,F], ["contains","name",{"text":"777"}], ["null","maybe"], ["true","flag"].

/// Seconds of each of `count` calls after one that warms up, processor seconds of all threads per call, and what the last one answered.
func timed(_ count: Int, _ body: () throws(Failure) -> Int) throws(Failure) -> JSONValue {
  var rows = try body()
  var seconds: [JSONValue] = []
  let before = processorSeconds()
  for _ in 0..<count {
    let start = ContinuousClock.now
    rows = try body()
    let (whole, rest) = (ContinuousClock.now - start).components
    seconds.append(.double(Double(whole) + Double(rest) / 1e18))
  }
  let used = (processorSeconds() - before) / Double(max(1, count))
  return .object(["seconds": .array(seconds), "cpu": .double(used), "rows": .int(Int64(rows))])
}

/// User and system time of this process so far.
func processorSeconds() -> Double {
  var time = timespec()
  clock_gettime(CLOCK_PROCESS_CPUTIME_ID, &time)
  return Double(time.tv_sec) + Double(time.tv_nsec) / 1e9
}

func location(_ path: String) throws(Failure) -> TableLocation {
  let url = URL(filePath: path)
  return TableLocation(try LocalStore(root: url.deletingLastPathComponent().path), url.lastPathComponent)
}

func condition(_ json: JSONValue) throws(Failure) -> Expr {
  guard let parts = json.arrayValue, let name = parts.first?.stringValue, parts.count > 1 else {
    throw Failure(.invalidArgument, "no filter: \(json)")
  }
  func column(_ i: Int) -> Expr { .column(parts[i].stringValue ?? "") }
  func value(_ i: Int) -> Expr {
    switch parts[i] {
    case .int(let number): .literal(.int(number))
    case .double(let number): .literal(.double(number))
    case .bool(let flag): .literal(.bool(flag))
    default: .literal(.string(parts[i]["text"]?.stringValue ?? ""))
    }
  }
  switch name {
  case "and": return .and(try condition(parts[1]), try condition(parts[2]))
  case "null": return .function(.isNull, [column(1)])
  case "true": return column(1)
  case "contains": return .function(.textTest(.contains), [column(1), value(2)])
  default:
    guard let comparison = ComparisonOperator(rawValue: name), parts.count == 3 else {
      throw Failure(.invalidArgument, "no filter: \(name)")
    }
    return .compare(comparison, column(1), value(2))
  }
}

/// All batches of `reader`, kept in memory as the peers keep them.
func drained(_ reader: any RecordBatchReader, keeping: Bool) throws(Failure) -> Int {
  var batches: [RecordBatch] = []
  var rows = 0
  while let batch = try reader.next() {
    rows += batch.count
    if keeping { batches.append(batch) }
  }
  return withExtendedLifetime(batches) { rows }
}

/// The words of the values of column `name`, added up.
func wordSum(_ batch: RecordBatch, _ name: String) throws(Failure) -> UInt64 {
  let column = try batch.column(name)
  guard case .fixedSizeList(_, let size) = column.type, let items = column.children.first, let memory = items.buffers.first,
    let bits = items.type.bitWidth
  else { throw Failure(.invalidArgument, "column '\(name)' is \(column.type), no vector") }
  return memory.withBytes { bytes in
    let start = (column.offset * size + items.offset) * bits / 8
    let values = UnsafeRawBufferPointer(rebasing: bytes[start..<start + column.count * size * bits / 8])
    return values.withMemoryRebound(to: UInt64.self) { $0.reduce(0, &+) }
  }
}

/// What the process keeps between commands.
@main final class LanceBench {
  private var loaded: (schema: Schema, batches: [RecordBatch])?
  private var open: [String: LanceTable] = [:]

  private func answer(_ command: JSONValue) throws(Failure) -> JSONValue {
    let path = command["path"]?.stringValue ?? ""
    let count = Int(command["repeat"]?.intValue ?? 1)
    let columns = command["columns"]?.arrayValue?.compactMap(\.stringValue)
    func table() throws(Failure) -> LanceTable {
      if let known = open[path] { return known }
      let table = try LanceTable(try location(path))
      open[path] = table
      return table
    }
    switch command["op"]?.stringValue {
    case "load":
      let table = try LanceTable(try location(path))
      var batches: [RecordBatch] = []
      for fragment in table.fragments.indices {
        let batch = try table.read(fragment: fragment)
        // In memory of its own, not in the mapped file.
        var columns: [Column] = []
        for column in batch.columns {
          let half = column.count / 2
          columns.append(
            try Column.concatenate([column.slice(0, half), column.slice(half, column.count - half)], type: column.type))
        }
        batches.append(try RecordBatch(schema: batch.schema, columns: columns, count: batch.count))
      }
      loaded = (table.schema, batches)
      return .object(["rows": .int(Int64(table.rowCount))])
    case "write":
      guard let loaded else { throw Failure(.invalidArgument, "nothing is loaded") }
      let target = try location(path)
      open[path] = nil
      var options = WriteOptions()
      options.compression = command["compression"]?.stringValue
      return try timed(count) { () throws(Failure) in
        try target.store.deleteTree(target.folder)
        let reader = InMemoryReader(schema: loaded.schema, loaded.batches)
        return try LanceTable.write(reader, to: target, mode: .create, options: options).rowCount
      }
    case "open": return try timed(count) { () throws(Failure) in try LanceTable(try location(path)).schema.fields.count }
    case "scan":
      let table = try table()
      guard let touched = command["touching"]?.stringValue else {
        return try timed(count) { () throws(Failure) in try drained(try table.scan(columns: columns), keeping: true) }
      }
      var sum: UInt64 = 0
      let times = try timed(count) { () throws(Failure) in
        sum = 0
        let scan = try table.scan(columns: columns)
        var rows = 0
        while let batch = try scan.next() {
          rows += batch.count
          sum &+= try wordSum(batch, touched)
        }
        return rows
      }
      var reply = times.objectValue ?? [:]
      reply["sum"] = .string("\(sum)")
      return .object(reply)
    case "stream":
      let table = try table()
      return try timed(count) { () throws(Failure) in try drained(try table.scan(columns: columns), keeping: false) }
    case "filter":
      let frame = try Frame(LanceSource(try table())).filter(try condition(command["filter"] ?? .null))
      return try timed(count) { () throws(Failure) in try drained(try frame.batches(), keeping: true) }
    case "count":
      let frame = try Frame(LanceSource(try table())).filter(try condition(command["filter"] ?? .null))
      return try timed(count) { () throws(Failure) in try frame.count() }
    case "take":
      let table = try table()
      let rows = command["rows"]?.arrayValue?.compactMap { $0.intValue.map { Int($0) } } ?? []
      return try timed(count) { () throws(Failure) in try table.take(rows, columns: columns).count }
    case "copy":
      let source = try table()
      let target = try location(command["target"]?.stringValue ?? "")
      return try timed(0) { () throws(Failure) in
        try target.store.deleteTree(target.folder)
        return try LanceTable.write(try source.scan(), to: target, mode: .create).rowCount
      }
    default: throw Failure(.invalidArgument, "no such command")
    }
  }

  static func main() {
    let bench = LanceBench()
    while let line = readLine() {
      let reply: JSONValue
      do throws(Failure) { reply = try bench.answer(try JSONValue(parsing: Array(line.utf8))) } catch {
        reply = .object(["error": .string("\(error)")])
      }
      FileHandle.standardOutput.write(Data((reply.text() + "\n").utf8))
    }
  }
}
