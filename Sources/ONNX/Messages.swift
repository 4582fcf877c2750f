import Core
import Foundation
import SwiftProtobuf

/// ONNX files: a protobuf message of a graph (`Protos/onnx.proto`). Docs: docs/formats/onnx.md.
enum ONNXFile {
  /// What is written: operators of version 17 in files of version 8. Source: onnx.ai/onnx/operators, docs/Versioning.md.
  static let opset: Int64 = 17, irVersion: Int64 = 8
  /// Versions of operators that are read.
  static let opsets: ClosedRange<Int64> = 7...21
  /// Nodes, attributes and tensors of a file together.
  static let mostMessages = 500_000

  /// The message of a file.
  /// - Throws: `CORRUPT_DATA`; `UNSUPPORTED` for more messages than any network needs, before memory is taken for them.
  static func decode(_ bytes: UnsafeRawBufferPointer) throws(Failure) -> PBModel {
    var count = 0
    WireScan.count(bytes, path: [7], &count)
    guard count <= mostMessages else {
      throw Failure(.unsupported, "onnx: the file holds more than \(mostMessages) nodes, attributes and tensors")
    }
    do { return try PBModel(serializedBytes: Data(bytes)) } catch {
      throw Failure(.corruptData, "onnx: this is no ONNX file, or a damaged one: \(error)")
    }
  }

  /// The bytes of a file.
  static func encode(_ model: PBModel) throws(Failure) -> [UInt8] {
    var options = BinaryEncodingOptions()
    options.useDeterministicOrdering = true
    do { return try model.serializedBytes(options: options) } catch {
      throw Failure(.internalError, "onnx: the file cannot be written: \(error)")
    }
  }
}

/// Counts messages without reading them. Damage ends the count; the reader proper reports it.
private enum WireScan {
  /// Adds the messages below the fields of `path` (7: the graph) and, in the graph, all that hang on it and on its nodes.
  static func count(_ bytes: UnsafeRawBufferPointer, path: [UInt64], _ count: inout Int) {
    fields(bytes) { number, part in
      guard number == path.first else { return count <= ONNXFile.mostMessages }
      fields(part) { number, part in
        count += 1
        // A node: its names and attributes.
        if number == 1 {
          fields(part) { _, _ in
            count += 1
            return count <= ONNXFile.mostMessages
          }
        }
        return count <= ONNXFile.mostMessages
      }
      return count <= ONNXFile.mostMessages
    }
  }

  /// Shows every field with a length. `body` gives false to stop.
  private static func fields(_ bytes: UnsafeRawBufferPointer, _ body: (UInt64, UnsafeRawBufferPointer) -> Bool) {
    var at = 0
    func varint() -> UInt64? {
      var (value, shift) = (UInt64(0), UInt64(0))
      while at < bytes.count, shift < 64 {
        let byte = bytes[at]
        at += 1
        value |= UInt64(byte & 0x7F) << shift
        if byte < 0x80 { return value }
        shift += 7
      }
      return nil
    }
    while at < bytes.count, let key = varint() {
      switch key & 7 {
      case 0: if varint() == nil { return }
      case 1: at += 8
      case 5: at += 4
      case 2:
        guard let length = varint(), at <= bytes.count, length <= UInt64(bytes.count - at) else { return }
        let part = UnsafeRawBufferPointer(rebasing: bytes[at..<at + Int(length)])
        at += Int(length)
        if !body(key >> 3, part) { return }
      default: return
      }
    }
  }
}
