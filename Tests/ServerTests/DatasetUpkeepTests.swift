import Core
import Foundation
import Server
import Testing

extension Live {
  @Suite(.timeLimit(.minutes(1))) struct DatasetUpkeepTests {
    /// A data set of seven rows in four fragments and four versions.
    func addFragments(_ site: Site) async throws {
      try site.addDataset("t")
      for id in 5...7 {
        let more = try await site.put("/api/v1/datasets/t?mode=append", "id,split\n\(id),new\n", type: "text/csv")
        #expect(more.status == 200, "\(more.text)")
      }
    }

    @Test func verifyFindsDamage() async throws {
      try await Site.with { site in
        try await addFragments(site)
        let base = "/api/v1/datasets/t"
        let good = try await site.call("POST", base + "/verify")
        #expect(good.status == 200 && good.json["is_good"] == true && good.json["damaged"] == 0, "\(good.text)")
        #expect(good.json["versions"] == [4] && good.json["problems"] == [])
        #expect(try await site.post(base + "/verify", ["all_versions": true]).json["versions"] == [1, 2, 3, 4])
        #expect(try await site.post(base + "/verify", ["version": 2]).json["versions"] == [2])
        #expect(try await site.post(base + "/verify", ["version": 9]).code == "VERSION_NOT_FOUND")
        #expect(try await site.post(base + "/verify", ["all_version": true]).message.contains("did you mean 'all_versions'"))

        let data = site.folder + "/lance_storage/datasets/t.lance/data"
        let name = try #require(FileManager.default.contentsOfDirectory(atPath: data).sorted().first)
        let file = URL(fileURLWithPath: data + "/" + name)
        var bytes = try Data(contentsOf: file)
        bytes[bytes.count / 3] ^= 1
        try bytes.write(to: file)
        let bad = try await site.call("POST", base + "/verify")
        #expect(bad.status == 200 && bad.json["is_good"] == false && bad.json["damaged"] == 1, "\(bad.text)")
        #expect(bad.json["problems"]?.arrayValue?.first?["path"]?.stringValue?.hasSuffix(name) == true)
      }
    }

    @Test func doctorCompactAndCleanup() async throws {
      try await Site.with { site in
        try await addFragments(site)
        let base = "/api/v1/datasets/t"
        #expect(try await site.call("POST", base + "/doctor").json["healthy"] == true)
        let rows = try await site.get(base + "/rows?order=id").json
        // Two versions, as in Lance: one reserves fragment ids, one puts the new fragments in place.
        let compacted = try await site.post(base + "/compact", ["deleted_share": 0.5])
        #expect(compacted.status == 200 && compacted.fields["etag"] == "\"v6\"", "\(compacted.text)")
        #expect(try await site.get(base).json["fragments"] == 1)
        #expect(try await site.get(base + "/rows?order=id").json == rows)
        #expect(try await site.call("POST", base + "/compact").fields["etag"] == "\"v6\"")
        #expect(try await site.post(base + "/compact", ["target_rows": 0]).status == 400)

        let dry = try await site.post(base + "/cleanup", ["older_than_days": 0, "dry_run": true])
        #expect(dry.status == 200 && dry.json["dry_run"] == true, "\(dry.text)")
        #expect(try await site.get(base + "/versions").json.arrayValue?.count == 6)
        #expect(try await site.post(base + "/cleanup", ["older_than_days": 0, "keep_versions": 2]).status == 200)
        #expect(try await site.get(base + "/versions").json.arrayValue?.compactMap { $0["version"]?.intValue } == [6, 5])
        #expect(try await site.post(base + "/cleanup", ["keep_versions": 0]).status == 400)

        let versions = site.folder + "/lance_storage/datasets/t.lance/_versions"
        let newest = try #require(
          FileManager.default.contentsOfDirectory(atPath: versions).filter { $0.hasSuffix(".manifest") }.sorted().first)
        try Data().write(to: URL(fileURLWithPath: versions + "/" + newest))
        #expect(try await site.get(base).code == "CORRUPT_DATA")
        let found = try await site.call("POST", base + "/doctor")
        #expect(found.status == 200 && found.json["healthy"] == false && found.json["last_good_version"] == 5, "\(found.text)")
        let repaired = try await site.post(base + "/doctor", ["repair": true])
        #expect(repaired.json["healthy"] == true && repaired.json["quarantined"]?.arrayValue?.count == 1, "\(repaired.text)")
        #expect(try await site.get(base).json["version"] == 5)
      }
    }
  }
}
