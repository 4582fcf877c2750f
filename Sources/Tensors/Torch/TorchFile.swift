package import Core
import TensorKernels

/// What a file of `torch.save` holds.
package indirect enum TorchValue {
  case none
  case bool(Bool)
  case integer(Int64)
  case float(Double)
  case text(String)
  case list([TorchValue])
  case dict([(key: Key, value: TorchValue)])
  case tensor(Tensor)

  package enum Key {
    case text(String)
    case integer(Int64)
  }
}

/// Files of `torch.save` (`.pt`, `.pth`; PyTorch 1.6 and later): a zip archive of stored entries,
/// ```
/// <name>/data.pkl     a pickle: dicts, lists, numbers, strings, and tensors as (storage, offset, shape, strides)
/// <name>/byteorder    "little"
/// <name>/data/0 ...   the storages, elements one after the other
/// ```
/// Reading runs nothing: see `PickleMachine`. Tensors that share a storage share their memory here too; 16-bit floats become
/// f32. Source: pytorch.org/docs/stable/notes/serialization.html, and files written by PyTorch 2.13.
package enum TorchFile {
  /// Containers in containers.
  private static let depthLimit = 64

  /// The value that was saved; tensors are copies.
  /// - Throws: `UNSUPPORTED` for what is not read on purpose (globals, compression, other types), `CORRUPT_DATA` for what does
  ///   not fit together.
  package static func decode(_ bytes: UnsafeRawBufferPointer) throws(Failure) -> TorchValue {
    if bytes.count >= 2, bytes[0] == 0x80, bytes[1] <= 5 {
      throw Failure(
        .unsupported,
        "from_torch: this is a bare pickle, as PyTorch wrote before 1.6 or with _use_new_zipfile_serialization=False; load it there with weights_only=True and save it again"
      )
    }
    let zip: StoredZip
    do { zip = try StoredZip(bytes) } catch { throw error.context("from_torch") }
    let roots = zip.entries.compactMap { entry -> String? in
      guard entry.name.hasSuffix("/data.pkl") else { return nil }
      return String(entry.name.dropLast("data.pkl".count))
    }
    guard roots.count == 1, let root = roots.first, let pickle = zip.entry(root + "data.pkl") else {
      throw Failure(.corruptData, "from_torch: the archive has \(roots.count) entries '<name>/data.pkl', not 1")
    }
    if let order = zip.entry(root + "byteorder") {
      let name = String(decoding: try data(zip, order), as: UTF8.self)
      guard name == "little" else {
        throw Failure(.unsupported, "from_torch: the byte order is '\(name.prefix(20))'; only 'little' is read")
      }
    }
    var machine = PickleMachine(try data(zip, pickle))
    let value = try machine.run()
    var builder = Builder(
      machine: machine, zip: zip, root: root, left: 16 * (pickle.end - pickle.start) + 1024)
    return try builder.value(value, depth: 0)
  }

  private static func data(_ zip: StoredZip, _ entry: StoredZip.Entry) throws(Failure) -> UnsafeRawBufferPointer {
    do { return try zip.data(entry) } catch { throw error.context("from_torch") }
  }

  /// Turns what the machine collected into values.
  private struct Builder {
    let machine: PickleMachine
    let zip: StoredZip
    let root: String
    /// How many more values may be made. Lists that hold one list many times would else grow without end.
    var left: Int
    private var blocks: [String: Tensor] = [:]
    private var owned: Set<ObjectIdentifier> = []

    init(machine: PickleMachine, zip: StoredZip, root: String, left: Int) {
      (self.machine, self.zip, self.root, self.left) = (machine, zip, root, left)
    }

    mutating func value(_ value: PickleValue, depth: Int) throws(Failure) -> TorchValue {
      guard depth <= depthLimit else {
        throw Failure(.unsupported, "from_torch: containers nested more than \(depthLimit) deep, or in themselves")
      }
      left -= 1
      guard left > 0 else { throw Failure(.unsupported, "from_torch: the file holds the same containers too many times") }
      switch value {
      case .none: return .none
      case .bool(let flag): return .bool(flag)
      case .integer(let number): return .integer(number)
      case .float(let number): return .float(number)
      case .text(let text): return .text(text)
      case .tensor(let i): return .tensor(try tensor(machine.tensors[i]))
      case .list(let i):
        var out: [TorchValue] = []
        for element in machine.lists[i] { out.append(try self.value(element, depth: depth + 1)) }
        return .list(out)
      case .dict(let i):
        var out: [(key: TorchValue.Key, value: TorchValue)] = []
        for (key, element) in machine.dicts[i] {
          let name: TorchValue.Key
          switch key {
          case .text(let text): name = .text(text)
          case .integer(let number): name = .integer(number)
          default:
            throw Failure(.unsupported, "from_torch: a dict has a \(key.kind) as key; strings and whole numbers are read")
          }
          out.append((name, try self.value(element, depth: depth + 1)))
        }
        return .dict(out)
      case .global, .storage:
        throw Failure(.unsupported, "from_torch: the file holds a \(value.kind) that belongs to no tensor")
      }
    }

    private mutating func tensor(_ t: PickleTensor) throws(Failure) -> Tensor {
      let block = try block(machine.storages[t.storage])
      let count: Int
      do { count = try Shape.count(t.shape, op: "from_torch") } catch {
        throw Failure(.corruptData, error.message)
      }
      // The last element that the strides reach; checked arithmetic, as all three come from outside.
      var (last, tooFar) = (t.offset, false)
      for (extent, stride) in Swift.zip(t.shape, t.strides) where count > 0 {
        let (step, tooLong) = (extent - 1).multipliedReportingOverflow(by: stride)
        let (sum, tooLarge) = last.addingReportingOverflow(step)
        (last, tooFar) = (sum, tooFar || tooLong || tooLarge)
      }
      guard !tooFar, count == 0 || last < block.count else {
        throw Failure(
          .corruptData,
          "from_torch: a tensor of shape \(Shape.text(t.shape)), strides \(Shape.text(t.strides)) from element \(t.offset) does not fit its storage of \(block.count)"
        )
      }
      if count == 0 { return try Tensor.empty(t.shape, block.dtype, op: "from_torch") }
      // The first tensor that is all of a storage stands for its memory; others are views.
      let isWhole = count == block.count && t.offset == 0 && t.strides == Shape.strides(t.shape)
      guard isWhole, owned.insert(ObjectIdentifier(block.storage)).inserted else {
        return block.view(t.shape, t.strides, t.offset)
      }
      return Tensor(storage: block.storage, dtype: block.dtype, shape: t.shape, strides: t.strides, offset: 0)
    }

    /// The elements of a storage as a tensor of one dim; a storage that is named again is the same memory.
    private mutating func block(_ storage: PickleStorage) throws(Failure) -> Tensor {
      let name = "\(root)data/\(storage.key)"
      let id = "\(storage.element.rawValue) \(storage.key)"
      if let known = blocks[id] {
        guard known.count == storage.count else { throw Failure(.corruptData, "from_torch: '\(name)' is given two sizes") }
        return known
      }
      guard let entry = zip.entry(name) else { throw Failure(.corruptData, "from_torch: the archive has no '\(name)'") }
      let (bytes, overflow) = storage.count.multipliedReportingOverflow(by: storage.element.size)
      guard !overflow, bytes == entry.end - entry.start else {
        throw Failure(
          .corruptData,
          "from_torch: '\(name)' should hold \(storage.count) elements of \(storage.element.size) bytes, but has \(entry.end - entry.start) bytes"
        )
      }
      let block = try elements(storage.element, storage.count, try TorchFile.data(zip, entry), name)
      blocks[id] = block
      return block
    }

    private func elements(
      _ element: TorchElement, _ count: Int, _ source: UnsafeRawBufferPointer, _ name: String
    ) throws(Failure) -> Tensor {
      let type: DType =
        switch element {
        case .float, .half, .bfloat16: .f32
        case .double: .f64
        case .long: .i64
        case .int: .i32
        case .byte: .u8
        case .bool: .bool
        }
      let out = try Tensor.empty([count], type, op: "from_torch")
      guard count > 0, let base = source.baseAddress else { return out }
      switch element {
      case .half: Kernels.widen(.f16, count, from: base, to: out.pointer)
      case .bfloat16: Kernels.widen(.bf16, count, from: base, to: out.pointer)
      default: out.pointer.copyMemory(from: base, byteCount: source.count)
      }
      if element == .bool, let odd = source.first(where: { $0 > 1 }) {
        throw Failure(.corruptData, "from_torch: '\(name)' holds \(odd), which is not a bool")
      }
      return out
    }
  }
}
