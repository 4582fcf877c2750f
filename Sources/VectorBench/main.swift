import Core
import Foundation
import LanceIndex
import LanceTable
import ObjectStore

// Room VectorBench: a warm process for Benchmarks/vector. Reads commands as JSON lines from standard input, answers one JSON line each.
//
//   {"op":"build","path":P,"column":C,"kind":K,"partitions":n,"sub_vectors":m,"metric":M}      -> {"seconds":s,"cpu":s}
//   {"op":"search","path":P,"column":C,"queries":F,"dim":d,"k":k,"index":bool,"probes":n,"refine":n}
//        F: file of float32 queries; each is asked once to warm up and once for time -> {"seconds":[...],"rows":[[...]]}
//   {"op":"batch", as "search"}                                                        all queries in one call
//   {"op":"recall","path":P,"column":C,"k":k,"probes":n,"refine":n}

func location(_ path: String) throws(Failure) -> TableLocation {
  let url = URL(filePath: path)
  return TableLocation(try LocalStore(root: url.deletingLastPathComponent().path), url.lastPathComponent)
}

func seconds(_ time: Duration) -> JSONValue { .double(time / .seconds(1)) }

/// Processor time of all threads of this process so far.
func processorSeconds() -> Double {
  var time = timespec()
  clock_gettime(CLOCK_PROCESS_CPUTIME_ID, &time)
  return Double(time.tv_sec) + Double(time.tv_nsec) / 1e9
}

func answer(_ command: JSONValue, _ tables: inout [String: LanceTable]) throws(Failure) -> JSONValue {
  func text(_ key: String) -> String { command[key]?.stringValue ?? "" }
  func number(_ key: String, _ other: Int) -> Int { command[key]?.intValue.map { Int($0) } ?? other }
  let clock = ContinuousClock()
  let path = text("path")
  if text("op") == "build" {
    var options = IndexOptions()
    options.kind = IndexKind(named: text("kind"))
    options.partitions = command["partitions"]?.intValue.map { Int($0) }
    options.subVectors = command["sub_vectors"]?.intValue.map { Int($0) }
    options.metric = VectorMetric(rawValue: text("metric")) ?? .l2
    options.replace = true
    let (start, before) = (clock.now, processorSeconds())
    let info = try location(path).createIndex(on: text("column"), options)
    tables[path] = nil
    return [
      "seconds": seconds(clock.now - start), "cpu": .double(processorSeconds() - before), "bytes": .int(Int64(info.byteCount)),
    ]
  }
  let table = if let known = tables[path] { known } else { try LanceTable(try location(path)) }
  tables[path] = table
  var query = VectorQuery(column: text("column"))
  query.k = number("k", 10)
  query.probes = number("probes", 20)
  query.refine = number("refine", 10)
  query.usesIndex = command["index"]?.boolValue ?? true
  if text("op") == "recall" { return try table.recall(query).json }
  guard let data = FileManager.default.contents(atPath: text("queries")) else {
    throw Failure(.fileNotFound, "there is no file '\(text("queries"))'")
  }
  let all = data.withUnsafeBytes { Array($0.bindMemory(to: Float.self)) }
  let dim = number("dim", 1)
  let queries = (0..<all.count / dim).map { Array(all[$0 * dim..<($0 + 1) * dim]) }
  var times: [JSONValue] = []
  var rows: [JSONValue] = []
  func note(_ found: [Neighbours]) { rows += found.map { .array($0.rows.map { .int(Int64($0)) }) } }
  if text("op") == "batch" {
    _ = try table.nearest(queries, query)
    let start = clock.now
    note(try table.nearest(queries, query))
    times.append(seconds(clock.now - start))
  } else {
    for vector in queries { _ = try table.nearest([vector], query) }
    for vector in queries {
      let start = clock.now
      let found = try table.nearest([vector], query)
      times.append(seconds(clock.now - start))
      note(found)
    }
  }
  return ["seconds": .array(times), "rows": .array(rows)]
}

var tables: [String: LanceTable] = [:]
while let line = readLine() {
  var reply: JSONValue
  do { reply = try answer(try JSONValue(parsing: Array(line.utf8)), &tables) } catch { reply = ["error": .string("\(error)")] }
  FileHandle.standardOutput.write(Data(reply.text().utf8 + [10]))
}
