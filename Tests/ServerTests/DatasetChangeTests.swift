import Core
import Server
import Testing

extension Site {
  func post(_ path: String, _ body: JSONValue, fields: [String: String] = [:]) async throws -> Reply {
    try await call("POST", path, body: body.text(), fields: fields)
  }
}

extension Live {
  @Suite(.timeLimit(.minutes(1))) struct DatasetChangeTests {
    @Test func rows() async throws {
      try await Site.with { site in
        try site.addDataset("t")
        let base = "/api/v1/datasets/t"
        let deleted = try await site.post(base + "/delete-rows", ["where": "id = 2"])
        #expect(
          deleted.status == 200
            && deleted.json == ["version": 2, "inserted": 0, "updated": 0, "deleted": 1, "changed": true], "\(deleted.text)")
        #expect(deleted.fields["etag"] == "\"v2\"")
        #expect(try await site.post(base + "/delete-rows", ["where": "id = 2"]).json["changed"] == false)
        let updated = try await site.post(
          base + "/update", ["set": ["split": "new", "label": .null], "expressions": ["x": "id * 2.5"], "where": "id < 4"])
        #expect(updated.json["updated"] == 2 && updated.json["version"] == 3, "\(updated.text)")
        #expect(
          try await site.get(base + "/rows?order=id").json == [
            ["id": 1, "label": .null, "split": "new", "x": 2.5], ["id": 3, "label": .null, "split": "new", "x": 7.5],
            ["id": 4, "label": 3, "split": .null, "x": 2],
          ])
        #expect(try await site.post(base + "/update", ["set": ["label": 0]]).json["updated"] == 3)
        #expect(try await site.get(base + "/rows?version=1").json.arrayValue?.count == 4)
      }
    }

    @Test func columnsTagsAndRestore() async throws {
      try await Site.with { site in
        try site.addDataset("t")
        let base = "/api/v1/datasets/t"
        let added = try await site.post(
          base + "/columns",
          [
            "columns": [
              ["name": "twice", "expression": "id * 2"], ["name": "note", "type": "String"],
              ["name": "f", "expression": "id", "type": "f32"],
            ]
          ])
        #expect(added.status == 200 && added.json["version"] == 2, "\(added.text)")
        #expect(try await site.get(base).json["schema"]?["f"] == "Float32")
        let nulls = try await site.post(base + "/columns", ["columns": [["name": "v", "type": "f32[2]"]]])
        #expect(nulls.json["version"] == 3, "\(nulls.text)")
        #expect(try await site.call("PATCH", base + "/columns/twice", body: #"{"name": "double of it"}"#).json["version"] == 4)
        #expect(
          try await site.call("PATCH", base + "/columns/double%20of%20it", body: #"{"type": "String"}"#).json["version"] == 5)
        #expect(try await site.call("DELETE", base + "/columns/note").json["version"] == 6)
        let row = try await site.get(base + "/rows?where=id=3")
        #expect(
          row.json == [["id": 3, "label": .null, "split": "a, \"b\"", "x": -1, "double of it": "6", "f": 3, "v": .null]],
          "\(row.text)")

        #expect(try await site.post(base + "/tags", ["name": "first", "version": 1]).json == ["name": "first", "version": 1])
        #expect(try await site.post(base + "/tags", ["name": "now"]).json["version"] == 6)
        #expect(try await site.get(base + "/tags").json == [["name": "first", "version": 1], ["name": "now", "version": 6]])
        #expect(try await site.get(base + "?tag=first").json["num_rows"] == 4)
        #expect(try await site.call("DELETE", base + "/tags/now").status == 204)
        #expect(try await site.call("DELETE", base + "/tags/now").code == "VERSION_NOT_FOUND")
        #expect(try await site.post(base + "/restore", ["tag": "first"]).json["version"] == 7)
        #expect(try await site.get(base).json["schema"]?.objectValue?.count == 4)
        let diff = try await site.get(base + "/diff?from=1&to=6")
        #expect(diff.json["columns_added"] == ["double of it", "f", "v"], "\(diff.text)")
        #expect(try await site.get(base + "/diff").json["from"] == 6)
        #expect(try await site.get(base + "/diff?from=99").code == "VERSION_NOT_FOUND")
      }
    }

    @Test func ifMatchGuardsAVersion() async throws {
      try await Site.with { site in
        try site.addDataset("t")
        let base = "/api/v1/datasets/t"
        let fits = try await site.post(base + "/delete-rows", ["where": "id = 1"], fields: ["If-Match": "\"v1\""])
        #expect(fits.status == 200 && fits.fields["etag"] == "\"v2\"")
        for (method, path, body) in [
          ("POST", "/delete-rows", #"{"where": "id = 2"}"#), ("POST", "/update", #"{"set": {"x": 1}}"#),
          ("POST", "/columns", #"{"columns": [{"name": "n", "type": "f32"}]}"#), ("POST", "/restore", #"{"version": 1}"#),
          ("PATCH", "/columns/x", #"{"name": "y"}"#), ("DELETE", "/columns/x", ""),
        ] {
          let stale = try await site.call(method, base + path, body: body.isEmpty ? nil : body, fields: ["If-Match": "\"v1\""])
          #expect(stale.status == 412 && stale.code == "VERSION_CONFLICT", "\(method) \(path): \(stale.text)")
        }
        #expect(try await site.get(base).json["version"] == 2)
        #expect(try await site.post(base + "/update", ["set": ["x": 1]], fields: ["If-Match": "*"]).status == 200)
        #expect(try await site.post(base + "/update", ["set": ["x": 1]], fields: ["If-Match": "v3"]).status == 400)
        #expect(
          try await site.call(
            "PUT", base + "?mode=append", body: "id\n1\n", fields: ["If-Match": "\"v3\"", "Content-Type": "text/csv"]
          ).status == 400)
      }
    }

    @Test func mergeByKey() async throws {
      try await Site.with { site in
        try site.addDataset("t")
        let base = "/api/v1/datasets/t"
        let merged = try await site.put(base + "?mode=merge&key=id", "id,split\n1,one\n9,nine\n", type: "text/csv")
        #expect(merged.status == 200 && merged.json["updated"] == 1 && merged.json["inserted"] == 1, "\(merged.text)")
        #expect(
          try await site.get(base + "/rows?where=split+IN+('one','nine')&order=id&select=id,label").json == [
            ["id": 1, "label": 3], ["id": 9, "label": .null],
          ])
        let twice = try await site.put(base + "?mode=merge&key=id", "id,split\n1,a\n1,b\n", type: "text/csv")
        #expect(twice.status == 400 && twice.code == "INVALID_ARGUMENT", "\(twice.text)")
        #expect(
          try await site.put(base + "?mode=merge", "id\n1\n", type: "text/csv").message.contains(
            "needs the query parameter 'key'"))
        #expect(try await site.put(base + "?mode=append&key=id", "id\n1\n", type: "text/csv").status == 400)
        let made = try await site.put("/api/v1/datasets/n?mode=merge&key=id", "id\n1\n2\n", type: "text/csv")
        #expect(made.status == 201 && made.json["inserted"] == 2, "\(made.text)")
        let packed = try await site.put("/api/v1/datasets/p?compression=zstd", "id\n1\n", type: "text/csv")
        #expect(packed.status == 201, "\(packed.text)")
        let other = try await site.put("/api/v1/datasets/p?mode=append&compression=lz4", "id\n1\n", type: "text/csv")
        #expect(other.status == 400 && other.message.hasPrefix("compression 'lz4' is for a new table"), "\(other.text)")
      }
    }

    @Test func mistakesAreNamedAndChangeNothing() async throws {
      try await Site.with { site in
        try site.addDataset("t")
        let base = "/api/v1/datasets/t"
        func refused(_ method: String, _ path: String, _ body: String, _ code: String, _ words: String = "") async throws {
          let reply = try await site.call(method, base + path, body: body)
          #expect(reply.status == 400 && reply.code == code && reply.message.contains(words), "\(path) \(body): \(reply.text)")
        }
        try await refused("POST", "/delete-rows", "{}", "INVALID_REQUEST", "field 'where' is missing; it must be a string")
        try await refused("POST", "/delete-rows", #"{"were": "id = 1"}"#, "INVALID_REQUEST", "'where' is missing")
        try await refused(
          "POST", "/delete-rows", #"{"where": "id = 1", "limit": 3}"#, "INVALID_REQUEST", "unknown field 'limit'")
        try await refused(
          "POST", "/delete-rows", #"{"where": 3}"#, "INVALID_REQUEST", "field 'where' must be a string, not an integer")
        try await refused("POST", "/delete-rows", #"{"where": ""}"#, "INVALID_FILTER", "the filter is empty")
        try await refused("POST", "/delete-rows", #"{"where": "x"}"#, "TYPE_MISMATCH")
        try await refused("POST", "/delete-rows", "[1]", "INVALID_REQUEST", "must be a JSON object")
        try await refused("POST", "/update", "{}", "INVALID_REQUEST", "at least one column")
        try await refused(
          "POST", "/update", #"{"set": {"x": [1]}}"#, "INVALID_REQUEST", "set.x: a list or object cannot be set")
        try await refused("POST", "/update", #"{"set": {"x": 1}, "expressions": {"x": "2"}}"#, "INVALID_REQUEST", "column 'x'")
        try await refused("POST", "/update", #"{"set": {"y": 1}}"#, "COLUMN_NOT_FOUND")
        try await refused("POST", "/update", #"{"expressions": {"x": "split"}}"#, "TYPE_MISMATCH")
        try await refused(
          "POST", "/update", #"{"expressions": {"x": 3}}"#, "INVALID_REQUEST", "'expressions.x' must be a string")
        try await refused("POST", "/columns", #"{"columns": []}"#, "INVALID_REQUEST", "at least 1 item")
        try await refused(
          "POST", "/columns", #"{"columns": [{"name": "n"}]}"#, "INVALID_REQUEST", "columns[0] needs an expression or a type")
        try await refused(
          "POST", "/columns", #"{"columns": [{"nam": "n"}]}"#, "INVALID_REQUEST", "'columns[0].name' is missing")
        try await refused(
          "POST", "/columns", #"{"columns": [{"name": "n", "type": "f23"}]}"#, "INVALID_ARGUMENT", "did you mean 'f32'")
        try await refused("PATCH", "/columns/x", "{}", "INVALID_REQUEST", "either name or type")
        try await refused("PATCH", "/columns/y", #"{"name": "z"}"#, "COLUMN_NOT_FOUND")
        try await refused("POST", "/restore", "{}", "INVALID_REQUEST", "the version or the tag")
        try await refused("POST", "/restore", #"{"version": 0}"#, "INVALID_REQUEST", "at least 1")
        try await refused("POST", "/tags", #"{"name": ""}"#, "INVALID_REQUEST", "must not be empty")
        let taken = try await site.post(base + "/columns", ["columns": [["name": "x", "type": "f32"]]])
        #expect(taken.status == 409 && taken.code == "ALREADY_EXISTS", "\(taken.text)")
        #expect(try await site.post(base + "/restore", ["version": 9]).code == "VERSION_NOT_FOUND")
        let all = try await site.call("POST", base + "/update", body: #"{"st": 1, "where": 2}"#)
        #expect(all.json["error"]?["details"]?.arrayValue?.count == 2)
        #expect(try await site.get(base).json["version"] == 1)
      }
    }
  }
}
