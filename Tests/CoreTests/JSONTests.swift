import Core
import Testing

@Suite struct JSONTests {
  @Test(arguments: [
    "null", "true", "[1,2.5,-3]", #"{"a":{"b":[]},"c":"é\n"}"#, "9223372036854775807", "-9223372036854775808", "0.1", "1e-300",
  ])
  func roundTrips(_ text: String) throws {
    let value = try JSONValue(parsing: text)
    #expect(try JSONValue(parsing: value.text()) == value)
    #expect(try JSONValue(parsing: value.text(pretty: true)) == value)
  }

  @Test(arguments: [
    ("", "a value is missing"), ("{", "expected a key"), ("[1,]", "unexpected character"), ("01", "must not start with 0"),
    ("1 2", "text after the end"), (#"{"a":1,"a":2}"#, "key 'a' appears twice"), (#""\ud800""#, "lone surrogate"),
    ("1e400", "out of range"), ("\u{FEFF}1", "unexpected character"), ("\"a\nb\"", "control character"),
    ("nul", "expected 'null'"),
    ("- 1", "a number needs a digit"), ("[1", "not closed"),
  ])
  func refuses(_ text: String, _ reason: String) {
    let failure = #expect(throws: Failure.self) { _ = try JSONValue(parsing: text) }
    #expect(failure?.message.contains(reason) == true, "\(failure?.message ?? "")")
  }

  @Test func refusesDepth() {
    let failure = #expect(throws: Failure.self) { _ = try JSONValue(parsing: [UInt8](repeating: 91, count: 100_000)) }
    #expect(failure?.message.contains("nested deeper than 64") == true)
  }

  @Test func namesLineAndColumn() {
    let failure = #expect(throws: Failure.self) { _ = try JSONValue(parsing: "{\n  \"a\": x}") }
    #expect(failure?.message == "invalid JSON at line 2, column 8: unexpected character 'x'")
  }

  @Test func refusesInvalidUTF8() {
    #expect(throws: Failure.self) { _ = try JSONValue(parsing: [34, 0xC3, 0x28, 34]) }
  }

  @Test func writesNoInvalidJSON() {
    #expect(JSONValue.array([.double(.nan), .double(.infinity), .double(2), .double(0.1)]).text() == "[null,null,2,0.1]")
  }

  @Test func keepsOrderOfManyKeys() throws {
    var object = JSONObject()
    for i in 0..<100 { object["k\(i)"] = .int(Int64(i)) }
    object["k50"] = nil
    #expect(object.count == 99 && object["k99"] == 99 && object["k50"] == nil && object.keys[50] == "k51")
  }
}
