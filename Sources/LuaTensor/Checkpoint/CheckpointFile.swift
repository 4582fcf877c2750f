import CXXHash
import Core
import ObjectStore
import Tensors

/// A checkpoint as a file: safetensors, so that any tool can look at the tensors; in `__metadata__` the state that names them
/// (`StateText`), a few facts, and a checksum.
///
///     format     moonlake.checkpoint/1
///     state      JSON
///     step, metric, best   as given to `checkpoint.save`
///     checksum   XXH3 (64 bits, hex) of all of this and of name, type, shape and data of every tensor
struct CheckpointFile {
  static let format = "moonlake.checkpoint/1"

  var state: JSONValue
  var facts: CheckpointFacts
  var tensors: [(name: String, tensor: Tensor)]

  init(state: JSONValue, facts: CheckpointFacts, tensors: [(name: String, tensor: Tensor)]) {
    self.state = state
    self.facts = facts
    self.tensors = tensors
  }

  /// Writes the file; tensors go from their memory to the store without a copy of the whole.
  func write(to writer: any ObjectWriter) throws(Failure) {
    var all: [(name: String, tensor: Tensor)] = []
    for (name, tensor) in tensors { all.append((name, try tensor.detached().contiguous())) }
    all.sort { CheckpointFile.precedes($0.name, $1.name) }
    var metadata = [("format", CheckpointFile.format)] + facts.metadata + [("state", state.text())]
    metadata.append(("checksum", CheckpointFile.checksum(metadata, all)))
    try writer.append(try SafeTensors.header(all, metadata: metadata))
    for (_, tensor) in all {
      try Cancellation.check()
      let owner = tensor
      try writer.append(UnsafeRawBufferPointer(start: owner.pointer, count: owner.byteCount))
    }
  }

  /// Reads a file whole.
  /// - Throws: `CORRUPT_DATA` naming it when anything in it is not as it was written, `UNSUPPORTED` for a newer format.
  init(reading file: Buffer, shown: String) throws(Failure) {
    func damaged(_ why: String) -> Failure { Failure(.corruptData, "checkpoint '\(shown)' is damaged: \(why)") }
    let owner = file
    let metadata: [(String, String)]
    do throws(Failure) {
      metadata = try SafeTensors.metadata(owner.bytes)
      tensors = try SafeTensors.decode(owner.bytes)
    } catch {
      // A known type may have become an unknown one.
      guard error.code == .corruptData || error.code == .unsupported || error.code == .invalidArgument else { throw error }
      throw damaged(error.message)
    }
    tensors.sort { CheckpointFile.precedes($0.name, $1.name) }
    let stated = metadata.first { $0.0 == "checksum" }?.1
    guard let stated else { throw damaged("it has no checksum") }
    guard stated == CheckpointFile.checksum(metadata.filter { $0.0 != "checksum" }, tensors) else {
      throw damaged("its content does not match its checksum")
    }
    guard metadata.first(where: { $0.0 == "format" })?.1 == CheckpointFile.format,
      let text = metadata.first(where: { $0.0 == "state" })?.1
    else { throw Failure(.unsupported, "'\(shown)' is no checkpoint that this version of Moonlake can read") }
    do throws(Failure) { state = try JSONValue(parsing: text, limits: StateText.jsonLimits) } catch {
      throw damaged("its state is no JSON: \(error.message)")
    }
    facts = CheckpointFacts(metadata)
  }

  private static func precedes(_ a: String, _ b: String) -> Bool { a.utf8.lexicographicallyPrecedes(b.utf8) }

  private static func checksum(_ metadata: [(String, String)], _ tensors: [(name: String, tensor: Tensor)]) -> String {
    var out = ByteWriter()
    func part(_ text: String) {
      out.write(UInt64(text.utf8.count))
      out.write(text.utf8)
    }
    for (key, value) in metadata {
      part(key)
      part(value)
    }
    for (name, tensor) in tensors {
      let owner = tensor
      part(name)
      part("\(owner.dtype) \(Shape.text(owner.shape))")
      out.write(xxh3_64(owner.pointer, owner.byteCount))
    }
    let hash = out.bytes.withUnsafeBytes { xxh3_64($0.baseAddress, $0.count) }
    let digits = String(hash, radix: 16)
    return String(repeating: "0", count: 16 - digits.count) + digits
  }
}

/// What a checkpoint says of itself without being read whole.
struct CheckpointFacts {
  var step: Int?
  var metric: Double?
  /// Whether the smallest metric is the best; nil: nobody asked.
  var smallestIsBest: Bool?

  init(step: Int? = nil, metric: Double? = nil, smallestIsBest: Bool? = nil) {
    self.step = step
    self.metric = metric
    self.smallestIsBest = smallestIsBest
  }

  var metadata: [(String, String)] {
    var out: [(String, String)] = []
    if let step { out.append(("step", String(step))) }
    if let metric { out.append(("metric", metric.description)) }
    if let smallestIsBest { out.append(("best", smallestIsBest ? "min" : "max")) }
    return out
  }

  init(_ metadata: [(String, String)]) {
    for (key, value) in metadata {
      switch key {
      case "step": step = Int(value)
      case "metric": metric = Double(value)
      case "best": smallestIsBest = value == "min"
      default: continue
      }
    }
  }
}
