package import Core
package import LuaHost

/// An IDX file: a dense array, as MNIST is published.
///
///     0        2      3        4                4 + 4 * rank
///     | 0 0    | type | rank   | sizes, u32 BE  | elements, big-endian, row-major
///
/// type: 08 u8, 09 i8, 0B i16, 0C i32, 0D f32, 0E f64. Ref: "THE MNIST DATABASE", FILE FORMATS.
package final class IDXArray: LuaObject, NumericArray {
  package let numericType: NumericType
  package let shape: [Int]
  package let buffer: Buffer
  package let name: String

  package func denseBuffer() throws(Failure) -> Buffer { buffer }
  package var luaBytes: Int { buffer.byteCount }

  private static let types: [UInt8: NumericType] = [0x08: .u8, 0x09: .i8, 0x0b: .i16, 0x0c: .i32, 0x0d: .f32, 0x0e: .f64]

  /// Reads a plain or gzip file from `descriptor`, which is closed.
  /// - Throws: `CORRUPT_DATA` naming what is wrong, `MEMORY_LIMIT` before memory is taken for lying sizes.
  package init(descriptor: Int32, name: String, fileBytes: Int) throws(Failure) {
    let source = try Inflater(descriptor: descriptor, name: name)
    var head = [UInt8](repeating: 0, count: 4)
    func fill(_ bytes: inout [UInt8]) throws(Failure) -> Bool {
      let wanted = bytes.count
      var copy = bytes
      defer { bytes = copy }
      return try copy.withUnsafeMutableBytesFailing { raw throws(Failure) in try source.read(into: raw) } == wanted
    }
    guard try fill(&head), head[0] == 0, head[1] == 0, let type = IDXArray.types[head[2]], (1...8).contains(head[3]) else {
      throw Failure(
        .corruptData,
        "\(name) is no IDX file: it begins with \(head.map { hex($0) }.joined(separator: " ")), not with 00 00 TYPE RANK")
    }
    var sizes = [UInt8](repeating: 0, count: 4 * Int(head[3]))
    guard try fill(&sizes) else { throw Failure(.corruptData, "\(name): the header is cut off") }
    let shape = (0..<Int(head[3])).map { d in sizes[(4 * d)..<(4 * d + 4)].reduce(0) { $0 << 8 | Int($1) } }
    var bytes = type.byteCount
    for size in shape {
      let (product, overflow) = bytes.multipliedReportingOverflow(by: size)
      guard !overflow else { throw Failure(.corruptData, "\(name): the header's sizes \(shape) are not possible") }
      bytes = product
    }
    // Deflate makes at most 1032 bytes of one (zlib FAQ), a plain file exactly one.
    guard bytes / 1100 <= fileBytes else {
      throw Failure(.corruptData, "\(name): the header promises \(shape) elements, the file has only \(fileBytes) bytes")
    }
    let buffer = try Buffer(byteCount: bytes, zeroed: false)
    let count = try source.read(into: UnsafeMutableRawBufferPointer(start: buffer.pointer, count: bytes))
    guard count == bytes else {
      throw Failure(.corruptData, "\(name): the header promises \(bytes) bytes of elements, but there are \(count)")
    }
    var extra = [UInt8](repeating: 0, count: 1)
    guard try !fill(&extra) else {
      throw Failure(.corruptData, "\(name): bytes follow after the \(bytes) that the header promises")
    }
    switch type.byteCount {
    case 2: for i in buffer.mutableValues(of: UInt16.self).indices { buffer.mutableValues(of: UInt16.self)[i].swapBytes() }
    case 4: for i in buffer.mutableValues(of: UInt32.self).indices { buffer.mutableValues(of: UInt32.self)[i].swapBytes() }
    case 8: for i in buffer.mutableValues(of: UInt64.self).indices { buffer.mutableValues(of: UInt64.self)[i].swapBytes() }
    default: break
    }
    self.numericType = type
    self.shape = shape
    self.buffer = buffer
    self.name = name
  }

  package static let luaType = ObjectType(
    "IDX", "A dense array read from an IDX file: `#a` rows, `a.shape`, `a.dtype`, `a.name`.",
    [
      Fn("at", "fun(self: IDX, ...: integer): number", "One element; positions from 1, one per dimension, -1 is the last.") {
        call in
        let array = try call.object(1, as: IDXArray.self)
        guard Int(call.count) - 1 == array.shape.count else {
          throw Failure(.plain, "IDX:at needs \(array.shape.count) positions for shape \(array.shape), got \(call.count - 1)")
        }
        var offset = 0
        for (d, size) in array.shape.enumerated() {
          let given = try call.integer(Int32(d + 2))
          let position = given < 0 ? size + given : given - 1
          guard position >= 0, position < size else {
            throw Failure(.plain, "IDX:at: position \(given) is outside dimension \(d + 1) of size \(size)")
          }
          offset = offset * size + position
        }
        return array.push(offset, call)
      }
    ],
    metamethods: [
      Fn("__len", "fun(self: IDX): integer", "Rows.") { call in call.push(try call.object(1, as: IDXArray.self).shape[0]) },
      Fn("__tostring", "fun(self: IDX): string", "Name, type and shape.") { call in
        let array = try call.object(1, as: IDXArray.self)
        return call.push(
          "IDX(\(array.name), \(array.numericType.rawValue)[\(array.shape.map(String.init).joined(separator: ", "))])")
      },
    ],
    index: Fn("__index", "fun(self: IDX, key: any): any", "shape, dtype, name.") { call in
      let array = try call.object(1, as: IDXArray.self)
      switch call.describe(2) {
      case "shape": return call.push(array.shape)
      case "dtype": return call.push(array.numericType.rawValue)
      case "name": return call.push(array.name)
      default:
        throw Failure(
          .plain,
          "IDX has no field \(nearNames(call.describe(2), known: ["at", "dtype", "name", "release", "shape"], what: "fields"))")
      }
    })

  private func push(_ offset: Int, _ call: borrowing Call) -> Int32 {
    switch numericType {
    case .u8, .bool: call.push(Int(buffer.values(of: UInt8.self)[offset]))
    case .i8: call.push(Int(buffer.values(of: Int8.self)[offset]))
    case .i16: call.push(Int(buffer.values(of: Int16.self)[offset]))
    case .i32: call.push(Int(buffer.values(of: Int32.self)[offset]))
    case .i64: call.push(Int(buffer.values(of: Int64.self)[offset]))
    case .f32: call.push(Double(buffer.values(of: Float.self)[offset]))
    case .f64: call.push(buffer.values(of: Double.self)[offset])
    }
  }
}

extension UnsignedInteger where Self: FixedWidthInteger {
  fileprivate mutating func swapBytes() { self = byteSwapped }
}

extension Array {
  /// `withUnsafeMutableBytes` with a typed throw.
  fileprivate mutating func withUnsafeMutableBytesFailing<R>(
    _ body: (UnsafeMutableRawBufferPointer) throws(Failure) -> R
  ) throws(Failure) -> R {
    let result: Result<R, Failure> = withUnsafeMutableBytes { raw in
      do throws(Failure) { return .success(try body(raw)) } catch { return .failure(error) }
    }
    return try result.get()
  }
}

/// `idx`: the reader of IDX files.
enum LuaIDX {
  static let module = Module(
    "idx", "Reader of IDX files, plain or .gz.",
    [
      Fn(
        "open", "fun(path: string, name?: string): IDX",
        "Reads an IDX file: a path, or a folder and the file's name there. `.gz` and the spelling `images.idx3-ubyte` are found too."
      ) { call in
        let paths = try call.service(ConfinedPaths.self)
        let path = try call.string(1)
        var candidates = [path, path + ".gz"]
        if let name = try call.optionalString(2) {
          guard !name.utf8.contains(47) else { throw call.bad(2, "a file name expected, got a path") }
          let dotted = name.replacing("-idx", with: ".idx")
          candidates = [name, name + ".gz", dotted, dotted + ".gz"].map { path.hasSuffix("/") ? path + $0 : "\(path)/\($0)" }
        }
        for candidate in candidates {
          do throws(Failure) {
            let (descriptor, entry) = try paths.open(candidate)
            guard !entry.isDirectory else {
              closeDescriptor(descriptor)
              throw Failure(.invalidArgument, "'\(candidate)' is a folder; give the file's name as second argument")
            }
            return try call.push(
              object: try IDXArray(descriptor: descriptor, name: lastName(candidate), fileBytes: entry.byteCount))
          } catch {
            if error.code != .fileNotFound { throw error }
          }
        }
        throw Failure(
          .fileNotFound,
          "there is no IDX file '\(candidates[0])' (nor \(candidates.dropFirst().map { lastName($0) }.joined(separator: ", ")))"
        )
      }
    ], types: [IDXArray.luaType])

  private static func lastName(_ path: String) -> String { path.split(separator: "/").last.map(String.init) ?? path }
}
