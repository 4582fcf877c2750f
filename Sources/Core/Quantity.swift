/// Durations and sizes as people write them, in configuration and script limits.
public enum Quantity {
  /// `90`, `90s`, `1.5m`, `2h`, `500ms` as seconds; nil for anything else or a negative value.
  public static func seconds(_ text: String) -> Double? {
    scaled(text, ["": 1, "ms": 0.001, "s": 1, "m": 60, "h": 3600, "d": 86400])
  }

  /// `1024`, `64KiB`, `10MB`, `4GiB` as bytes; nil for anything else, a negative value or one beyond 2^53.
  public static func bytes(_ text: String) -> Int? {
    let units: [String: Double] = [
      "": 1, "B": 1, "KB": 1e3, "MB": 1e6, "GB": 1e9, "TB": 1e12, "KiB": 1024, "MiB": 1_048_576, "GiB": 1_073_741_824,
      "TiB": 1_099_511_627_776,
    ]
    return scaled(text, units).flatMap { $0 <= 9e15 ? Int($0) : nil }
  }

  private static func scaled(_ text: String, _ units: [String: Double]) -> Double? {
    let digits = text.prefix { $0.isASCII && ($0.isNumber || $0 == ".") }
    let unit = text.dropFirst(digits.count).drop { $0 == " " }
    guard let value = Double(digits), let factor = units[String(unit)] else { return nil }
    return value * factor
  }

  /// 1536 as `1.5 KiB`.
  public static func text(bytes: Int) -> String {
    var value = Double(bytes)
    for unit in ["B", "KiB", "MiB", "GiB"] {
      if abs(value) < 1024 { return unit == "B" ? "\(bytes) B" : "\((value * 10).rounded() / 10) \(unit)" }
      value /= 1024
    }
    return "\((value * 10).rounded() / 10) TiB"
  }
}
