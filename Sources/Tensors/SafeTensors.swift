package import Core
package import TensorKernels

/// The safetensors format: u64 little-endian header length, a JSON header
/// `{"name":{"dtype":"F32","shape":[2,3],"data_offsets":[begin,end]},...,"__metadata__":{"k":"v"}}` padded with spaces to 8
/// bytes, then the data, row major, without gaps or overlaps. Source: github.com/huggingface/safetensors, README.
package enum SafeTensors {
  private static let names: [(DType, String)] = [
    (.bool, "BOOL"), (.u8, "U8"), (.i32, "I32"), (.i64, "I64"), (.f32, "F32"), (.f64, "F64"),
  ]
  /// Two-byte floats: read as f32, written when asked for.
  private static let halves: [(HalfFormat, String)] = [(.f16, "F16"), (.bf16, "BF16")]
  /// The format's own limit on the header.
  private static let headerLimit = 100_000_000

  /// The bytes of a file with `tensors` in the given order; with `half`, floats are rounded to that type.
  package static func encode(
    _ tensors: [(name: String, tensor: Tensor)], metadata: [(String, String)] = [], half: HalfFormat? = nil
  ) throws(Failure) -> [UInt8] {
    let head = try header(tensors, metadata: metadata, half: half)
    var out = ByteWriter(reserving: head.count + tensors.reduce(0) { $0 + $1.tensor.byteCount })
    out.write(head)
    for (_, tensor) in tensors {
      if let half, tensor.dtype.isFloat {
        let (source, narrow) = (try tensor.detached().cast(.f32).contiguous(), try Tensor.empty([tensor.count * 2], .u8))
        Kernels.narrow(half, tensor.count, from: source.pointer, to: narrow.pointer)
        out.write(UnsafeRawBufferPointer(start: narrow.pointer, count: narrow.byteCount))
        continue
      }
      let source = try tensor.detached().contiguous()
      out.write(UnsafeRawBufferPointer(start: source.pointer, count: source.byteCount))
    }
    return out.bytes
  }

  /// What stands before the data of `tensors`: length and header.
  package static func header(
    _ tensors: [(name: String, tensor: Tensor)], metadata: [(String, String)] = [], half: HalfFormat? = nil
  ) throws(Failure) -> [UInt8] {
    var header = JSONObject()
    if !metadata.isEmpty {
      var object = JSONObject()
      for (key, value) in metadata { object[key] = .string(value) }
      header["__metadata__"] = .object(object)
    }
    var offset = 0
    for (name, tensor) in tensors {
      guard name != "__metadata__", header[name] == nil else {
        throw Failure(.invalidArgument, "safetensors: the name '\(name)' is used twice or reserved")
      }
      let isHalf = half != nil && tensor.dtype.isFloat
      let type = isHalf ? halves.first { $0.0 == half }?.1 ?? "" : names.first { $0.0 == tensor.dtype }?.1 ?? ""
      let bytes = isHalf ? tensor.count * 2 : tensor.byteCount
      header[name] = .object([
        "dtype": .string(type), "shape": .array(tensor.shape.map { .int(Int64($0)) }),
        "data_offsets": .array([.int(Int64(offset)), .int(Int64(offset + bytes))]),
      ])
      offset += bytes
    }
    var text = JSONValue.object(header).utf8()
    while text.count % 8 != 0 { text.append(32) }
    guard text.count <= headerLimit else {
      throw Failure(
        .invalidArgument, "safetensors: a header of \(text.count) bytes is more than the \(headerLimit) that readers take")
    }
    var out = ByteWriter(reserving: 8 + text.count)
    out.write(UInt64(text.count))
    out.write(text)
    return out.bytes
  }

  /// The texts in a file's `__metadata__`; `bytes` may end anywhere behind the header.
  /// - Throws: `CORRUPT_DATA` when there is no header or one of them is no text.
  package static func metadata(_ bytes: UnsafeRawBufferPointer) throws(Failure) -> [(String, String)] {
    guard let entries = try open(bytes).members["__metadata__"] else { return [] }
    guard let object = entries.objectValue else { throw Failure(.corruptData, "safetensors: __metadata__ is not an object") }
    var out: [(String, String)] = []
    for (key, value) in object {
      guard let text = value.stringValue else {
        throw Failure(.corruptData, "safetensors: '\(key)' in __metadata__ is not a text")
      }
      out.append((key, text))
    }
    return out
  }

  /// Length and header of the file whose first bytes these are, in bytes; nil when there cannot be such a file.
  package static func headerBytes(_ first: UnsafeRawBufferPointer) -> Int? {
    var reader = ByteReader(first, what: "safetensors")
    guard let length: UInt64 = try? reader.read(), length <= UInt64(headerLimit) else { return nil }
    return 8 + Int(length)
  }

  /// The header's members and the data behind it.
  private static func open(_ bytes: UnsafeRawBufferPointer) throws(Failure) -> (
    members: JSONObject, data: UnsafeRawBufferPointer
  ) {
    var reader = ByteReader(bytes, what: "safetensors")
    let length: UInt64 = try reader.read()
    guard length <= UInt64(min(headerLimit, reader.remaining)) else {
      throw Failure(.corruptData, "safetensors: a header of \(length) bytes is longer than the \(reader.remaining) bytes there")
    }
    let headerBytes = try reader.take(Int(length))
    let data = try reader.take(reader.remaining)
    let header: JSONValue
    do {
      header = try JSONValue(parsing: headerBytes)
    } catch {
      throw Failure(.corruptData, "safetensors: the header is not JSON: \(error.message)")
    }
    guard let members = header.objectValue else { throw Failure(.corruptData, "safetensors: the header is not an object") }
    return (members, data)
  }

  /// The tensors of a file, by order of their data; each is a copy, two-byte floats as f32.
  /// - Throws: `CORRUPT_DATA` naming what does not fit: sizes, overlaps, gaps, types.
  package static func decode(_ bytes: UnsafeRawBufferPointer) throws(Failure) -> [(name: String, tensor: Tensor)] {
    let (members, data) = try open(bytes)
    var entries: [(name: String, type: DType, half: HalfFormat?, shape: [Int], begin: Int, end: Int)] = []
    for (name, value) in members where name != "__metadata__" {
      entries.append(try entry(name, value, dataBytes: data.count))
    }
    entries.sort { ($0.begin, $0.end) < ($1.begin, $1.end) }
    var at = 0
    for e in entries {
      guard e.begin == at else {
        throw Failure(
          .corruptData, "safetensors: tensor '\(e.name)' starts at byte \(e.begin), the one before ends at \(at)")
      }
      at = e.end
    }
    guard at == data.count else {
      throw Failure(.corruptData, "safetensors: tensors end at byte \(at) of \(data.count)")
    }
    var out: [(name: String, tensor: Tensor)] = []
    for e in entries {
      let tensor = try Tensor.empty(e.shape, e.type, op: "safetensors")
      if let half = e.half, e.end > e.begin, let base = data.baseAddress {
        Kernels.widen(half, tensor.count, from: base + e.begin, to: tensor.pointer)
      } else if e.end > e.begin, let base = data.baseAddress {
        tensor.pointer.copyMemory(from: base + e.begin, byteCount: e.end - e.begin)
        if e.type == .bool {  // only 0 and 1 are bools
          let p = tensor.pointer.assumingMemoryBound(to: UInt8.self)
          for i in 0..<tensor.count where p[i] > 1 {
            throw Failure(.corruptData, "safetensors: tensor '\(e.name)' holds \(p[i]), which is not a bool")
          }
        }
      }
      out.append((e.name, tensor))
    }
    return out
  }

  private static func entry(
    _ name: String, _ value: JSONValue, dataBytes: Int
  ) throws(Failure) -> (name: String, type: DType, half: HalfFormat?, shape: [Int], begin: Int, end: Int) {
    guard let object = value.objectValue, let typeName = object["dtype"]?.stringValue,
      let extents = object["shape"]?.arrayValue, let offsets = object["data_offsets"]?.arrayValue, offsets.count == 2
    else {
      throw Failure(.corruptData, "safetensors: tensor '\(name)' needs dtype, shape and two data_offsets")
    }
    let half = halves.first(where: { $0.1 == typeName })?.0
    guard let type = names.first(where: { $0.1 == typeName })?.0 ?? half.map({ _ in .f32 }) else {
      let known = (names.map(\.1) + halves.map(\.1)).joined(separator: ", ")
      throw Failure(.unsupported, "safetensors: tensor '\(name)' has type \(typeName); known: \(known)")
    }
    func size(_ v: JSONValue) throws(Failure) -> Int {
      guard let i = v.intValue, i >= 0 else {
        throw Failure(.corruptData, "safetensors: tensor '\(name)' has a size or offset that is not a whole number from 0")
      }
      return Int(i)
    }
    var shape: [Int] = []
    for extent in extents { shape.append(try size(extent)) }
    let (begin, end) = (try size(offsets[0]), try size(offsets[1]))
    let count: Int
    do {
      count = try Shape.count(shape, op: "safetensors")
    } catch {
      throw Failure(.corruptData, "safetensors: tensor '\(name)': \(error.message)")
    }
    guard begin <= end, end <= dataBytes, end - begin == count * (half == nil ? type.size : 2) else {
      throw Failure(
        .corruptData,
        "safetensors: tensor '\(name)' of shape \(Shape.text(shape)) \(half?.rawValue ?? type.description) cannot be bytes \(begin)..<\(end) of \(dataBytes)"
      )
    }
    return (name, type, half, shape, begin, end)
  }
}
