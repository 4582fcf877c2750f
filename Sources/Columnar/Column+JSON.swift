package import Core

extension Column {
  /// Row `i` as JSON: numbers, strings, arrays, objects; bytes as lower-case hex; dates and timestamps as RFC 3339.
  package func json(_ i: Int) -> JSONValue {
    guard isValid(i) else { return .null }
    switch type {
    case .null: return .null
    case .bool: return .bool(bool(i))
    case .int8: return .int(Int64(values(of: Int8.self)[i]))
    case .int16: return .int(Int64(values(of: Int16.self)[i]))
    case .int32, .time32: return .int(Int64(values(of: Int32.self)[i]))
    case .int64, .time64, .duration: return .int(values(of: Int64.self)[i])
    case .uint8: return .int(Int64(values(of: UInt8.self)[i]))
    case .uint16: return .int(Int64(values(of: UInt16.self)[i]))
    case .uint32: return .int(Int64(values(of: UInt32.self)[i]))
    case .uint64:
      let value = values(of: UInt64.self)[i]
      return Int64(exactly: value).map { .int($0) } ?? .double(Double(value))
    case .float16: return .double(Column.double(half: values(of: UInt16.self)[i]))
    case .float32:
      // The shortest text of the Float, not of its Double: 0.1, not 0.10000000149011612.
      let value = values(of: Float.self)[i]
      return .double(Double(value.description) ?? Double(value))
    case .float64: return .double(values(of: Double.self)[i])
    case .utf8, .largeUtf8: return .string(string(i))
    case .binary, .largeBinary, .fixedSizeBinary: return .string(bytes(i).map(hex).joined())
    case .date32:
      let day = Int(values(of: Int32.self)[i])
      return .string(String(Instant(seconds: Int64(day) * 86400).description.prefix(while: { $0 != "T" })))
    case .date64: return .string(instant(values(of: Int64.self)[i], .millisecond))
    case .timestamp(let unit, _): return .string(instant(values(of: Int64.self)[i], unit))
    case .decimal128(_, let scale): return .string(decimal(i, scale: scale))
    case .decimal256: return .string(bytesOfValue(i, 32).map(hex).joined())
    case .list, .largeList, .map:
      let span = range(i)
      return .array(span.map { children[0].json($0) })
    case .fixedSizeList(_, let size):
      let first = (offset + i) * size
      return .array((first..<first + size).map { children[0].json($0) })
    case .structure(let fields):
      var object = JSONObject()
      for (k, field) in fields.enumerated() { object[field.name] = children[k].json(offset + i) }
      return .object(object)
    case .dictionary:
      guard let at = dictionaryIndex(i), at < children[0].count else { return .null }
      return children[0].json(at)
    }
  }

  private func instant(_ ticks: Int64, _ unit: TimeUnit) -> String {
    let (quotient, remainder) = ticks.quotientAndRemainder(dividingBy: unit.perSecond)
    let seconds = remainder < 0 ? quotient - 1 : quotient
    let rest = remainder < 0 ? remainder + unit.perSecond : remainder
    let digits = unit == .second ? 0 : unit == .millisecond ? 3 : unit == .microsecond ? 6 : 9
    return Instant(seconds: seconds, nanoseconds: Int32(rest * (1_000_000_000 / unit.perSecond))).text(
      fractionDigits: rest == 0 ? 0 : digits)
  }

  private func bytesOfValue(_ i: Int, _ width: Int) -> UnsafeRawBufferPointer {
    UnsafeRawBufferPointer(rebasing: buffers[0].bytes[(offset + i) * width..<(offset + i + 1) * width])
  }

  private func decimal(_ i: Int, scale: Int) -> String {
    let raw = bytesOfValue(i, 16)
    let value =
      Int128(truncatingIfNeeded: raw.loadUnaligned(fromByteOffset: 8, as: Int64.self)) << 64
      | Int128(raw.loadUnaligned(fromByteOffset: 0, as: UInt64.self))
    var digits = String(value.magnitude)
    let sign = value < 0 ? "-" : ""
    guard scale > 0, scale < 64 else { return sign + digits }
    while digits.count <= scale { digits = "0" + digits }
    return sign + digits.dropLast(scale) + "." + digits.suffix(scale)
  }

  /// An IEEE 754 half-precision bit pattern as a double.
  package static func double(half bits: UInt16) -> Double {
    let sign: Double = bits >> 15 == 1 ? -1 : 1
    let exponent = Int(bits >> 10 & 31)
    let fraction = Double(bits & 1023) / 1024
    switch exponent {
    case 0: return sign * fraction * 0x1p-14
    case 31: return fraction == 0 ? sign * .infinity : .nan
    default: return sign * (1 + fraction) * (exponent >= 15 ? Double(1 << (exponent - 15)) : 1 / Double(1 << (15 - exponent)))
    }
  }
}
