import Core
import LuaServe
import Testing

@Suite struct ShapeTests {
  static let shape = BodyShape.object([
    .init(name: "count", shape: .integer(.init(least: 1)), isOptional: true, fallback: 5),
    .init(name: "image", shape: .list(of: .number(.init(least: 0, greatest: 1)), .init(least: 3, greatest: 3))),
    .init(name: "mode", shape: .string(.init(choices: ["fast", "exact"])), isOptional: true),
    .init(
      name: "parts", shape: .list(of: .object([.init(name: "flag", shape: .boolean)]), .init(least: 1)), isOptional: true),
  ])

  func message(_ json: String) -> String {
    do throws(Failure) {
      _ = try ShapeTests.shape.check(try JSONValue(parsing: json))
      return "accepted"
    } catch {
      #expect(error.code == .invalidRequest)
      return error.message
    }
  }

  @Test(arguments: [
    (#"{"image": [0, 0.5, 1]}"#, "accepted"),
    (#"{"image": [0, 0.5, 1], "count": 2.0, "mode": "fast", "parts": [{"flag": true}]}"#, "accepted"),
    (#"{"image": [0, 0.5, 1], "mode": null}"#, "accepted"),
    (#"{"image": [0, 0.5, "x"]}"#, #"image[2]: expected a number from 0 to 1, got "x""#),
    (#"{"image": [0, 1.5, 1]}"#, "image[1]: expected a number from 0 to 1, got 1.5"),
    (#"{"image": [0, null, 1]}"#, "image[1]: expected a number from 0 to 1, got null"),
    (#"{"image": [0, [1], 1]}"#, "image[1]: expected a number from 0 to 1, got a list of 1"),
    (#"{"image": [0, 1]}"#, "image: expected a list of 3 numbers from 0 to 1, got a list of 2"),
    (#"{"image": []}"#, "image: expected a list of 3 numbers from 0 to 1, got an empty list"),
    (#"{"image": "abc"}"#, #"image: expected a list of 3 numbers from 0 to 1, got "abc""#),
    (#"{"image": {"0": 1}}"#, "image: expected a list of 3 numbers from 0 to 1, got an object"),
    (#"{}"#, "image is missing; expected a list of 3 numbers from 0 to 1"),
    (#"{"imgae": [0, 0, 0]}"#, "unknown field 'imgae'; did you mean 'image'? fields are: count, image, mode, parts"),
    (#"[1]"#, "body: expected an object with the fields count, image, mode, parts, got a list of 1"),
    (#"null"#, "body: expected an object with the fields count, image, mode, parts, got null"),
    (#"{"image": [0, 0, 0], "count": 0}"#, "count: expected an integer of at least 1, got 0"),
    (#"{"image": [0, 0, 0], "count": 1.5}"#, "count: expected an integer of at least 1, got 1.5"),
    (#"{"image": [0, 0, 0], "mode": "slow"}"#, #"mode: expected one of "fast", "exact", got "slow""#),
    (#"{"image": [0, 0, 0], "parts": [{"flag": 1}]}"#, "parts[0].flag: expected true or false, got 1"),
    (#"{"image": [0, 0, 0], "parts": []}"#, "parts: expected a list of at least 1 objects, got an empty list"),
  ])
  func messages(_ json: String, _ expected: String) {
    #expect(message(json) == expected)
  }

  @Test func fallbacks() throws {
    let value = try ShapeTests.shape.check(try JSONValue(parsing: #"{"image": [0, 0.5, 1]}"#))
    #expect(value == .object([.init(name: "count", value: .plain(5)), .init(name: "image", value: .numbers([0, 0.5, 1]))]))
  }

  @Test func schema() throws {
    let schema = ShapeTests.shape.schema
    #expect(schema["required"] == ["image"])
    #expect(schema["additionalProperties"] == false)
    #expect(
      schema["properties"]?["image"]?.text()
        == #"{"type":"array","items":{"type":"number","minimum":0,"maximum":1},"minItems":3,"maxItems":3}"#)
    #expect(schema["properties"]?["count"]?.text() == #"{"type":"integer","minimum":1,"default":5}"#)
    #expect(schema["properties"]?["mode"] == ["type": "string", "enum": ["fast", "exact"]])
  }
}

/// The fast reader accepts nothing that the full parser refuses, and reads the same numbers.
@Suite struct NumberBodyTests {
  static let shape = BodyShape.object([
    .init(name: "image", shape: .list(of: .number(.init(least: -10, greatest: 1e6)), .init(greatest: 40))),
    .init(name: "scale", shape: .number(.init()), isOptional: true, fallback: 2.5),
  ])

  func slow(_ bytes: [UInt8]) -> BodyValue? { try? NumberBodyTests.shape.check(try JSONValue(parsing: bytes)) }
  func fast(_ bytes: [UInt8]) -> BodyValue? { bytes.withUnsafeBytes { NumberBody(NumberBodyTests.shape)?.read($0) } }

  @Test func usualBodiesAreFast() throws {
    for text in [
      #"{"image":[0,0.5,1]}"#, #" { "image" : [ 0.1 , -2e-3,3E2 ] , "scale":1e0 } "#, #"{"image":[]}"#,
      #"{"scale":-0.0,"image":[0.996078431372549,0.9960784316062927,123456789012345678901234567890e-25]}"#,
    ] {
      let bytes = Array(text.utf8)
      let read = try #require(fast(bytes), "\(text)")
      #expect(read == slow(bytes), "\(text)")
    }
  }

  @Test func strangeBodiesAreLeftToTheParser() {
    for text in [
      #"{"image":[00]}"#, #"{"image":[1.]}"#, #"{"image":[.5]}"#, #"{"image":[+1]}"#, #"{"image":[1,]}"#, #"{"image":[1 2]}"#,
      #"{"image":[NaN]}"#, #"{"image":[1e400]}"#, #"{"image":[0x10]}"#, #"{"image":[1e]}"#, #"{"image":[-]}"#,
      #"{"image":[1]"#, #"{"image":[1]}x"#, #"{"image":[1],"image":[1]}"#, #"{"image":[1],"other":1}"#, #"{"scale":1}"#,
      #"{"image":[1e7]}"#, #"{"image":["1"]}"#, #"{"image":[null]}"#, #"{"image":1}"#, #"{"image":[1],}"#, "", "{", "[1]",
      "\u{FEFF}{\"image\":[1]}", #"{"im\u0061ge":[1]}"#,
    ] {
      #expect(fast(Array(text.utf8)) == nil, "\(text)")
    }
  }

  @Test func randomTextsReadTheSame() {
    var random = Repeatable(seed: 7)
    let pieces = [
      "{", "}", "[", "]", ",", ":", "\"image\"", "\"scale\"", " ", "0", "1", "-", ".", "5", "e", "E", "+", "255", "0.1", "1e5",
      "18446744073709551616", "9007199254740993", "-0", "null", "\"x\"", "\n", "0.30000000000000004", "4.9e-324",
    ]
    var accepted = 0
    for _ in 0..<60000 {
      var text = "{\"image\":["
      for _ in 0..<random.below(8) { text += pieces[random.below(pieces.count)] }
      if random.below(3) > 0 { text += "]}" }
      let bytes = Array(text.utf8)
      if let read = fast(bytes) {
        accepted += 1
        #expect(read == slow(bytes), "\(text)")
      }
    }
    #expect(accepted > 500)
  }

  @Test func randomNumbersReadTheSame() {
    var random = Repeatable(seed: 11)
    for _ in 0..<20000 {
      let value = Double(bitPattern: random.next())
      guard value.isFinite, value >= -10, value <= 1e6 else { continue }
      let bytes = Array("{\"image\":[\(value)]}".utf8)
      #expect(
        fast(bytes) == .object([.init(name: "image", value: .numbers([value])), .init(name: "scale", value: .plain(2.5))]))
    }
  }
}

/// SplitMix64.
struct Repeatable {
  var state: UInt64
  init(seed: UInt64) { state = seed }
  mutating func next() -> UInt64 {
    state &+= 0x9e37_79b9_7f4a_7c15
    var z = state
    z = (z ^ (z >> 30)) &* 0xbf58_476d_1ce4_e5b9
    z = (z ^ (z >> 27)) &* 0x94d0_49bb_1331_11eb
    return z ^ (z >> 31)
  }
  mutating func below(_ n: Int) -> Int { Int(next() % UInt64(n)) }
}
