import Columnar
import Core
import LanceFile
import LanceProto
import LanceTable
import ObjectStore
import SwiftProtobuf

/// Files of one index: ordinary Lance files in `_indices/<uuid>/`, with what is no column in schema metadata and global buffers.
struct IndexFolder: Sendable {
  let location: TableLocation
  let uuid: String

  func path(_ name: String) -> String { location.path("_indices/\(uuid)/\(name)") }

  /// - Throws: `CORRUPT_DATA` when the file is missing or damaged.
  func open(_ name: String) throws(Failure) -> LanceFileReader {
    let path = path(name)
    let buffer: Buffer
    do throws(Failure) { buffer = try location.store.read(path) } catch {
      guard error.code == .fileNotFound else { throw error }
      throw Failure(.corruptData, "table '\(location.name)': index file '\(path)' is missing")
    }
    do throws(Failure) { return try LanceFileReader(buffer: buffer, path: path) } catch {
      throw error.context("table '\(location.name)'")
    }
  }

  /// Writes a file; `body` gets its writer.
  /// - Returns: name and size, as a manifest lists them.
  func write(
    _ name: String, _ schema: Schema, globals: [[UInt8]] = [], _ files: NewFiles,
    _ body: (LanceFileWriter) throws(Failure) -> Void
  ) throws(Failure) -> PBIndexFile {
    let path = path(name)
    files.add(path)
    let output = try location.store.create(path)
    do throws(Failure) {
      let writer = try LanceFileWriter(schema: schema, sink: Sink(output))
      for bytes in globals { _ = try writer.addGlobalBuffer(bytes) }
      try body(writer)
      let summary = try writer.finish()
      try output.finish()
      var file = PBIndexFile()
      file.path = name
      file.sizeBytes = UInt64(summary.byteCount)
      return file
    } catch {
      output.abort()
      throw error
    }
  }

  private final class Sink: LanceFileSink {
    private let output: any ObjectWriter
    init(_ output: any ObjectWriter) { self.output = output }
    func append(_ bytes: UnsafeRawBufferPointer) throws(Failure) { try output.append(bytes) }
  }
}

extension LanceFileReader {
  /// Schema metadata `key`.
  /// - Throws: `CORRUPT_DATA` when the file lacks it.
  func required(_ key: String) throws(Failure) -> String {
    guard let value = metadata[key] else {
      throw Failure(.corruptData, "\(path): the index file lacks '\(key)' in its metadata")
    }
    return value
  }

  /// The message in the global buffer whose number is metadata `key`.
  func globalMessage<M: SwiftProtobuf.Message>(_ key: String, _: M.Type) throws(Failure) -> M {
    let number = try required(key)
    guard let i = Int(number) else { throw Failure(.corruptData, "\(path): '\(key)' is '\(number)', not a number") }
    return try globalMessage(i, M.self)
  }

  func globalMessage<M: SwiftProtobuf.Message>(_ i: Int, _: M.Type) throws(Failure) -> M {
    guard let bytes = globalBuffer(i) else { throw Failure(.corruptData, "\(path): there is no global buffer \(i)") }
    do { return try M(serializedBytes: [UInt8](bytes)) } catch {
      throw Failure(.corruptData, "\(path): global buffer \(i) is damaged: \(error)")
    }
  }
}

/// Serialized messages with a `Failure`.
enum Protobuf {
  static func bytes(_ message: some SwiftProtobuf.Message) throws(Failure) -> [UInt8] {
    do { return try message.serializedBytes() } catch {
      throw Failure(.internalError, "a message cannot be serialized: \(error)")
    }
  }
}
