import Columnar
import Core
import Lake
import LanceTable
import Server
import Testing

extension Live {
  @Suite(.timeLimit(.minutes(1))) struct DatasetSearchTests {
    /// 200 rows on a line: row i (from 0) has the vector [i, 0].
    func addLine(_ site: Site) throws {
      let schema = Schema([Field("id", .int64), Field("even", .bool), Field("v", .vector(.float32, 2))])
      let items = try Column.float32((0..<200).flatMap { [Float($0), 0] })
      let batch = try RecordBatch(
        schema: schema,
        columns: [
          .int64((0..<200).map { Int64($0) }), .bool((0..<200).map { $0 % 2 == 0 }),
          Column(type: .vector(.float32, 2), count: 200, buffers: [], children: [items]),
        ])
      try LanceTable.write(InMemoryReader(schema: schema, [batch]), to: site.lake.location(.dataset, "line"), mode: .create)
    }

    func ids(_ hits: JSONValue?) -> [Int64] { hits?.arrayValue?.compactMap { $0["id"]?.intValue } ?? [] }

    @Test func search() async throws {
      try await Site.with { site in
        try addLine(site)
        let base = "/api/v1/datasets/line"
        let found = try await site.post(base + "/search", ["vector": [10.2, 0], "k": 3])
        #expect(found.status == 200 && found.fields["etag"] == "\"v1\"", "\(found.text)")
        #expect(ids(found.json["hits"]?.arrayValue?.first) == [10, 11, 9])
        let first = try #require(found.json["hits"]?.arrayValue?.first?.arrayValue?.first)
        #expect(first["v"] == nil && abs((first["_distance"]?.doubleValue ?? 9) - 0.04) < 1e-4)
        let several = try await site.post(
          base + "/search", ["vectors": [[10.2, 0], [150, 0]], "k": 2, "where": "even", "select": ["id"], "metric": "l2"])
        #expect(several.json["hits"]?.arrayValue?.map { ids($0) } == [[10, 12], [150, 148]], "\(several.text)")
        #expect(several.json["hits"]?.arrayValue?.first?.arrayValue?.first?.objectValue?.keys == ["id", "_distance"])

        func refused(_ body: JSONValue, _ code: String, _ words: String) async throws {
          let reply = try await site.post(base + "/search", body)
          #expect(reply.status == 400 && reply.code == code && reply.message.contains(words), "\(body.text()): \(reply.text)")
        }
        try await refused(["k": 3], "INVALID_REQUEST", "give either vector or vectors")
        try await refused(["vector": ["a"]], "INVALID_REQUEST", "field 'vector[0]' must be a number, not a string")
        try await refused(["vector": [1, 2], "k": 0], "INVALID_REQUEST", "at least 1")
        try await refused(["vector": [1, 2, 3]], "SHAPE_MISMATCH", "2")
        try await refused(["vector": [1, 2], "column": "id"], "TYPE_MISMATCH", "id")
        try await refused(["vector": [1, 2], "column": "w"], "COLUMN_NOT_FOUND", "w")
        try await refused(["vector": [1, 2], "metric": "l1"], "INVALID_REQUEST", "l2 or cosine or dot")
        try await refused(["vector": [1, 2], "where": "even ="], "INVALID_FILTER", "position 7")
      }
    }

    @Test func indices() async throws {
      try await Site.with { site in
        try addLine(site)
        let base = "/api/v1/datasets/line"
        #expect(try await site.get(base + "/indices").text == "[]")
        let made = try await site.post(base + "/indices", ["column": "v", "type": "ivf_flat", "partitions": 2])
        #expect(made.status == 201 && made.json["name"] == "v_idx" && made.json["kind"] == "IVF_FLAT", "\(made.text)")
        let again = try await site.post(base + "/indices", ["column": "v", "type": "ivf_flat"])
        #expect(again.status == 409 && again.code == "ALREADY_EXISTS")
        #expect(try await site.post(base + "/indices", ["column": "v", "type": "ivf_flat", "replace": true]).status == 201)
        #expect(try await site.post(base + "/indices", ["column": "id", "name": "by_id"]).json["kind"] == "BTREE")
        #expect(try await site.get(base + "/indices").json.arrayValue?.count == 2)
        let found = try await site.post(base + "/search", ["vector": [10.2, 0], "k": 2, "where": "id > 10", "probes": 2])
        #expect(ids(found.json["hits"]?.arrayValue?.first) == [11, 12], "\(found.text)")
        let more = try await site.put(
          base + "?mode=append", "{\"id\":200,\"even\":true,\"v\":[200,0]}\n", type: "application/x-ndjson")
        #expect(more.status == 200, "\(more.text)")
        #expect(
          ids(try await site.post(base + "/search", ["vector": [999, 0], "k": 1]).json["hits"]?.arrayValue?.first) == [200])
        #expect(try await site.get(base + "/indices").json.arrayValue?.allSatisfy { $0["unindexed_rows"] == 1 } == true)
        let optimized = try await site.call("POST", base + "/optimize-indices")
        #expect(optimized.json.arrayValue?.allSatisfy { $0["unindexed_rows"] == 0 } == true, "\(optimized.text)")
        #expect(try await site.call("DELETE", base + "/indices/by_id").status == 204)
        let gone = try await site.call("DELETE", base + "/indices/by_id")
        #expect(gone.status == 400 && gone.code == "INVALID_ARGUMENT", "\(gone.text)")
        #expect(try await site.post(base + "/indices", ["column": "x"]).code == "COLUMN_NOT_FOUND")
        #expect(try await site.post(base + "/indices", ["column": "id", "type": "fts"]).message.contains("btree or bitmap"))
      }
    }
  }
}
