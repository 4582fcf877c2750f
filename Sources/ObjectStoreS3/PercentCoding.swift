/// Percent-encoding as Signature Version 4 wants it: every byte but `A-Z a-z 0-9 - . _ ~` becomes `%XX` with capital digits.
/// Source: "Create a signed AWS API request", UriEncode (docs.aws.amazon.com/IAM/latest/UserGuide/reference_sigv-create-signed-request.html).
enum PercentCoding {
  /// A key as a path: slashes stay.
  static func path(_ text: String) -> String { encode(text, keepsSlash: true) }
  /// A name or value of a query.
  static func query(_ text: String) -> String { encode(text, keepsSlash: false) }

  private static func encode(_ text: String, keepsSlash: Bool) -> String {
    let digits = Array("0123456789ABCDEF".utf8)
    var out: [UInt8] = []
    out.reserveCapacity(text.utf8.count + 16)
    for byte in text.utf8 {
      switch byte {
      case 48...57, 65...90, 97...122, UInt8(ascii: "-"), UInt8(ascii: "."), UInt8(ascii: "_"), UInt8(ascii: "~"):
        out.append(byte)
      case UInt8(ascii: "/") where keepsSlash: out.append(byte)
      default: out += [UInt8(ascii: "%"), digits[Int(byte >> 4)], digits[Int(byte & 15)]]
      }
    }
    return String(decoding: out, as: UTF8.self)
  }
}
