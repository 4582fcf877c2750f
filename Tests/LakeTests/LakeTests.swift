import Columnar
import Core
import Glibc
import Lake
import LanceTable
import ObjectStore
import TestSupport
import Testing

/// A reader over `count` rows as the contract's example has them.
func sample(_ count: Int) throws -> InMemoryReader {
  let image = try Column.list(
    try Column.float64((0..<count * 2).map { Double($0) }), lengths: Array(repeating: 2, count: count))
  let batch = try RecordBatch([
    "image": image, "label": try Column.int64((0..<count).map { Int64($0) }),
    "split": try Column.utf8((0..<count).map { $0 % 2 == 0 ? "train" : "test" }),
  ])
  return InMemoryReader(schema: batch.schema, [batch])
}

@Suite("Lake")
struct LakeTests {
  func lake() throws -> DataLake { try DataLake(root: temporaryFolder() + "/lance_storage", shownAs: "./lance_storage/") }

  @Test func datasetsAsTheContractHasThem() throws {
    let lake = try lake()
    #expect(try lake.datasets().isEmpty)
    try LanceTable.write(sample(3), to: lake.location(.dataset, "mnist_clean"), mode: .create)
    let info = try #require(try lake.datasets().first)
    var json = info.json
    #expect(json["bytes"]?.intValue ?? 0 > 0 && json["updated_at"]?.stringValue.flatMap { Instant($0) } != nil)
    json["bytes"] = nil
    json["updated_at"] = nil
    #expect(
      JSONValue.object(json).text()
        == #"{"id":"mnist_clean","path":"lance_storage/datasets/mnist_clean.lance","schema":{"image":"List[Float64]","label":"Int64","split":"String"},"num_rows":3,"version":1,"fragments":1}"#
    )
    let one = try lake.dataset("mnist_clean")
    #expect(one.rowCount == 3 && one.version == 1 && one.path == info.path && one.error == nil)
    try LanceTable.write(sample(2), to: lake.location(.dataset, "mnist_clean"), mode: .append)
    #expect(try lake.dataset("mnist_clean").rowCount == 5)
    #expect(try lake.dataset("mnist_clean", version: .number(1)).rowCount == 3)
  }

  @Test func missingOnesAreToldInTheContractsWords() throws {
    let lake = try lake()
    let dataset = failure { _ = try lake.dataset("mnist_clean") }
    #expect(dataset?.code == .datasetNotFound && dataset?.message == "Dataset 'mnist_clean' does not exist")
    let model = failure { _ = try lake.model("x") }
    #expect(model?.code == .modelNotFound && model?.message == "Model 'x' does not exist")
    #expect(failure { try lake.deleteDataset("mnist_clean") }?.message == "Dataset 'mnist_clean' does not exist")
    #expect(failure { try lake.deleteModel("x") }?.message == "Model 'x' does not exist")
    #expect(failure { _ = try lake.loadModel("x") }?.message == "Model 'x' does not exist")
    #expect(failure { _ = try lake.open("nothing") }?.message == "Dataset 'nothing' does not exist")
    #expect(failure { _ = try lake.open("lance_storage/models/nothing.lance") }?.message == "Model 'nothing' does not exist")
    #expect(failure { _ = try lake.resolveInput("nothing", dataRoots: []) }?.code == .datasetNotFound)
  }

  @Test func deletedTablesAreGone() throws {
    let lake = try lake()
    for name in ["a", "b"] { try LanceTable.write(sample(1), to: lake.location(.dataset, name), mode: .create) }
    let open = try lake.open("a")
    try lake.deleteDataset("a")
    #expect(try lake.datasets().map(\.id) == ["b"])
    #expect(failure { _ = try lake.dataset("a") }?.code == .datasetNotFound)
    #expect(failure { _ = try open.take([0]) }?.code == .corruptData)
    #expect(try lake.store.list(".trash", recursive: true).isEmpty)
    // The name is free again.
    try LanceTable.write(sample(2), to: lake.location(.dataset, "a"), mode: .create)
    #expect(try lake.dataset("a").rowCount == 2)
  }

  @Test func deletionsThatACrashCutOffAreFinished() throws {
    let root = temporaryFolder()
    let lake = try DataLake(root: root)
    try LanceTable.write(sample(1), to: lake.location(.dataset, "a"), mode: .create)
    try lake.store.moveTree("datasets/a.lance", to: ".trash/datasets-a-0")
    #expect(try DataLake(root: root).datasets().isEmpty)
    #expect(access(root + "/.trash", F_OK) != 0)
  }

  @Test func oneBrokenTableDoesNotBreakTheList() throws {
    let lake = try lake()
    for name in ["a", "b", "c"] { try LanceTable.write(sample(1), to: lake.location(.dataset, name), mode: .create) }
    let manifest = "datasets/b.lance/_versions/18446744073709551614.manifest"
    try lake.store.put(manifest, [1, 2, 3])
    // What is no table is not listed: a folder without a manifest, other names, files.
    try lake.store.put("datasets/half.lance/data/x.lance", [1])
    try lake.store.put("datasets/notes/readme", [1])
    try lake.store.put("datasets/.hidden.lance/_versions/1.manifest", [1])
    try lake.store.put("datasets/sp ace.lance/_versions/1.manifest", [1])
    try lake.store.put("datasets/file.lance", [1])
    let list = try lake.datasets()
    #expect(list.map(\.id) == ["a", "b", "c"])
    #expect(list.map { $0.error == nil } == [true, false, true])
    let message =
      "table 'b': manifest '\(manifest)' of version 1 is damaged: it does not end with the mark of a Lance file (3 bytes); no older version is good"
    #expect(list[1].error?.message == message)
    #expect(list[1].json["error"] == ["code": "CORRUPT_DATA", "message": .string(message)])
    #expect(failure { _ = try lake.dataset("b") }?.code == .corruptData)
    try lake.deleteDataset("b")
    #expect(try lake.datasets().map(\.id) == ["a", "c"])
  }

  @Test func namesAndPaths() throws {
    let root = temporaryFolder() + "/lance_storage"
    let lake = try DataLake(root: root, shownAs: "./lance_storage")
    for text in [
      "mnist_clean", "mnist_clean.lance", "lance_storage/datasets/mnist_clean.lance",
      "./lance_storage/datasets/mnist_clean.lance",
      "lance_storage/datasets/mnist_clean.lance/", "lance_storage/datasets/mnist_clean", "datasets/mnist_clean",
      root + "/datasets/mnist_clean.lance",
    ] {
      let found = try lake.reference(text)
      #expect(
        found.id == "mnist_clean" && found.version == .latest && found.kind == (text.contains("/") ? .dataset : nil), "\(text)")
    }
    #expect(try lake.reference("models/m.lance") == LakeReference(kind: .model, id: "m"))
    #expect(try lake.reference("mnist_cnn@champion") == LakeReference(kind: nil, id: "mnist_cnn", version: .tag("champion")))
    #expect(
      try lake.reference("lance_storage/datasets/a.b-c.lance#12")
        == LakeReference(kind: .dataset, id: "a.b-c", version: .number(12)))
    for bad in [
      "", ".hidden", "a b", "a\0b", "ä", "a:b", "..", "x#0", "x#y", "x@", String(repeating: "n", count: 201), "datasets/.x",
      "datasets/",
    ] {
      let error = failure { _ = try lake.reference(bad) }
      #expect(error?.code == (bad == "datasets/" ? .pathNotAllowed : .invalidRequest), "\(bad): \(String(describing: error))")
    }
    for bad in [
      "/etc/passwd", "../datasets/x", "lance_storage/../datasets/x", "lance_storage/other/x.lance", "datasets/a/b",
      "lance_storage/x",
      "/datasets/x", "lance_storage/datasets/../models/x", "lance_storage/datasets//x",
    ] { #expect(failure { _ = try lake.reference(bad) }?.code == .pathNotAllowed, "\(bad)") }
    #expect(
      failure { _ = try lake.reference("/etc/passwd") }?.message
        == "'/etc/passwd' is not in the lake; give a name such as 'mnist_clean' or a path such as 'lance_storage/datasets/mnist_clean.lance'"
    )
    #expect(
      failure { _ = try lake.reference("a b") }?.message
        == "'a b' cannot be the name of a data set or model: only letters, digits, '_', '-' and '.' are allowed")
    #expect(failure { _ = try lake.dataset("../x") }?.code == .invalidRequest)
    #expect(failure { try lake.deleteDataset("..") }?.message == "'..' cannot be the name of a data set: it begins with a dot")
  }

  @Test func inputsAndOutputs() throws {
    let base = temporaryFolder()
    let lake = try DataLake(root: base + "/lake", shownAs: "lance_storage")
    try LanceTable.write(sample(1), to: lake.location(.dataset, "both"), mode: .create)
    try LanceTable.write(sample(2), to: lake.location(.model, "both"), mode: .create)
    try LanceTable.write(sample(2), to: lake.location(.model, "only"), mode: .create)
    mkdir(base + "/raw", 0o755)
    mkdir(base + "/raw/mnist", 0o755)
    mkdir(base + "/other", 0o755)
    symlink(base + "/other", base + "/raw/out")
    let roots = [base + "/raw"]
    func table(_ text: String) throws -> LakeReference? {
      if case .table(let found) = try lake.resolveInput(text, dataRoots: roots) { return found }
      return nil
    }
    #expect(try table("both") == LakeReference(kind: .dataset, id: "both"))
    #expect(try table("only#1") == LakeReference(kind: .model, id: "only", version: .number(1)))
    #expect(try table("lance_storage/models/both.lance") == LakeReference(kind: .model, id: "both"))
    #expect(try lake.open("both").rowCount == 1 && lake.open("both", kind: .model).rowCount == 2)
    #expect(
      failure { _ = try lake.resolve("models/both", kind: .dataset) }?.message
        == "'models/both' is a model, where a data set is wanted")
    guard case .file(let path) = try lake.resolveInput(base + "/raw/mnist/", dataRoots: roots) else {
      Issue.record("a folder below a data root is an input")
      return
    }
    #expect(path == base + "/raw/mnist")
    #expect(try lake.resolveInput("", dataRoots: roots) == nil)
    #expect(
      failure { _ = try lake.resolveInput(base + "/raw/none", dataRoots: roots) }?.message
        == "input '\(base)/raw/none' does not exist")
    for outside in [base + "/other", base + "/raw/out", base + "/raw/../other", "/etc/passwd", "raw/mnist", base + "/rawer"] {
      #expect(failure { _ = try lake.resolveInput(outside, dataRoots: roots) }?.code == .pathNotAllowed, "\(outside)")
    }
    #expect(
      failure { _ = try lake.resolveInput("/etc/passwd", dataRoots: roots) }?.message
        == "input '/etc/passwd' lies neither in the lake nor below a data root (data roots: \(base)/raw)")

    #expect(try lake.resolveOutput("new_one") == LakeReference(kind: nil, id: "new_one"))
    #expect(try lake.resolveOutput("lance_storage/models/new.lance") == LakeReference(kind: .model, id: "new"))
    #expect(try lake.resolveOutput("") == nil)
    #expect(
      failure { _ = try lake.resolveOutput("x#3") }?.message
        == "output 'x#3' names a version; a task writes a new version of 'x'")
    #expect(failure { _ = try lake.resolveOutput("/tmp/x") }?.code == .pathNotAllowed)
  }

  @Test func workInMemoryToo() throws {
    let lake = DataLake(store: MemoryStore(), shownAs: "memory")
    try LanceTable.write(sample(2), to: lake.location(.dataset, "a"), mode: .create)
    #expect(try lake.datasets().map(\.path) == ["memory/datasets/a.lance"])
    try lake.deleteDataset("a")
    #expect(try lake.store.list("", recursive: true).isEmpty)
  }
}
