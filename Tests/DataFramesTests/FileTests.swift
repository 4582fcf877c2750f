import Columnar
import Compute
import Core
import DataFrames
import Plan
import Testing

#if canImport(Glibc)
  import Glibc
#elseif canImport(Darwin)
  import Darwin
#endif

func message(_ body: () throws -> Void) -> String {
  do {
    try body()
    return "no failure"
  } catch { return (error as? Failure).map { "\($0.code): \($0.message)" } ?? "\(error)" }
}

/// A file in a fresh directory, removed at the end.
final class Scratch {
  let path: String
  init(_ text: String) throws {
    var template = Array("/tmp/frames-XXXXXX".utf8CString)
    let directory = String(cString: mkdtemp(&template))
    path = directory + "/f"
    let file = fopen(path, "w")
    fwrite(text, 1, text.utf8.count, file)
    fclose(file)
  }
  deinit {
    unlink(path)
    rmdir(String(path.dropLast(2)))
  }
}

func rows(_ frame: Frame) throws -> [String] {
  let batch = try frame.collect()
  return (0..<batch.count).map { JSONValue.object(batch.json(row: $0)).text() }
}

@Suite struct FileTests {
  func csv(_ text: String, _ set: (inout CSVOptions) -> Void = { _ in }) throws -> Frame {
    let file = try Scratch(text)
    var options = CSVOptions()
    set(&options)
    let frame = Frame(try CSVSource(path: file.path, name: "t.csv", options: options))
    return Frame(columns: try frame.collect())
  }

  @Test func csvTypesAreInferred() throws {
    let frame = try csv(
      "a,b,c,d,e,f\r\n1,1.5,true,2024-01-02,x,2024-01-02T03:04:05\r\n-2,2,false,1969-12-31,,\r\n,,,,\"\",\r\n")
    #expect(
      frame.schema.fields.map { "\($0.name) \($0.type)" } == [
        "a Int64", "b Float64", "c Boolean", "d Date", "e String", "f Timestamp[us]",
      ])
    #expect(
      try rows(frame) == [
        #"{"a":1,"b":1.5,"c":true,"d":"2024-01-02","e":"x","f":"2024-01-02T03:04:05Z"}"#,
        #"{"a":-2,"b":2,"c":false,"d":"1969-12-31","e":null,"f":null}"#,
        #"{"a":null,"b":null,"c":null,"d":null,"e":"","f":null}"#,
      ])
  }

  @Test func csvQuotesNewlinesAndMarks() throws {
    let text =
      "\u{FEFF}name,\"no\"\"te\"\n\"Smith, J\",\"line 1\nline 2\"\n\n\"a\"\"b\",plain \"middle\" quote\nlast,no newline"
    let frame = try csv(text)
    #expect(frame.schema.names == ["name", "no\"te"])
    let batch = try frame.collect()
    #expect((0..<3).map { batch.columns[0].string($0) } == ["Smith, J", "a\"b", "last"])
    #expect((0..<3).map { batch.columns[1].string($0) } == ["line 1\nline 2", "plain \"middle\" quote", "no newline"])
  }

  @Test func csvOptions() throws {
    let frame = try csv("1;NA;x\n2;3;y\n") {
      $0.header = false
      $0.separator = ";"
      $0.nullValues = ["NA"]
      $0.schema = [("column_1", .float32)]
    }
    #expect(
      try rows(frame) == [#"{"column_1":1,"column_2":null,"column_3":"x"}"#, #"{"column_1":2,"column_2":3,"column_3":"y"}"#])
    #expect(frame.schema.fields.map(\.type) == [.float32, .int64, .utf8])
  }

  @Test func csvMistakesNameLineAndColumn() {
    #expect(message { _ = try csv("a,b\n1,2\n3\n") } == "CORRUPT_DATA: csv t.csv line 3: 1 fields where 2 are expected")
    #expect(
      message { _ = try csv("a,b\n1,\"x\n2,y\n") } == "CORRUPT_DATA: csv t.csv: the quote opened in line 2 is never closed")
    #expect(message { _ = try csv("a\n\"x\"y\n") } == "CORRUPT_DATA: csv t.csv line 2: text after the closing quote of field 1")
    #expect(
      message { _ = try csv("a,b\n1,2\n\"3\",\"\n\"\nx,4\n") { $0.inferRows = 2 } }
        == "CORRUPT_DATA: csv t.csv line 5, column 'a': 'x' cannot be read as Int64; give its type, such as schema = { a = \"string\" }"
    )
    #expect(message { _ = try csv("a,a\n") } == "INVALID_SCHEMA: csv t.csv line 1: two columns are named 'a'")
    #expect(message { _ = try csv("") } == "CORRUPT_DATA: csv t.csv: the file is empty, so it has no columns")
    #expect(
      message { _ = try csv("ab\n1\n") { $0.schema = [("ac", .int8)] } }
        == "COLUMN_NOT_FOUND: csv t.csv: schema names a column 'ac'; did you mean 'ab'? columns are: ab")
    #expect(
      message { _ = try CSVSource(path: "/nowhere/x.csv", name: "x.csv") } == "FILE_NOT_FOUND: file 'x.csv' does not exist")
    #expect(message { _ = try CSVSource(path: "/tmp", name: "tmp") } == "IO_ERROR: 'tmp' is not a file")
  }

  /// Blocks are cut inside of quoted records too: 3 MB with newlines in quotes, against what was written.
  @Test func csvBlocksKeepRecordsWhole() throws {
    var text = "i,note\n"
    let n = 60_000
    for i in 0..<n { text += "\(i),\"row \(i)\nwith \"\"two\"\" lines, and commas\"\n" }
    let batch = try csv(text).collect()
    #expect(batch.count == n)
    let numbers = batch.columns[0].values(of: Int64.self)
    for i in stride(from: 0, to: n, by: 997) {
      #expect(numbers[i] == Int64(i) && batch.columns[1].string(i) == "row \(i)\nwith \"two\" lines, and commas")
    }
  }

  @Test func filterAndProjectionOverCSV() throws {
    let file = try Scratch("a,b,c\n" + (0..<1000).map { "\($0),\($0 % 7),word\($0)" }.joined(separator: "\n"))
    let frame = Frame(try CSVSource(path: file.path, name: "t.csv"))
    let few = try frame.filter(.compare(.equal, .column("b"), .literal(.int(3)))).select([Expr.column("c")]).limit(2)
    #expect(try rows(few) == [#"{"c":"word3"}"#, #"{"c":"word10"}"#])
    let count = try frame.count()
    #expect(count == 1000)
    let plan = try few.explain()
    #expect(plan == "project c\n  limit 2\n    filter b == 3\n      scan csv t.csv: b, c")
  }

  func jsonl(_ text: String, _ set: (inout JSONLinesOptions) -> Void = { _ in }) throws -> Frame {
    let file = try Scratch(text)
    var options = JSONLinesOptions()
    set(&options)
    return Frame(columns: try Frame(try JSONLinesSource(path: file.path, name: "t.jsonl", options: options)).collect())
  }

  @Test func jsonLines() throws {
    let frame = try jsonl("{\"a\":1,\"b\":\"x\"}\n\n{\"a\":2.5,\"c\":[1,null,2]}\r\n{\"b\":null,\"c\":[]}")
    #expect(frame.schema.fields.map { "\($0.name) \($0.type)" } == ["a Float64", "b String", "c List[Int64]"])
    #expect(
      try rows(frame) == [
        #"{"a":1,"b":"x","c":null}"#, #"{"a":2.5,"b":null,"c":[1,null,2]}"#, #"{"a":null,"b":null,"c":[]}"#,
      ])
    #expect(message { _ = try jsonl("{\"a\":1}\n{\"a\":}") }.hasPrefix("CORRUPT_DATA: jsonl t.jsonl line 2: "))
    #expect(
      message { _ = try jsonl("{\"a\":1}\n[1]") }
        == "CORRUPT_DATA: jsonl t.jsonl line 2: an object is expected, this is of type array")
    #expect(
      message { _ = try jsonl("{\"a\":1}\n{\"a\":\"x\"}") }
        == "CORRUPT_DATA: jsonl t.jsonl line 2, column 'a': \"x\" is String, where the values before are Int64; give its type in schema = { ... }"
    )
    #expect(
      message { _ = try jsonl("{\"a\":1}\n{\"a\":\"x\"}") { $0.inferRows = 1 } }
        == "CORRUPT_DATA: jsonl t.jsonl line 2, column 'a': \"x\" is not Int64")
    #expect(
      message { _ = try jsonl("{\"aa\":1}\n{\"ab\":2}") { $0.inferRows = 1 } }
        == "CORRUPT_DATA: jsonl t.jsonl line 2: member 'ab'; did you mean 'aa'? columns are: aa; name it in schema = { ... }")
  }

  @Test func tablesOfText() throws {
    let batch = try RecordBatch([
      "n": try .int64([1, nil, 300]), "text": try .utf8(["a\nb", String(repeating: "x", count: 50), nil]),
      "v": Column.vectors(.uint8, size: 5, count: 3, buffer: try Buffer((0..<15).map { UInt8($0) })),
    ])
    #expect(
      try Frame(columns: batch).show(2)
        == """
            n  text                              v
        Int64  String                            FixedSizeList[UInt8, 5]
        -----  --------------------------------  -----------------------------
            1  a\\nb                              [0, 1, 2, 3, ... 5 in all]
         null  xxxxxxxxxxxxxxxxxxxxxxxxxxxxx...  [5, 6, 7, 8, ... 5 in all]
        2 of 3 rows
        """.replacing("-----------------------------\n", with: "--------------------------\n"))
  }
}

extension Frame {
  init(columns batch: RecordBatch) { self.init(MemoryTable([batch], schema: batch.schema)) }
}
