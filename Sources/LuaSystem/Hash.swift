import Core
import Crypto
import LuaHost

/// `hash`: digests in lower-case hex.
enum LuaHash {
  static let module = Module(
    "hash", "Digests of strings.",
    [
      Fn("sha256", "fun(data: string): string", "SHA-256 in hex (FIPS 180-4).") { call in
        call.push(try call.withBytes(1) { data in hexText(SHA256.hash(data: data)) })
      },
      Fn("crc32", "fun(data: string): integer", "CRC-32 as in gzip (RFC 1952).") { call in
        call.push(Int(try call.withBytes(1) { Inflater.crc32($0) }))
      },
    ])

  private static func hexText(_ bytes: some Sequence<UInt8>) -> String { bytes.map { hex($0) }.joined() }
}

/// `base64`: RFC 4648, with padding.
enum LuaBase64 {
  static let module = Module(
    "base64", "Base64 text of bytes (RFC 4648).",
    [
      Fn("encode", "fun(data: string): string", "Text of bytes, with padding.") { call in
        call.push(bytes: try call.withBytes(1) { encode($0) })
      },
      Fn("decode", "fun(text: string): string", "Bytes of text; padding may be left out, other characters are errors.") {
        call in
        let decoded: [UInt8] = try call.withBytes(1) { raw in
          guard let bytes = decode(raw) else { throw call.bad(1, "the text is no base64") }
          return bytes
        }
        return call.push(bytes: decoded)
      },
    ])

  private static let alphabet = Array("ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/".utf8)
  private static let values: [UInt8] = {
    var table = [UInt8](repeating: 255, count: 256)
    for (i, c) in alphabet.enumerated() { table[Int(c)] = UInt8(i) }
    return table
  }()

  static func encode(_ raw: UnsafeRawBufferPointer) -> [UInt8] {
    var out: [UInt8] = []
    out.reserveCapacity((raw.count + 2) / 3 * 4)
    for i in stride(from: 0, to: raw.count, by: 3) {
      let left = raw.count - i
      let word = UInt32(raw[i]) << 16 | (left > 1 ? UInt32(raw[i + 1]) << 8 : 0) | (left > 2 ? UInt32(raw[i + 2]) : 0)
      out.append(alphabet[Int(word >> 18)])
      out.append(alphabet[Int(word >> 12 & 63)])
      out.append(left > 1 ? alphabet[Int(word >> 6 & 63)] : 61)
      out.append(left > 2 ? alphabet[Int(word & 63)] : 61)
    }
    return out
  }

  static func decode(_ raw: UnsafeRawBufferPointer) -> [UInt8]? {
    var end = raw.count
    while end > 0, raw.count - end < 2, raw[end - 1] == 61 { end -= 1 }
    if end != raw.count, raw.count % 4 != 0 { return nil }
    guard end % 4 != 1 else { return nil }
    var out: [UInt8] = []
    out.reserveCapacity(end / 4 * 3 + 2)
    var word: UInt32 = 0
    for i in 0..<end {
      let value = values[Int(raw[i])]
      guard value != 255 else { return nil }
      word = word << 6 | UInt32(value)
      if i % 4 == 3 {
        out.append(UInt8(truncatingIfNeeded: word >> 16))
        out.append(UInt8(truncatingIfNeeded: word >> 8))
        out.append(UInt8(truncatingIfNeeded: word))
        word = 0
      }
    }
    switch end % 4 {
    case 2:
      guard word & 15 == 0 else { return nil }
      out.append(UInt8(truncatingIfNeeded: word >> 4))
    case 3:
      guard word & 3 == 0 else { return nil }
      out.append(UInt8(truncatingIfNeeded: word >> 10))
      out.append(UInt8(truncatingIfNeeded: word >> 2))
    default: break
    }
    return out
  }
}

/// SHA-256 of a text in lower-case hex.
package func sha256(_ text: String) -> String { SHA256.hash(data: Array(text.utf8)).map { hex($0) }.joined() }
