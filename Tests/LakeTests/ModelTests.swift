import Columnar
import Core
import Lake
import LanceTable
import ObjectStore
import TestSupport
import Testing

@Suite("Models")
struct ModelTests {
  /// A safetensors file of the given header and `count` data bytes.
  func safetensors(_ header: String, _ count: Int) throws -> Buffer {
    var out = ByteWriter()
    out.write(UInt64(header.utf8.count))
    out.write(header.utf8)
    out.write((0..<count).map { UInt8(truncatingIfNeeded: $0) })
    return try Buffer(out.bytes)
  }
  func weights() throws -> Buffer {
    try safetensors(
      #"{"__metadata__":{"by":"test"},"b.bias":{"dtype":"I64","shape":[2],"data_offsets":[24,40]},"a.weight":{"dtype":"F32","shape":[2,3],"data_offsets":[0,24]},"none":{"dtype":"F32","shape":[0],"data_offsets":[40,40]}}"#,
      40)
  }
  func record(_ accuracy: Double) throws -> ModelRecord {
    var record = ModelRecord(name: "mnist_cnn", graph: ["type": "sequential", "layers": []], weights: try weights())
    record.metrics = ["accuracy": .double(accuracy)]
    record.hyperparameters = ["epochs": 5, "device": "cpu"]
    record.signature = ["input": ["image", 784]]
    record.labels = ["zero", "one"]
    record.curves = [["loss", 1, 0.5]]
    record.createdAt = Instant(seconds: 1_770_000_000, nanoseconds: 123_456_000)
    return record
  }

  @Test func saveListAndLoad() throws {
    let lake = try DataLake(root: temporaryFolder() + "/s", shownAs: "lance_storage")
    #expect(try lake.saveModel("mnist_cnn", record(0.9)) == 1)
    #expect(try lake.saveModel("mnist_cnn", record(0.99)) == 2)
    let info = try #require(try lake.models().first)
    #expect(info.id == "mnist_cnn" && info.path == "lance_storage/models/mnist_cnn.lance" && info.version == 2)
    #expect(info.metrics == ["accuracy": 0.99] && info.hyperparameters == ["epochs": 5, "device": "cpu"])
    #expect(info.weights.map(\.name) == ["a.weight", "b.bias", "none"])
    #expect(info.weights.map(\.shape) == [[2, 3], [2], [0]] && info.weights.map(\.dtype) == ["F32", "I64", "F32"])
    let json = info.json()
    #expect(json["parameters"] == 8 && json["weight_bytes"] == 40 && json["created_at"] == "2026-02-02T02:40:00Z")
    #expect(json["weights"]?.arrayValue?.first == ["name": "a.weight", "shape": [2, 3], "dtype": "F32", "bytes": 24])
    #expect(info.json(detailed: false)["graph"] == nil)
    let (loaded, version) = try lake.loadModel("mnist_cnn")
    let expected = try weights().array()
    #expect(version == 2 && loaded.weights.array() == expected)
    let saved = try record(0.99)
    #expect(loaded.graph == saved.graph && loaded.labels == saved.labels && loaded.signature == saved.signature)
    #expect(loaded.curves == saved.curves && loaded.createdAt == saved.createdAt && loaded.lineage == .object([:]))
    // The history of the table is the model's.
    #expect(try lake.loadModel("mnist_cnn", version: .number(1)).record.metrics == ["accuracy": 0.9])
    #expect(try lake.model("mnist_cnn", version: .number(1)).metrics == ["accuracy": 0.9])
    #expect(try lake.datasets().isEmpty)
    try lake.deleteModel("mnist_cnn")
    #expect(try lake.models().isEmpty)
    // A new model of the old name is not the old one's description.
    try lake.saveModel("mnist_cnn", record(0.5))
    #expect(try lake.model("mnist_cnn").metrics == ["accuracy": 0.5])
  }

  @Test func schemaIsTheAgreedOne() throws {
    let lake = DataLake(store: MemoryStore(), shownAs: "m")
    try lake.saveModel("m", record(1))
    #expect(
      try lake.open("m", kind: .model).schema.fields.map { "\($0.name) \($0.type)" } == [
        "name String", "graph String", "weights Binary", "metrics String", "hyperparameters String", "signature String",
        "labels String", "lineage String", "curves String", "created_at Timestamp[us, UTC]",
      ])
  }

  @Test func brokenModelsAreListedWithTheirError() throws {
    let lake = DataLake(store: MemoryStore(), shownAs: "m")
    try lake.saveModel("good", record(1))
    let batch = try RecordBatch(["graph": try Column.utf8(["{"]), "weights": try Column.binary([[]])])
    try LanceTable.write(InMemoryReader(schema: batch.schema, [batch]), to: lake.location(.model, "bad"), mode: .create)
    try LanceTable.write(InMemoryReader(schema: ModelRecord.schema, []), to: lake.location(.model, "empty"), mode: .create)
    let list = try lake.models()
    #expect(list.map(\.id) == ["bad", "empty", "good"])
    #expect(list[0].error?.message.hasPrefix("Model 'bad': column 'graph' is no JSON: ") == true)
    #expect(list[1].error?.message == "Model 'empty' has no row")
    #expect(list[2].error == nil)
    var wrong = try record(1)
    wrong.weights = try Buffer([UInt8](repeating: 1, count: 20))
    #expect(
      failure { try lake.saveModel("w", wrong) }?.message
        == "the weights of model 'mnist_cnn' are not a safetensors file: its header should have 72340172838076673 bytes, the file has 20"
    )
    #expect(failure { try lake.saveModel("a/b", wrong) }?.code == .invalidRequest)
    #expect(try lake.names(.model) == ["bad", "empty", "good"])
  }

  @Test func weightsAreCheckedToTheByte() throws {
    func check(_ header: String, _ count: Int) throws -> String? {
      let file = try safetensors(header, count)
      return failure { _ = try file.withBytes { bytes in try Safetensors.entries(bytes, what: "w") } }?.message
    }
    let begin = "w are not a safetensors file: "
    #expect(try check(#"{"a":{"dtype":"F32","shape":[2],"data_offsets":[0,8]}}"#, 8) == nil)
    #expect(try check("{}", 0) == nil)
    #expect(try check(#"{"a":{"dtype":"F32","shape":[2],"data_offsets":[0,8]}}"#, 9) == begin + "1 bytes belong to no tensor")
    #expect(
      try check(#"{"a":{"dtype":"F32","shape":[2],"data_offsets":[0,8]}}"#, 7) == begin
        + "tensor 'a' of shape [2] and dtype F32 cannot lie at 0 to 8")
    #expect(
      try check(#"{"a":{"dtype":"F32","shape":[3],"data_offsets":[0,8]}}"#, 8) == begin
        + "tensor 'a' of shape [3] and dtype F32 cannot lie at 0 to 8")
    #expect(
      try check(#"{"a":{"dtype":"Q4","shape":[2],"data_offsets":[0,8]}}"#, 8) == begin + "tensor 'a' has the unknown dtype 'Q4'"
    )
    #expect(
      try check(#"{"a":{"dtype":"F32","shape":[-1],"data_offsets":[0,8]}}"#, 8) == begin + "tensor 'a' has an invalid shape")
    #expect(
      try check(#"{"a":{"dtype":"F32","shape":[4294967296,4294967296,4294967296],"data_offsets":[0,8]}}"#, 8)
        == begin + "tensor 'a' has an invalid shape")
    #expect(
      try check(
        #"{"a":{"dtype":"U8","shape":[4],"data_offsets":[0,4]},"b":{"dtype":"U8","shape":[4],"data_offsets":[2,6]}}"#, 6)
        == begin + "tensor 'b' begins at 2 instead of 4")
    #expect(try check(#"{"a":{"dtype":"U8"}}"#, 0) == begin + "tensor 'a' lacks dtype, shape or data_offsets")
    #expect(try check("[]", 0) == begin + "its header is no JSON object")
    #expect(try check("{", 0)?.hasPrefix(begin + "its header is no JSON: ") == true)
  }
}
