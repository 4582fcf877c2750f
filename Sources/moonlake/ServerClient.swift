import AsyncHTTPClient
import Core
import Foundation
import NIOCore
import NIOHTTP1

/// The REST API from a client's side (docs: `/openapi.json`).
struct ServerClient {
  let base: String
  private var client: HTTPClient { ServerClient.client }

  /// A refused connection is an answer: it is not tried again until the deadline.
  private static let client: HTTPClient = {
    var configuration = HTTPClient.Configuration.singletonConfiguration
    configuration.connectionPool.retryConnectionEstablishment = false
    return HTTPClient(eventLoopGroupProvider: .singleton, configuration: configuration)
  }()

  /// Calls `method /api/v1<path>`; the JSON answer, or the server's error as a `Failure`.
  /// - Throws: `SERVER_UNREACHABLE` when nobody answers.
  func call(_ method: String, _ path: String, body: JSONValue? = nil) async throws(Failure) -> JSONValue {
    let (status, bytes) = try await send(method, path, body: body)
    let value = bytes.isEmpty ? JSONValue.null : try JSONValue(parsing: bytes)
    guard (200..<300).contains(status) else { throw ServerClient.failure(value, status: status) }
    return value
  }

  /// The answer's text, for logs.
  func text(_ path: String) async throws(Failure) -> String {
    let (status, bytes) = try await send("GET", path, body: nil)
    guard (200..<300).contains(status) else {
      throw ServerClient.failure((try? JSONValue(parsing: bytes)) ?? .null, status: status)
    }
    return String(decoding: bytes, as: UTF8.self)
  }

  /// Server-sent events of `path`, one call of `each` per event, until the stream ends or `each` returns false.
  /// A stream that breaks is opened again from the last event.
  func events(_ path: String, _ each: (_ event: String, _ data: String) -> Bool) async throws(Failure) {
    var lastID: String?
    var attempts = 0
    while true {
      do {
        var request = HTTPClientRequest(url: base + "/api/v1" + path)
        request.headers.add(name: "Accept", value: "text/event-stream")
        if let lastID { request.headers.add(name: "Last-Event-ID", value: lastID) }
        let response = try await client.execute(request, deadline: .distantFuture)
        guard response.status.code == 200 else {
          let bytes = Array(buffer: try await response.body.collect(upTo: 1 << 20))
          throw ServerClient.failure((try? JSONValue(parsing: bytes)) ?? .null, status: Int(response.status.code))
        }
        attempts = 0
        var parser = EventParser()
        for try await part in response.body {
          for event in parser.feed(Array(buffer: part)) {
            if let id = event.id { lastID = id }
            if event.name == "end" { return }
            if !each(event.name, event.data) { return }
          }
        }
        return
      } catch let failure as Failure {
        throw failure
      } catch {
        attempts += 1
        guard attempts < 5 else { throw unreachable(error) }
        try? await Task.sleep(for: .milliseconds(300 * attempts))
      }
    }
  }

  private func send(_ method: String, _ path: String, body: JSONValue?) async throws(Failure) -> (Int, [UInt8]) {
    do {
      var request = HTTPClientRequest(url: base + "/api/v1" + path)
      request.method = .init(rawValue: method)
      if let body {
        request.headers.add(name: "Content-Type", value: "application/json")
        request.body = .bytes(body.utf8())
      }
      let response = try await client.execute(request, timeout: .seconds(60))
      return (Int(response.status.code), Array(buffer: try await response.body.collect(upTo: 64 << 20)))
    } catch {
      throw unreachable(error)
    }
  }

  private func unreachable(_ error: any Error) -> Failure {
    Failure(.serverUnreachable, "no answer from \(base) (\(error)); start it with 'moonlake serve' or name it with --server")
  }

  private static func failure(_ body: JSONValue, status: Int) -> Failure {
    let error = body["error"]
    return Failure(
      Failure.Code(error?["code"]?.stringValue ?? "HTTP_\(status)"),
      error?["message"]?.stringValue ?? "the server answered \(status)")
  }
}

/// Splits a text/event-stream into events (WHATWG HTML, section 9.2).
struct EventParser {
  struct Event {
    var id: String?
    var name = "message"
    var data = ""
  }
  private var rest: [UInt8] = []
  private var current = Event()
  private var hasData = false

  mutating func feed(_ bytes: [UInt8]) -> [Event] {
    rest += bytes
    var events: [Event] = []
    while let end = rest.firstIndex(of: 10) {
      var line = rest[..<end]
      if line.last == 13 { line = line.dropLast() }
      let text = String(decoding: line, as: UTF8.self)
      rest.removeSubrange(...end)
      if text.isEmpty {
        if hasData || current.name != "message" { events.append(current) }
        current = Event()
        hasData = false
        continue
      }
      let parts = text.split(separator: ":", maxSplits: 1, omittingEmptySubsequences: false)
      var value = parts.count > 1 ? parts[1] : ""
      if value.first == " " { value = value.dropFirst() }
      switch parts[0] {
      case "id": current.id = String(value)
      case "event": current.name = String(value)
      case "data":
        current.data += (hasData ? "\n" : "") + value
        hasData = true
      default: break
      }
    }
    return events
  }
}
