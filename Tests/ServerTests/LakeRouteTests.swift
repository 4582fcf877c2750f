import Core
import Foundation
import Lake
import LanceTable
import Server
import TestSupport
import Testing

extension Live {
  @Suite(.timeLimit(.minutes(1))) struct LakeRouteTests {
    /// Puts a table that pylance wrote (16 rows, 4 of them deleted) into the lake.
    func addGolden(_ site: Site, as name: String) throws {
      let datasets = site.folder + "/lance_storage/datasets"
      try FileManager.default.createDirectory(atPath: datasets, withIntermediateDirectories: true)
      try FileManager.default.copyItem(
        atPath: repository + "/Tests/golden/lance/basic.lance", toPath: datasets + "/\(name).lance")
    }

    @Test func dataSets() async throws {
      try await Site.with { site in
        #expect(try await site.get("/api/v1/datasets").text == "[]")
        try addGolden(site, as: "mnist_clean")
        let list = try await site.get("/api/v1/datasets")
        let first = try #require(list.json.arrayValue?.first)
        #expect(list.status == 200 && list.json.arrayValue?.count == 1)
        #expect(first.objectValue.map { Array($0.keys.prefix(4)) } == ["id", "path", "schema", "num_rows"])
        #expect(
          first["id"] == "mnist_clean" && first["path"] == "lance_storage/datasets/mnist_clean.lance" && first["num_rows"] == 12
        )
        #expect(first["schema"]?["id"] == "Int64" && first["schema"]?["name"] == "String")
        #expect(first["schema"]?["vector"] == "FixedSizeList[Float32, 4]")
        #expect(try await site.get("/api/v1/datasets/mnist_clean").json == first)

        let old = try await site.get("/api/v1/datasets/mnist_clean?version=1")
        #expect(old.status == 200 && old.json["version"] == 1)
        let none = try await site.get("/api/v1/datasets/mnist_clean?version=99")
        #expect(none.status == 404 && none.code == "VERSION_NOT_FOUND", "\(none.text)")
        #expect(try await site.get("/api/v1/datasets/mnist_clean?version=0").status == 400)
        for name in ["nothing", "..", "%2e%2e", "a%2Fb", "-rf", "con.lance.lance", "x%0Ay"] where name != ".." {
          let reply = try await site.get("/api/v1/datasets/\(name)")
          #expect(reply.status == 404 && reply.code == "DATASET_NOT_FOUND", "\(name): \(reply.text)")
        }
      }
    }

    @Test func rows() async throws {
      try await Site.with { site in
        try addGolden(site, as: "t")
        let page = try await site.get("/api/v1/datasets/t/rows")
        #expect(page.status == 200 && page.fields["x-total-count"] == "12")
        let ids = page.json.arrayValue?.compactMap { $0["id"]?.intValue }
        #expect(ids == [1, 2, 3, 4, 5, 6, 8, 10, 11, 13, 14, 15])
        #expect(page.json.arrayValue?[0] == ["id": 1, "name": "row 1", "vector": [1, 1.5, -1, 0.25]])
        #expect(page.json.arrayValue?[2]["name"] == .null)
        let part = try await site.get("/api/v1/datasets/t/rows?limit=2&offset=6&columns=name,id")
        #expect(part.json == [["name": .null, "id": 8], ["name": "row 10", "id": 10]])
        #expect(part.json.arrayValue?[0].objectValue?.keys == ["name", "id"])
        #expect(try await site.get("/api/v1/datasets/t/rows?offset=12").text == "[]")
        #expect(try await site.get("/api/v1/datasets/t/rows?offset=9223372036854775807").text == "[]")
        let wrong = try await site.get("/api/v1/datasets/t/rows?columns=nam")
        #expect(
          wrong.status == 400 && wrong.code == "COLUMN_NOT_FOUND" && wrong.message.contains("did you mean 'name'"),
          "\(wrong.text)")
        for query in ["limit=0", "limit=1001", "offset=-1", "columns=", "columns=,", "where=1", "where=", "order=,"] {
          #expect(try await site.get("/api/v1/datasets/t/rows?\(query)").status == 400, "\(query)")
        }
        #expect(try await site.get("/api/v1/datasets/nope/rows").code == "DATASET_NOT_FOUND")
      }
    }

    @Test func deletions() async throws {
      try await Site.with { site in
        try addGolden(site, as: "t")
        let gone = try await site.call("DELETE", "/api/v1/datasets/t")
        #expect(gone.status == 204 && gone.body.isEmpty)
        let again = try await site.call("DELETE", "/api/v1/datasets/t")
        #expect(again.status == 404 && again.message == "Dataset 't' does not exist")
        #expect(try await site.get("/api/v1/datasets").json == [])
        // A link is not followed: what it leads to stays whole.
        let target = site.folder + "/outside/precious.lance"
        try FileManager.default.copyItem(atPath: repository + "/Tests/golden/lance/basic.lance", toPath: target)
        try FileManager.default.createSymbolicLink(
          atPath: site.folder + "/lance_storage/datasets/link.lance", withDestinationPath: target)
        _ = try await site.call("DELETE", "/api/v1/datasets/link")
        #expect(FileManager.default.fileExists(atPath: target + "/_versions/18446744073709551612.manifest"))
      }
    }

    @Test func damagedOnesAreListedAndNamed() async throws {
      try await Site.with { site in
        try addGolden(site, as: "bad")
        try addGolden(site, as: "good")
        let folder = site.folder + "/lance_storage/datasets/bad.lance/_versions"
        for name in try FileManager.default.contentsOfDirectory(atPath: folder) where name.hasSuffix(".manifest") {
          try Data("torn".utf8).write(to: URL(fileURLWithPath: folder + "/" + name))
        }
        let list = try await site.get("/api/v1/datasets")
        #expect(list.status == 200 && list.json.arrayValue?.compactMap { $0["id"]?.stringValue } == ["bad", "good"])
        #expect(list.json.arrayValue?[0]["error"]?["code"] == "CORRUPT_DATA" && list.json.arrayValue?[1]["error"] == nil)
        let reply = try await site.get("/api/v1/datasets/bad")
        #expect(reply.status == 500 && reply.code == "CORRUPT_DATA" && !reply.message.contains(site.folder), "\(reply.text)")
      }
    }

    @Test func models() async throws {
      try await Site.with { site in
        #expect(try await site.get("/api/v1/models").text == "[]")
        let header = #"{"a.weight":{"dtype":"F32","shape":[2,3],"data_offsets":[0,24]}}"#
        let size = UInt64(header.utf8.count).littleEndian
        let file = withUnsafeBytes(of: size) { Array($0) } + Array(header.utf8) + [UInt8](repeating: 0, count: 24)
        let record = ModelRecord(
          name: "cnn", graph: ["type": "sequential", "layers": []], weights: try Buffer(file), metrics: ["accuracy": 0.99],
          hyperparameters: ["epochs": 3], labels: [0, 1], lineage: ["task": "task-002"],
          curves: [["name": "loss", "step": 1, "value": 0.5]])
        try site.lake.saveModel("cnn", record)
        let listed = try #require(try await site.get("/api/v1/models").json.arrayValue?.first)
        #expect(
          listed["id"] == "cnn" && listed["path"] == "lance_storage/models/cnn.lance" && listed["metrics"] == ["accuracy": 0.99]
        )
        #expect(listed["weights"] == nil && listed["parameters"] == 6)
        let model = try await site.get("/api/v1/models/cnn").json
        #expect(model["weights"]?.arrayValue?.count == 1 && model["weights"]?.arrayValue?[0]["name"] == "a.weight")
        #expect(model["weights"]?.arrayValue?[0]["shape"] == [2, 3] && model["weights"]?.arrayValue?[0]["bytes"] == 24)
        #expect(
          model["hyperparameters"] == ["epochs": 3] && model["graph"]?["type"] == "sequential"
            && model["lineage"]?["task"] == "task-002")
        #expect(try await site.call("DELETE", "/api/v1/models/cnn").status == 204)
        let gone = try await site.get("/api/v1/models/cnn")
        #expect(gone.status == 404 && gone.message == "Model 'cnn' does not exist")
      }
    }
  }
}
