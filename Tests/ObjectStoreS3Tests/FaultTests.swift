import Core
import Foundation
import ObjectStore
import ObjectStoreS3
import Synchronization
import TestSupport
import Testing

/// What networks and servers do wrong: answers lost, late, cut, refused; and what the store makes of it.
@Suite("S3Store faults")
struct FaultTests {
  // MARK: tried again

  @Test(arguments: [429, 500, 502, 503, 504]) func passingErrorsAreTriedAgain(_ status: Int) throws {
    let server = try FakeS3 { _, number in number <= 2 ? .answer(status, code: "SlowDown") : nil }
    let store = try server.store()
    try store.put("x", [1, 2, 3])
    #expect(try store.read("x").array() == [1, 2, 3])
    #expect(try store.list("", recursive: true).map(\.path) == ["x"])
    try store.deleteTree("none")
    #expect(
      server.calls == Array(repeating: "PUT x", count: 3) + Array(repeating: "GET x", count: 3)
        + Array(repeating: "LIST ", count: 3)
        + Array(repeating: "LIST none/", count: 3))
  }

  @Test(arguments: [FakeS3.Fault.close, .loseAnswer]) func lostAnswersAreTriedAgain(_ fault: FakeS3.Fault) throws {
    let server = try FakeS3 { _, number in number == 1 ? fault : nil }
    let store = try server.store()
    try store.put("x", [1, 2, 3])
    #expect(try store.read("x").array() == [1, 2, 3])
    try store.delete("x")
    #expect(server.calls == ["PUT x", "PUT x", "GET x", "GET x", "DELETE x", "DELETE x"])
  }

  @Test func triesEndWithWords() throws {
    let server = try FakeS3 { _, _ in .answer(503, code: "SlowDown") }
    let store = try server.store(attempts: 3)
    let found = failure { _ = try store.read("a/x") }
    #expect(found?.code == .ioError)
    #expect(
      found?.message
        == "cannot read 'a/x' in s3://lake: SlowDown (HTTP 503): fake; tried 3 times; the server is overloaded; try again later"
    )
    #expect(
      found?.details["s3_code"] == "SlowDown" && found?.details["http_status"] == 503 && found?.details["request_id"] == "r-1")
    #expect(server.calls.count == 3)
  }

  @Test func nobodyThere() throws {
    let server = try FakeS3()
    let store = try server.store(attempts: 2)
    server.stop()
    let found = failure { try store.put("x", [1]) }
    #expect(found?.code == .ioError)
    #expect(found?.message.hasPrefix("cannot write 'x' in s3://lake: no answer from http://127.0.0.1:\(server.port) (") == true)
    #expect(found?.message.hasSuffix("; tried 2 times; check the endpoint and the network") == true)
  }

  @Test func silenceEndsATry() throws {
    let server = try FakeS3 { _, number in number == 1 ? .hang : nil }
    let store = try server.store(silenceSeconds: 0.3)
    let began = monotonicSeconds()
    try store.put("x", [1])
    #expect(monotonicSeconds() - began < 3)
    #expect(server.calls == ["PUT x", "PUT x"])
  }

  @Test func refusalsAreNotTriedAgain() throws {
    for (status, code) in [
      (403, "AccessDenied"), (400, "InvalidArgument"), (405, "MethodNotAllowed"), (301, "PermanentRedirect"), (507, "X"),
    ] {
      let server = try FakeS3 { _, _ in
        .answer(status, code: code, fields: [("location", "http://169.254.169.254/latest/meta-data")])
      }
      let store = try server.store()
      let found = failure { try store.put("x", [1]) }
      #expect(found?.message.hasPrefix("cannot write 'x' in s3://lake: \(code) (HTTP \(status)): fake") == true)
      #expect(server.calls == ["PUT x"])
    }
  }

  @Test func serversThatAskForAPauseGetIt() throws {
    let server = try FakeS3 { _, number in number == 1 ? .answer(503, code: "SlowDown", fields: [("retry-after", "1")]) : nil }
    let began = monotonicSeconds()
    try server.store().put("x", [1])
    #expect(monotonicSeconds() - began >= 1)
  }

  // MARK: reading

  @Test func cutAndWrongAnswersAreNotTaken() throws {
    let bytes = [UInt8]((0..<100_000).map { UInt8(truncatingIfNeeded: $0) })
    for fault in [
      FakeS3.Fault.cut(0), .cut(50_000), .fields([("content-range", "bytes 5-99999/100000")]), .fields([("content-range", "")]),
      .fields([("content-range", "bytes 0-99999/*")]),
      .fields([("content-range", "bytes 0-999999999999999999999/9999999999999999999999")]),
    ] {
      let server = try FakeS3 { call, number in call.method == "GET" && number == 1 ? fault : nil }
      let store = try server.store()
      try store.put("x", bytes)
      #expect(try store.read("x").array() == bytes)
      #expect(server.calls == ["PUT x", "GET x", "GET x"], "\(fault)")
    }
  }

  @Test func aServerWithoutRangesIsReadWhole() throws {
    let server = try FakeS3 { call, _ in call.method == "GET" ? .ignoreConditions : nil }
    let store = try server.store()
    let bytes = [UInt8]((0..<9_000_000).map { UInt8(truncatingIfNeeded: $0 &* 31) })
    try store.put("x", bytes)
    #expect(try store.read("x").array() == bytes)
    #expect(try store.read("x", range: 1000..<1010).array() == Array(bytes[1000..<1010]))
  }

  /// Every range is of the same version: an object replaced between two of them is read anew.
  @Test func objectsReplacedWhileTheyAreRead() throws {
    let old = [UInt8](repeating: 1, count: 20_000_000)
    let new = [UInt8](repeating: 2, count: 20_000_001)
    let slot = Mutex<FakeS3?>(nil)
    let server = try FakeS3 { call, number in
      // Before the second range is answered.
      if call.method == "GET", number == 2 {
        slot.withLock { server in
          server?.state.withLock { state in state.objects["x"] = FakeS3.Object(bytes: new, tag: "\"new\"", meta: [:]) }
        }
      }
      return nil
    }
    slot.withLock { $0 = server }
    let store = try server.store()
    server.state.withLock { $0.objects["x"] = FakeS3.Object(bytes: old, tag: "\"old\"", meta: [:]) }
    #expect(try store.read("x").array() == new)
  }

  @Test func sizesBeyondTheBudgetTakeNoMemory() throws {
    let server = try FakeS3 { call, _ in
      call.method == "GET" ? .fields([("content-range", "bytes 0-2/9000000000000000000")]) : nil
    }
    let store = try server.store()
    try store.put("x", [1, 2, 3])
    #expect(failure { _ = try store.read("x") }?.code == .memoryLimit)
    #expect(server.calls == ["PUT x", "GET x"])
  }

  @Test func listingsThatAreNone() throws {
    for body in [
      "", "<Error><Code>Odd</Code></Error>", "<html>welcome</html>",
      "<ListBucketResult><IsTruncated>true</IsTruncated></ListBucketResult>",
    ] {
      let server = try FakeS3 { _, _ in .answer(200, body: body) }
      let found = failure { _ = try server.store().list("a", recursive: true) }
      #expect(found?.code == .corruptData, "\(body)")
      #expect(found?.message.hasPrefix("cannot list 'a/' in s3://lake: ") == true)
    }
    let endless =
      "<ListBucketResult><IsTruncated>true</IsTruncated><NextContinuationToken>t</NextContinuationToken></ListBucketResult>"
    let server = try FakeS3 { _, _ in .answer(200, body: endless) }
    #expect(
      failure { _ = try server.store().list("a", recursive: true) }?.message.contains("the same page again and again") == true)
  }

  @Test func keysOfOtherProgramsAreNotListed() throws {
    let server = try FakeS3()
    server.state.withLock { state in
      for key in ["a/", "a//b", "a/./c", "a/ok", "/x"] { state.objects[key] = FakeS3.Object(bytes: [1], tag: "t", meta: [:]) }
    }
    #expect(try server.store().list("", recursive: true).map(\.path) == ["a/ok"])
  }

  // MARK: put if absent

  @Test(arguments: [true, false]) func aLostAnswerAfterASuccessfulPutCounts(_ keepsMetadata: Bool) throws {
    let server = try FakeS3(keepsMetadata: keepsMetadata) { call, number in
      call.method == "PUT" && call.key == "v/1" && number == 1 ? .loseAnswer : nil
    }
    let store = try server.store()
    #expect(try store.putIfAbsent("v/1", [1, 2]) == .written)
    #expect(server.bytes("v/1") == [1, 2])
    #expect(try store.putIfAbsent("v/1", [1, 2]) == .alreadyExists)
    #expect(server.calls.prefix(3) == ["PUT v/1", "PUT v/1", "HEAD v/1"])
  }

  @Test func aGatewaysErrorAfterASuccessfulPutCounts() throws {
    let server = try FakeS3 { call, number in
      call.method == "PUT" && call.key == "v/1" && number == 1 ? .doAndAnswer(502, code: "BadGateway") : nil
    }
    #expect(try server.store().putIfAbsent("v/1", [1, 2]) == .written)
  }

  @Test func allAnswersLostAfterASuccessfulPut() throws {
    let server = try FakeS3 { call, _ in call.method == "PUT" && call.key == "v/1" ? .loseAnswer : nil }
    let store = try server.store(attempts: 2)
    #expect(try store.putIfAbsent("v/1", [1, 2]) == .written)
    #expect(try store.putIfAbsent("v/1", [3]) == .alreadyExists)
    #expect(server.bytes("v/1") == [1, 2])
  }

  @Test(arguments: [true, false]) func anothersPutAfterALostTryIsNotOurs(_ keepsMetadata: Bool) throws {
    let slot = Mutex<FakeS3?>(nil)
    let server = try FakeS3(keepsMetadata: keepsMetadata) { call, number in
      guard call.method == "PUT", call.key == "v/1", number == 1 else { return nil }
      slot.withLock { $0?.state.withLock { $0.objects["v/1"] = FakeS3.Object(bytes: [9, 9], tag: "\"o\"", meta: [:]) } }
      return .close
    }
    slot.withLock { $0 = server }
    #expect(try server.store().putIfAbsent("v/1", [1, 2]) == .alreadyExists)
    #expect(server.bytes("v/1") == [9, 9])
  }

  @Test func puttersAtTheSameTimeAreTriedAgain() throws {
    let server = try FakeS3 { call, number in
      call.method == "PUT" && call.key == "v/1" && number == 1 ? .answer(409, code: "ConditionalRequestConflict") : nil
    }
    #expect(try server.store().putIfAbsent("v/1", [1]) == .written)
  }

  @Test func noAnswerAtAllIsAnErrorAndNoGuess() throws {
    let server = try FakeS3 { call, _ in call.key == "v/1" ? .answer(500, code: "InternalError") : nil }
    let found = failure { _ = try server.store(attempts: 2).putIfAbsent("v/1", [1]) }
    #expect(
      found?.code == .ioError
        && found?.message.hasPrefix("cannot write 'v/1', if it is absent, in s3://lake: InternalError") == true)
  }

  @Test func expiredCredentialsCommitNothing() throws {
    let server = try FakeS3 { call, _ in call.key == "v/1" ? .answer(403, code: "ExpiredToken") : nil }
    let found = failure { _ = try server.store().putIfAbsent("v/1", [1]) }
    #expect(
      found?.message.contains(
        "the temporary credentials are no longer valid; get new ones (nothing was changed by this request)") == true)
    #expect(server.bytes("v/1") == nil && server.calls == ["PUT v/1"])
  }

  @Test func renewedCredentialsAreReadFromTheFile() throws {
    let file = temporaryFolder() + "/credentials"
    func write(_ key: String) throws {
      try "[default]\naws_access_key_id = \(key)\naws_secret_access_key = s\naws_session_token = t\n".write(
        toFile: file, atomically: true, encoding: .utf8)
    }
    try write("OLD")
    let server = try FakeS3 { call, _ in
      call.fields["authorization"]?.contains("Credential=OLD/") == true ? .answer(400, code: "ExpiredToken") : nil
    }
    var settings = try S3Settings(location: "s3://lake", allowsHTTP: true)
    settings.endpoint = "http://127.0.0.1:\(server.port)"
    settings.credentialsFile = file
    let store = try S3Store(settings, environment: [:])
    #expect(failure { try store.put("x", [1]) }?.message.contains("ExpiredToken") == true)
    try write("NEW")
    try store.put("x", [1])
    #expect(server.bytes("x") == [1])
    #expect(server.state.withLock { $0.calls.last?.fields["x-amz-security-token"] } == "t")
  }

  @Test func serversWithoutConditionalPutsAreFoundOut() throws {
    let ignoring = try FakeS3 { call, _ in call.method == "PUT" ? .ignoreConditions : nil }
    let message = "without which no commit is safe"
    let found = failure { _ = try ignoring.store().putIfAbsent("v/1", [1]) }
    #expect(
      found?.code == .unsupported && found?.message.contains("ignores") == true && found?.message.contains(message) == true)
    #expect(ignoring.bytes("v/1") == nil && ignoring.state.withLock { $0.objects.isEmpty })
    let refusing = try FakeS3 { call, _ in call.fields["if-none-match"] != nil ? .answer(501, code: "NotImplemented") : nil }
    #expect(failure { _ = try refusing.store().putIfAbsent("v/1", [1]) }?.message.contains("does not know") == true)
  }

  // MARK: the clock

  @Test(arguments: [-7200, 7200, 100 * 86400]) func aWrongClockIsSetByTheServers(_ offset: Int64) throws {
    let server = try FakeS3(clockOffsetSeconds: offset)
    let store = try server.store()
    try store.put("x", [1])
    #expect(try store.read("x").array() == [1])
    // The offset is kept: one refusal in all.
    #expect(server.calls == ["PUT x", "PUT x", "GET x"])
  }

  // MARK: large objects

  @Test func partsAreTriedAgainAndInOrder() throws {
    let server = try FakeS3 { call, number in
      call.query["partNumber"] == "2" && number <= 2 ? .answer(500, code: "InternalError") : nil
    }
    let store = try server.store()
    let writer = try store.create("big")
    let bytes = [UInt8]((0..<20_000_000).map { UInt8(truncatingIfNeeded: $0 &* 7) })
    try writer.append(bytes)
    #expect(try store.head("big") == nil)
    try writer.finish()
    #expect(server.bytes("big") == bytes)
    #expect(server.calls.filter { $0 == "PUT big?part=2" }.count == 3)
    #expect(server.state.withLock { $0.uploads.isEmpty })
  }

  @Test func aLostCompletionCounts() throws {
    let server = try FakeS3 { call, number in call.summary == "POST big?upload" && number == 1 ? .loseAnswer : nil }
    let store = try server.store()
    let writer = try store.create("big")
    try writer.append([UInt8](repeating: 5, count: 9 << 20))
    try writer.finish()
    #expect(server.bytes("big")?.count == 9 << 20)
  }

  @Test func failedUploadsLeaveNothing() throws {
    for fault in [
      FakeS3.Fault.answer(403, code: "AccessDenied"), .answer(200, body: "<Error><Code>InternalError</Code></Error>"),
    ] {
      let server = try FakeS3 { call, _ in call.summary == "POST big?upload" ? fault : nil }
      let store = try server.store()
      let writer = try store.create("big")
      try writer.append([UInt8](repeating: 5, count: 9 << 20))
      let found = failure { try writer.finish() }
      #expect(found?.code == .ioError && found?.message.hasPrefix("cannot write 'big' in s3://lake: ") == true)
      #expect(server.bytes("big") == nil && server.state.withLock { $0.uploads.isEmpty })
      #expect(failure { try writer.append([1]) }?.message == "the writer of 'big' is closed")
    }
    let server = try FakeS3 { call, _ in call.query["partNumber"] == "1" ? .answer(403, code: "AccessDenied") : nil }
    let store = try server.store()
    do {
      let writer = try store.create("big")
      _ = failure { try writer.append([UInt8](repeating: 5, count: 40 << 20)) }
    }
    #expect(server.state.withLock { $0.uploads.isEmpty && $0.objects.isEmpty })
  }

  @Test func aCopyThatFailsIsTakenBack() throws {
    let server = try FakeS3 { call, _ in
      call.method == "PUT" && call.key == "to/2"
        ? .answer(200, body: "<Error><Code>InternalError</Code><Message>half way</Message></Error>") : nil
    }
    let store = try server.store()
    for name in ["1", "2", "3"] { try store.put("from/" + name, [1]) }
    let found = failure { try store.moveTree("from", to: "to") }
    #expect(found?.message.contains("cannot copy 'from/2' to 'to' in s3://lake: InternalError") == true)
    #expect(try store.list("", recursive: true).map(\.path) == ["from/1", "from/2", "from/3"])
  }

  @Test func objectsThatStayAreNamed() throws {
    let server = try FakeS3 { call, _ in
      call.query["delete"] != nil
        ? .answer(
          200,
          body: "<DeleteResult><Error><Key>t/1</Key><Code>AccessDenied</Code><Message>locked</Message></Error></DeleteResult>")
        : nil
    }
    let store = try server.store()
    try store.put("t/1", [1])
    #expect(failure { try store.deleteTree("t") }?.message == "cannot delete 't' in s3://lake: t/1 stays: AccessDenied locked")
  }

  // MARK: secrets

  /// Not even what a server quotes of a request gets into a message.
  @Test func secretsStayOutOfMessages() throws {
    let body = """
      <Error><Code>SignatureDoesNotMatch</Code><Message>no match</Message><AWSAccessKeyId>AKIDEXAMPLE</AWSAccessKeyId>\
      <StringToSign>AKIDEXAMPLE verysecret</StringToSign><SignatureProvided>abcdef</SignatureProvided></Error>
      """
    let server = try FakeS3 { _, _ in .answer(403, body: body) }
    let found = failure { try server.store().put("x", [1]) }
    let shown = "\(found.map(String.init(describing:)) ?? "") \(found?.details ?? [:])"
    #expect(shown.contains("SignatureDoesNotMatch"))
    for secret in ["AKIDEXAMPLE", "verysecret", "abcdef"] { #expect(!shown.contains(secret)) }
  }
}

/// Sets the flag of the whole process.
@Suite("S3Store and stops", .serialized)
struct S3StopTests {
  @Test func aStopEndsAWaitingRead() throws {
    let server = try FakeS3 { call, _ in call.method == "GET" ? .hang : nil }
    let store = try server.store(silenceSeconds: 30)
    defer { Cancellation.reset() }
    Thread.detachNewThread {
      usleep(200_000)
      Cancellation.request()
    }
    let began = monotonicSeconds()
    #expect(failure { _ = try store.read("x") }?.code == .cancelled)
    #expect(monotonicSeconds() - began < 2)
  }

  /// What settles or cleans up goes on.
  @Test func aStopDoesNotEndCommitsAndDeletes() throws {
    let server = try FakeS3 { call, number in call.method != "LIST" && number == 1 ? .answer(503, code: "SlowDown") : nil }
    let store = try server.store()
    defer { Cancellation.reset() }
    Cancellation.request()
    #expect(try store.putIfAbsent("v/1", [1]) == .written)
    try store.delete("v/1")
    #expect(server.bytes("v/1") == nil)
    #expect(failure { try store.put("x", [1]) }?.code == .cancelled)
  }
}
