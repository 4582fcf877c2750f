package import Core

/// The table of contents of a safetensors file (https://huggingface.co/docs/safetensors): what tensors it holds.
///
///     u64 n | n bytes of JSON: { "name": { "dtype": "F32", "shape": [..], "data_offsets": [begin, end] }, ... } | data
package enum Safetensors {
  /// One tensor.
  package struct Entry: Sendable, Hashable {
    package let name: String
    package let shape: [Int]
    /// `F32`, `I64`, ...
    package let dtype: String
    package let bytes: Int

    /// As `GET /models/{id}` shows it.
    package var json: JSONObject {
      [
        "name": .string(name), "shape": .array(shape.map { .int(Int64($0)) }), "dtype": .string(dtype),
        "bytes": .int(Int64(bytes)),
      ]
    }
  }

  private static let bitsPerElement: [String: Int] = [
    "BOOL": 8, "U8": 8, "I8": 8, "F8_E5M2": 8, "F8_E4M3": 8, "I16": 16, "U16": 16, "F16": 16, "BF16": 16, "I32": 32, "U32": 32,
    "F32": 32, "I64": 64, "U64": 64, "F64": 64,
  ]

  /// The tensors in the order of their data. Every size is checked: shapes against offsets, offsets against the file, and
  /// no byte of the data is without a tensor or has two.
  /// - Throws: `CORRUPT_DATA` naming `what` and the tensor.
  package static func entries(_ bytes: UnsafeRawBufferPointer, what: String) throws(Failure) -> [Entry] {
    func fail(_ why: String) -> Failure { Failure(.corruptData, "\(what) are not a safetensors file: \(why)") }
    guard bytes.count >= 8 else { throw fail("\(bytes.count) bytes are too few") }
    let stated = UInt64(littleEndian: bytes.loadUnaligned(fromByteOffset: 0, as: UInt64.self))
    guard let length = Int(exactly: stated), length <= bytes.count - 8, length <= 100 << 20 else {
      throw fail("its header should have \(stated) bytes, the file has \(bytes.count)")
    }
    let header: JSONValue
    do throws(Failure) {
      header = try JSONValue(parsing: UnsafeRawBufferPointer(rebasing: bytes[8..<8 + length]))
    } catch { throw fail("its header is no JSON: \(error.message)") }
    guard let members = header.objectValue else { throw fail("its header is no JSON object") }
    var found: [(entry: Entry, begin: Int, end: Int)] = []
    for (name, value) in members where name != "__metadata__" {
      guard let dtype = value["dtype"]?.stringValue, let shape = value["shape"]?.arrayValue,
        let offsets = value["data_offsets"]?.arrayValue, offsets.count == 2,
        let begin = offsets[0].intValue.flatMap({ Int(exactly: $0) }),
        let end = offsets[1].intValue.flatMap({ Int(exactly: $0) })
      else { throw fail("tensor '\(name)' lacks dtype, shape or data_offsets") }
      guard let bits = bitsPerElement[dtype] else { throw fail("tensor '\(name)' has the unknown dtype '\(dtype)'") }
      var dims: [Int] = []
      var size = bits / 8
      for dim in shape {
        guard let dim = dim.intValue.flatMap({ Int(exactly: $0) }), dim >= 0 else {
          throw fail("tensor '\(name)' has an invalid shape")
        }
        let (product, overflow) = size.multipliedReportingOverflow(by: dim)
        guard !overflow else { throw fail("tensor '\(name)' has an invalid shape") }
        dims.append(dim)
        size = product
      }
      guard begin >= 0, end >= begin, end <= bytes.count - 8 - length, end - begin == size else {
        throw fail("tensor '\(name)' of shape \(dims) and dtype \(dtype) cannot lie at \(begin) to \(end)")
      }
      found.append((Entry(name: name, shape: dims, dtype: dtype, bytes: size), begin, end))
    }
    found.sort { ($0.begin, $0.end, $0.entry.name) < ($1.begin, $1.end, $1.entry.name) }
    var next = 0
    for tensor in found {
      guard tensor.begin == next else {
        throw fail("tensor '\(tensor.entry.name)' begins at \(tensor.begin) instead of \(next)")
      }
      next = tensor.end
    }
    guard next == bytes.count - 8 - length else { throw fail("\(bytes.count - 8 - length - next) bytes belong to no tensor") }
    return found.map(\.entry)
  }
}
