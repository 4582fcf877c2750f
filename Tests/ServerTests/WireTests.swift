import Core
import Foundation
import Server
import Testing

extension Live {
  /// What comes over a socket from somebody who means no good. After each, the server still answers.
  @Suite(.timeLimit(.minutes(2))) struct WireTests {
    @Test func badFraming() async throws {
      try await Site.with { site in
        let post = "POST /api/v1/tasks HTTP/1.1\r\nHost: localhost\r\nContent-Type: application/json\r\n"
        let cases: [(String, String)] = [
          ("garbage", "garbage\r\n\r\n"), ("no version", "GET /healthz\r\n\r\n"), ("0.9", "GET /healthz HTTP/0.9\r\n\r\n"),
          ("2.0 preface", "PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n"), ("binary", "\u{16}\u{3}\u{1}\u{2}\u{0}\u{1}"),
          ("both lengths", post + "Content-Length: 2\r\nTransfer-Encoding: chunked\r\n\r\n{}"),
          ("two lengths", post + "Content-Length: 2\r\nContent-Length: 3\r\n\r\n{}"),
          ("length -1", post + "Content-Length: -1\r\n\r\n"),
          ("length 0x10", post + "Content-Length: 0x10\r\n\r\n"), ("length +5", post + "Content-Length: +5\r\n\r\n"),
          ("chunk size", post + "Transfer-Encoding: chunked\r\n\r\nFFFFFFFFFFFFFFFFFF\r\n"),
          ("chunk garbage", post + "Transfer-Encoding: chunked\r\n\r\nzz\r\n"),
          ("space in name", "GET /healthz HTTP/1.1\r\nHost : localhost\r\n\r\n"),
          ("two hosts", "GET /healthz HTTP/1.1\r\nHost: localhost\r\nHost: evil.com\r\n\r\n"),
        ]
        for (name, text) in cases {
          let reply = try await site.raw(text + "\r\n\r\n")
          if let reply {
            #expect(reply.status == 400 || reply.status == 413, "\(name): \(reply.status) \(reply.text)")
            #expect(!reply.code.isEmpty, "\(name): \(reply.text)")
          }
          #expect(try await site.get("/healthz").status == 200, "after \(name)")
        }
        // Most of them get an answer in the contract's shape, not just a closed door.
        let reply = try await site.raw("garbage\r\n\r\n")
        #expect(
          reply?.status == 400 && reply?.code == "INVALID_REQUEST" && reply?.message == "this is not a valid HTTP/1.1 request")
        #expect(reply?.fields["connection"] == "close")
      }
    }

    @Test func headsThatAreTooLarge() async throws {
      try await Site.with { site in
        let long = try await site.raw("GET /" + String(repeating: "a", count: 9000) + " HTTP/1.1\r\nHost: localhost\r\n\r\n")
        #expect(long?.status == 414 && long?.code == "URI_TOO_LONG")
        let huge = try await site.raw("GET /" + String(repeating: "a", count: 1 << 20) + " HTTP/1.1\r\nHost: localhost\r\n\r\n")
        #expect(huge == nil || huge?.status == 431 || huge?.status == 414)
        let field = try await site.raw(
          "GET / HTTP/1.1\r\nHost: localhost\r\nX: " + String(repeating: "a", count: 100_000) + "\r\n\r\n")
        #expect(field?.status == 431 && field?.code == "HEADERS_TOO_LARGE", "\(field?.status ?? 0)")
        let many = try await site.raw(
          "GET / HTTP/1.1\r\nHost: localhost\r\n" + String(repeating: "A: b\r\n", count: 10_000) + "\r\n")
        #expect(many?.status == 431)
        #expect(try await site.get("/healthz").status == 200)
      }
    }

    @Test func slowClientsAreCut() async throws {
      try await Site.with({
        $0.headTimeoutSeconds = 0.5
        $0.bodyTimeoutSeconds = 0.5
        $0.idleTimeoutSeconds = 1
      }) { site in
        let port = site.port
        let took = try await blocking { () -> [Double] in
          // Nothing at all; a head that comes byte by byte; a body that comes byte by byte; idle after an answer.
          var wires: [(wire: Wire, drip: [UInt8])] = []
          for _ in 0..<25 {
            wires.append((try Wire(port: port), []))
            wires.append(
              (
                try Wire(port: port),
                Array("GET /healthz HTTP/1.1\r\nHost: localhost\r\nX-Slow: aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa".utf8)
              ))
            let body = try Wire(port: port)
            body.send(
              "POST /api/v1/tasks HTTP/1.1\r\nHost: localhost\r\nContent-Type: application/json\r\nContent-Length: 100000\r\n\r\n{"
            )
            wires.append((body, Array(repeating: 32, count: 100)))
          }
          let begin = monotonicSeconds()
          for round in 0..<12 {
            for (wire, drip) in wires where round < drip.count { wire.send([drip[round]]) }
            usleep(50_000)
          }
          return wires.map { wire, _ in
            let reply = wire.reply()
            if let reply { #expect(reply.status == 408 && reply.code == "REQUEST_TIMEOUT", "\(reply.status)") }
            return monotonicSeconds() - begin
          }
        }
        #expect(took.allSatisfy { $0 < 3 }, "\(took.max() ?? 0)")
        #expect(try await site.get("/healthz").status == 200)
        let idle = try await blocking { () -> Double in
          let wire = try Wire(port: port)
          wire.send("GET /healthz HTTP/1.1\r\nHost: localhost\r\n\r\n")
          #expect(wire.reply()?.status == 200)
          let begin = monotonicSeconds()
          #expect(wire.receive().isEmpty)
          return monotonicSeconds() - begin
        }
        #expect(idle > 0.5 && idle < 4)
      }
    }

    @Test func aReaderThatDoesNotReadIsCut() async throws {
      try await Site.with({ $0.writeTimeoutSeconds = 0.5 }) { site in
        // A log of some MiB, asked for a few times by a client that takes nothing.
        try Data(repeating: 97, count: 4 << 20).write(to: URL(fileURLWithPath: site.folder + "/web/big.txt"))
        let port = site.port
        let wire = try await blocking { () -> Wire in
          let wire = try Wire(port: port)
          for _ in 0..<4 { wire.send("GET /big.txt HTTP/1.1\r\nHost: localhost\r\n\r\n") }
          return wire
        }
        var open = ""
        for _ in 0..<60 {
          open = try await site.get("/metrics").text
          if open.contains("moonlake_http_connections 1\n") { break }  // the one that asks
          try await Task.sleep(for: .milliseconds(50))
        }
        #expect(open.contains("moonlake_http_connections 1\n"))
        withExtendedLifetime(wire) {}
      }
    }

    @Test func pipelinedAndHalfClosed() async throws {
      try await Site.with { site in
        let port = site.port
        let statuses = try await blocking { () -> [Int] in
          let wire = try Wire(port: port)
          wire.send(String(repeating: "GET /healthz HTTP/1.1\r\nHost: localhost\r\n\r\n", count: 1000))
          return (0..<1000).map { _ in wire.reply()?.status ?? 0 }
        }
        #expect(statuses.count == 1000 && Set(statuses) == [200])
      }
    }

    @Test func connectionsAreLimited() async throws {
      try await Site.with({ $0.maxConnections = 5 }) { site in
        let port = site.port
        try await blocking {
          var held: [Wire] = []
          for _ in 0..<5 {
            let wire = try Wire(port: port)
            wire.send("GET /healthz HTTP/1.1\r\nHost: localhost\r\n\r\n")
            #expect(wire.reply()?.status == 200)
            held.append(wire)
          }
          let waiting = try Wire(port: port, timeoutSeconds: 1)
          waiting.send("GET /healthz HTTP/1.1\r\nHost: localhost\r\n\r\n")
          #expect(waiting.receive().isEmpty)  // in the listen queue
          held.removeAll()
          #expect(waiting.reply()?.status == 200)
        }
      }
    }

    @Test func clientsThatLeaveInTheMiddle() async throws {
      try await Site.with { site in
        let port = site.port
        try await blocking {
          for i in 0..<200 {
            let wire = try Wire(port: port)
            let text =
              "POST /api/v1/tasks HTTP/1.1\r\nHost: localhost\r\nContent-Type: application/json\r\nContent-Length: 5000\r\n\r\n{\"name\""
            wire.send(String(text.prefix(i)))
          }
        }
        var open = ""
        for _ in 0..<100 {
          open = try await site.get("/metrics").text
          if open.contains("moonlake_http_connections 1\n") { break }
          try await Task.sleep(for: .milliseconds(20))
        }
        #expect(open.contains("moonlake_http_connections 1\n"))
        #expect(try await site.get("/api/v1/tasks").json == [])
      }
    }
  }
}
