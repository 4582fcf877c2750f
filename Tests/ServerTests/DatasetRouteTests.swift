import Columnar
import Core
import Foundation
import Lake
import LanceTable
import Server
import Testing

extension Site {
  /// A data set of four rows (id, label, split, x) at version 1.
  func addDataset(_ name: String) throws {
    let schema = Schema([Field("id", .int64), Field("label", .int64), Field("split", .utf8), Field("x", .float64)])
    let batch = try RecordBatch(
      schema: schema,
      columns: [
        .int64([1, 2, 3, 4]), .int64([3, 1, nil, 3]), .utf8(["train", "test", "a, \"b\"", nil]), .float64([0.5, nil, -1, 2]),
      ])
    try LanceTable.write(InMemoryReader(schema: schema, [batch]), to: lake.location(.dataset, name), mode: .create)
  }

  /// A PUT of rows.
  func put(_ path: String, _ body: String, type: String) async throws -> Reply {
    try await call("PUT", path, body: body, fields: ["Content-Type": type])
  }
}

extension Live {
  @Suite(.timeLimit(.minutes(1))) struct DatasetRouteTests {
    @Test func rowsBySelectWhereAndOrder() async throws {
      try await Site.with { site in
        try site.addDataset("t")
        let base = "/api/v1/datasets/t/rows"
        func ids(_ query: String) async throws -> [Int64] {
          let reply = try await site.get("\(base)?\(query)")
          #expect(reply.status == 200, "\(query): \(reply.text)")
          return reply.json.arrayValue?.compactMap { $0["id"]?.intValue } ?? []
        }
        #expect(try await ids("where=label%20%3D%203") == [1, 4])
        #expect(try await ids("where=label+IS+NULL+OR+x+BETWEEN+0+AND+1") == [1, 3])
        #expect(try await ids("where=split+LIKE+'t%25'&order=-id") == [2, 1])
        #expect(try await ids("order=-label,id&limit=2") == [1, 4])
        #expect(try await ids("order=x&offset=1&limit=2") == [1, 4])
        let chosen = try await site.get("\(base)?select=x,id&where=id=4")
        #expect(chosen.json == [["x": 2, "id": 4]] && chosen.json.arrayValue?[0].objectValue?.keys == ["x", "id"])
        #expect(chosen.fields["etag"] == "\"v1\"" && chosen.fields["x-total-count"] == nil)
        #expect(try await site.get("\(base)?order=id").fields["x-total-count"] == "4")

        let broken = try await site.get("\(base)?where=label+%3D")
        #expect(broken.status == 400 && broken.code == "INVALID_FILTER", "\(broken.text)")
        #expect(broken.message == "filter, position 8: expected a column or value, got the end")
        #expect(broken.json["error"]?["details"]?["position"] == 8)
        let unknown = try await site.get("\(base)?where=labl=3")
        #expect(unknown.status == 400 && unknown.code == "COLUMN_NOT_FOUND" && unknown.message.contains("did you mean 'label'"))
        let types = try await site.get("\(base)?where=split+%2B+1+%3D+2")
        #expect(types.status == 400 && types.code == "TYPE_MISMATCH", "\(types.text)")
        #expect(try await site.get("\(base)?where=label").code == "TYPE_MISMATCH")
        #expect(try await site.get("\(base)?select=id&columns=id").status == 400)
        #expect(try await site.get("\(base)?wher=1").message.contains("did you mean 'where'"))
        #expect(try await site.get("\(base)?order=y").code == "COLUMN_NOT_FOUND")
      }
    }

    @Test func rowsAsText() async throws {
      try await Site.with { site in
        try site.addDataset("t")
        let csv = try await site.call("GET", "/api/v1/datasets/t/rows?limit=3", fields: ["Accept": "text/csv"])
        #expect(csv.fields["content-type"] == "text/csv; charset=utf-8")
        #expect(csv.text == "id,label,split,x\n1,3,train,0.5\n2,1,test,\n3,,\"a, \"\"b\"\"\",-1\n")
        let lines = try await site.call("GET", "/api/v1/datasets/t/rows?where=id=4", fields: ["Accept": "application/x-ndjson"])
        #expect(lines.text == "{\"id\":4,\"label\":3,\"split\":null,\"x\":2}\n")
        let all = try await site.get("/api/v1/datasets/t/export?format=csv&where=id<3&select=split,id&order=-id")
        #expect(all.status == 200 && all.text == "split,id\ntest,2\ntrain,1\n", "\(all.text)")
        #expect(all.fields["content-disposition"] == "attachment; filename=\"t-v1.csv\"" && all.fields["etag"] == "\"v1\"")
        #expect(try await site.get("/api/v1/datasets/t/export").text.split(separator: "\n").count == 4)
        #expect(try await site.get("/api/v1/datasets/t/export?format=parquet").status == 400)
        #expect(try await site.get("/api/v1/datasets/t/export?select=y").code == "COLUMN_NOT_FOUND")
        let head = try await site.call("HEAD", "/api/v1/datasets/t/export?format=csv")
        #expect(head.status == 200 && head.fields["content-type"] == "text/csv; charset=utf-8")
      }
    }

    @Test func versionsTagsAndStatistics() async throws {
      try await Site.with { site in
        try site.addDataset("t")
        for id in 5...7 {
          let more = try await site.put("/api/v1/datasets/t?mode=append", "id,split\n\(id),new\n", type: "text/csv")
          #expect(more.status == 200, "\(more.text)")
        }
        let versions = try await site.get("/api/v1/datasets/t/versions?limit=2")
        #expect(versions.json.arrayValue?.compactMap { $0["version"]?.intValue } == [4, 3])
        #expect(versions.json.arrayValue?[0]["operation"] == "append" && versions.json.arrayValue?[0]["rows"] == 7)
        #expect(versions.fields["x-total-count"] == "4")
        #expect(versions.fields["link"] == "</api/v1/datasets/t/versions?limit=2&before=3>; rel=\"next\"")
        let older = try await site.get("/api/v1/datasets/t/versions?limit=2&before=3")
        #expect(older.json.arrayValue?.compactMap { $0["version"]?.intValue } == [2, 1] && older.fields["link"] == nil)
        #expect(try await site.get("/api/v1/datasets/t/tags").text == "[]")

        let first = try await site.get("/api/v1/datasets/t?version=1")
        #expect(first.json["num_rows"] == 4 && first.fields["etag"] == "\"v1\"")
        #expect(try await site.get("/api/v1/datasets/t?as_of=2999-01-01").json["version"] == 4)
        #expect(try await site.get("/api/v1/datasets/t?as_of=2000-01-01T00:00:00Z").code == "VERSION_NOT_FOUND")
        #expect(try await site.get("/api/v1/datasets/t?as_of=monday").status == 400)
        #expect(try await site.get("/api/v1/datasets/t?version=1&tag=x").status == 400)
        #expect(try await site.get("/api/v1/datasets/t?tag=x").code == "VERSION_NOT_FOUND")

        let stats = try await site.get("/api/v1/datasets/t/stats?columns=label,split&version=1")
        #expect(
          stats.json.arrayValue?[0] == [
            "name": "label", "type": "Int64", "count": 3, "nulls": 1, "min": 1, "max": 3, "mean": .double(7.0 / 3),
          ], "\(stats.text)")
        #expect(stats.json.arrayValue?[1]["max"] == "train" && stats.json.arrayValue?[1]["mean"] == .null)
        #expect(try await site.get("/api/v1/datasets/t/stats?columns=lable").code == "COLUMN_NOT_FOUND")
      }
    }

    @Test func imports() async throws {
      try await Site.with { site in
        let path = "/api/v1/datasets/sales"
        let made = try await site.put(path, "id,shop,amount\n1,north,2.5\n2,\"a, b\",\n", type: "text/csv; charset=utf-8")
        #expect(made.status == 201 && made.json["rows"] == 2 && made.json["version"] == 1, "\(made.text)")
        #expect(made.fields["etag"] == "\"v1\"" && made.fields["location"] == path)
        #expect(try await site.get(path).json["schema"] == ["id": "Int64", "shop": "String", "amount": "Float64"])
        let again = try await site.put(path, "id\n1\n", type: "text/csv")
        #expect(again.status == 409 && again.code == "ALREADY_EXISTS")
        // Whole numbers go into a column of fractions, digits into one of texts: the data set's types hold.
        let more = try await site.put(
          path + "?mode=append", "{\"amount\":7,\"id\":3}\n{\"id\":4,\"shop\":\"x\"}\n", type: "application/x-ndjson")
        #expect(more.status == 200 && more.json["rows"] == 2, "\(more.text)")
        let digits = try await site.put(path + "?mode=append", "shop,id\n17,5\n", type: "text/csv")
        #expect(digits.status == 200, "\(digits.text)")
        #expect(
          try await site.get(path + "/export?format=csv").text
            == "id,shop,amount\n1,north,2.5\n2,\"a, b\",\n3,,7\n4,x,\n5,17,\n")
        let over = try await site.put(path + "?mode=overwrite", "a\n1\n", type: "text/csv")
        #expect(over.status == 200 && over.json["version"] == 4)
        #expect(try await site.get(path).json["schema"] == ["a": "Int64"])

        let empty = try await site.put(
          "/api/v1/datasets/new", #"{"schema": {"id": "Int64", "v": "f32[4]"}}"#, type: "application/json")
        #expect(empty.status == 201 && empty.json["rows"] == 0, "\(empty.text)")
        #expect(try await site.get("/api/v1/datasets/new").json["schema"]?["v"] == "FixedSizeList[Float32, 4]")
        #expect(try await site.get("/api/v1/datasets/new/rows").text == "[]")
      }
    }

    @Test func importsThatCannotBe() async throws {
      try await Site.with({ $0.uploadLimitBytes = 3 << 20 }) { site in
        try site.addDataset("t")
        let path = "/api/v1/datasets/t?mode=append"
        func refused(
          _ body: String, _ type: String, _ status: Int, _ code: String, to path: String = path, _ words: String = ""
        )
          async throws
        {
          let reply = try await site.put(path, body, type: type)
          #expect(
            reply.status == status && reply.code == code && (words.isEmpty || reply.message.contains(words)),
            "\(path): \(reply.text)")
        }
        try await refused("id,label\n1,x\n", "text/csv", 400, "INVALID_REQUEST", "line 2, column 'label'")
        try await refused("id,labl\n1,2\n", "text/csv", 400, "COLUMN_NOT_FOUND", "did you mean 'label'")
        try await refused("id\n\"1\n", "text/csv", 400, "INVALID_REQUEST")
        try await refused("", "text/csv", 400, "INVALID_REQUEST", "the file is empty")
        try await refused("{\"id\":1}\n[2]\n", "application/jsonl", 400, "INVALID_REQUEST", "line 2")
        try await refused("id\n1\n", "application/parquet", 415, "UNSUPPORTED_MEDIA_TYPE")
        try await refused("id\n1\n", "", 415, "UNSUPPORTED_MEDIA_TYPE")
        try await refused("id\n1\n", "text/csv", 404, "DATASET_NOT_FOUND", to: "/api/v1/datasets/nope?mode=append")
        try await refused("id\n1\n", "text/csv", 400, "INVALID_REQUEST", to: "/api/v1/datasets/.x", "begins with a dot")
        try await refused("id\n1\n", "text/csv", 400, "INVALID_REQUEST", to: "/api/v1/datasets/n?mode=upsert", "mode")
        try await refused(#"{"schema": {}}"#, "application/json", 400, "INVALID_REQUEST", to: "/api/v1/datasets/n")
        try await refused(
          #"{"schema": {"a": "f23"}}"#, "application/json", 400, "INVALID_SCHEMA", to: "/api/v1/datasets/n",
          "did you mean 'f32'")
        try await refused(
          #"{"shema": {"a": "f32"}}"#, "application/json", 400, "INVALID_REQUEST", to: "/api/v1/datasets/n",
          "'schema' is missing")
        try await refused(
          "a\n" + String(repeating: "1\n", count: 2 << 20), "text/csv", 413, "PAYLOAD_TOO_LARGE", to: "/api/v1/datasets/n")
        #expect(try await site.get("/api/v1/datasets/t").json["version"] == 1)
        #expect(try await site.get("/api/v1/datasets/n").status == 404)
        // Larger than a JSON body may be, and than what is kept in memory while it comes.
        let large = try await site.put(
          "/api/v1/datasets/large", "a\n" + String(repeating: "12345\n", count: 500_000), type: "text/csv")
        #expect(large.status == 201 && large.json["rows"] == 500_000, "\(large.text)")
        #expect(try await site.get("/api/v1/datasets/large/export?format=csv").body.count == 2 + 6 * 500_000)
      }
    }
  }
}
