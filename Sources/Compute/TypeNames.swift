package import Columnar
package import Core

extension DataType {
  /// Reads a type name as scripts write it: `f32`, `i64`, `u8`, `bool`, `string`, `binary`, `date`, `timestamp[us, UTC]`,
  /// `duration[ms]`, `list<f64>`, `f32[784]` or `fixed_size_list<u8>[28]`; or as the schema shows it: `Float32`, `String`,
  /// `FixedSizeList[Float32, 784]`.
  /// - Throws: `INVALID_ARGUMENT` naming the nearest type.
  package init(parsing text: String) throws(Failure) {
    let name = text.filter { $0 != " " }
    if let plain = DataType.names[name] ?? DataType.names[name.lowercased()] {
      self = plain
      return
    }
    func unknown() -> Failure {
      let known = [
        "f32", "f64", "i8", "i16", "i32", "i64", "u8", "u16", "u32", "u64", "bool", "string", "binary", "date",
        "timestamp[us]", "duration[us]", "list<f64>", "f32[784]",
      ]
      return Failure(.invalidArgument, "unknown type \(nearNames(text, known: known, what: "types"))")
    }
    let lower = name.lowercased()
    func inner(_ prefix: String, _ close: Character) -> String? {
      guard lower.hasPrefix(prefix), lower.last == close else { return nil }
      return String(name.dropFirst(prefix.count).dropLast())
    }
    if let argument = inner("timestamp[", "]") {
      let parts = argument.split(separator: ",", maxSplits: 1).map(String.init)
      guard let first = parts.first, let unit = TimeUnit(rawValue: first) else { throw unknown() }
      self = .timestamp(unit, timeZone: parts.count > 1 ? parts[1] : nil)
    } else if let argument = inner("duration[", "]") {
      guard let unit = TimeUnit(rawValue: argument) else { throw unknown() }
      self = .duration(unit)
    } else if let argument = inner("list<", ">") ?? inner("list[", "]") {
      self = .list(Field("item", try DataType(parsing: argument)))
    } else if let argument = inner("fixedsizelist[", "]"), let comma = argument.lastIndex(of: ","),
      let size = Int(argument[argument.index(after: comma)...]), size >= 0, size <= 1 << 24
    {
      self = .vector(try DataType(parsing: String(argument[..<comma])), size)
    } else if name.last == "]", let open = name.lastIndex(of: "["),
      let size = Int(name[name.index(after: open)...].dropLast()), size >= 0, size <= 1 << 24
    {
      var element = String(name[..<open])
      if element.lowercased().hasPrefix("fixed_size_list<"), element.last == ">" {
        element = String(element.dropFirst("fixed_size_list<".count).dropLast())
      }
      guard !element.isEmpty else { throw unknown() }
      self = .vector(try DataType(parsing: element), size)
    } else {
      throw unknown()
    }
  }

  private static let names: [String: DataType] = [
    "f16": .float16, "f32": .float32, "f64": .float64, "i8": .int8, "i16": .int16, "i32": .int32, "i64": .int64, "u8": .uint8,
    "u16": .uint16, "u32": .uint32, "u64": .uint64, "bool": .bool, "boolean": .bool, "string": .utf8, "utf8": .utf8,
    "str": .utf8, "large_string": .largeUtf8, "binary": .binary, "large_binary": .largeBinary, "date": .date32,
    "float16": .float16, "float32": .float32, "float64": .float64, "float": .float32, "double": .float64, "int8": .int8,
    "int16": .int16, "int32": .int32, "int64": .int64, "int": .int64, "integer": .int64, "uint8": .uint8, "uint16": .uint16,
    "uint32": .uint32, "uint64": .uint64, "null": .null, "timestamp": .timestamp(.microsecond, timeZone: nil),
  ]
}
