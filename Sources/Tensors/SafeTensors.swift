package import Core
import TensorKernels

/// The safetensors format: u64 little-endian header length, a JSON header
/// `{"name":{"dtype":"F32","shape":[2,3],"data_offsets":[begin,end]},...,"__metadata__":{"k":"v"}}` padded with spaces to 8
/// bytes, then the data, row major, without gaps or overlaps. Source: github.com/huggingface/safetensors, README.
package enum SafeTensors {
  private static let names: [(DType, String)] = [
    (.bool, "BOOL"), (.u8, "U8"), (.i32, "I32"), (.i64, "I64"), (.f32, "F32"), (.f64, "F64"),
  ]
  /// 16-bit floats are read as f32 and never written.
  private static let halves = ["F16", "BF16"]
  /// The format's own limit on the header.
  private static let headerLimit = 100_000_000

  /// The bytes of a file with `tensors` in the given order.
  package static func encode(_ tensors: [(name: String, tensor: Tensor)], metadata: [(String, String)] = []) throws(Failure)
    -> [UInt8]
  {
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
      let type = names.first { $0.0 == tensor.dtype }?.1 ?? ""
      header[name] = .object([
        "dtype": .string(type), "shape": .array(tensor.shape.map { .int(Int64($0)) }),
        "data_offsets": .array([.int(Int64(offset)), .int(Int64(offset + tensor.byteCount))]),
      ])
      offset += tensor.byteCount
    }
    var text = JSONValue.object(header).utf8()
    while text.count % 8 != 0 { text.append(32) }
    var out = ByteWriter(reserving: 8 + text.count + offset)
    out.write(UInt64(text.count))
    out.write(text)
    for (_, tensor) in tensors {
      let source = try tensor.detached().contiguous()
      out.write(UnsafeRawBufferPointer(start: source.pointer, count: source.byteCount))
    }
    return out.bytes
  }

  /// The tensors of a file, by order of their data; each is a copy. F16 and BF16 become f32, which holds them exactly.
  /// - Throws: `CORRUPT_DATA` naming what does not fit: sizes, overlaps, gaps, types.
  package static func decode(_ bytes: UnsafeRawBufferPointer) throws(Failure) -> [(name: String, tensor: Tensor)] {
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
    var entries: [(name: String, type: DType, half: String?, shape: [Int], begin: Int, end: Int)] = []
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
      if let half = e.half, tensor.count > 0, let base = data.baseAddress {
        let out = tensor.pointer.assumingMemoryBound(to: Float.self)
        if half == "F16" {
          Kernels.widenHalf(tensor.count, from: base + e.begin, into: out)
        } else {
          Kernels.widenBrain(tensor.count, from: base + e.begin, into: out)
        }
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
  ) throws(Failure) -> (name: String, type: DType, half: String?, shape: [Int], begin: Int, end: Int) {
    guard let object = value.objectValue, let typeName = object["dtype"]?.stringValue,
      let extents = object["shape"]?.arrayValue, let offsets = object["data_offsets"]?.arrayValue, offsets.count == 2
    else {
      throw Failure(.corruptData, "safetensors: tensor '\(name)' needs dtype, shape and two data_offsets")
    }
    let half = halves.first { $0 == typeName }
    guard let type = half == nil ? names.first(where: { $0.1 == typeName })?.0 : .f32 else {
      let known = (names.map(\.1) + halves).joined(separator: ", ")
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
        "safetensors: tensor '\(name)' of shape \(Shape.text(shape)) \(half ?? type.description) cannot be bytes \(begin)..<\(end) of \(dataBytes)"
      )
    }
    return (name, type, half, shape, begin, end)
  }
}
