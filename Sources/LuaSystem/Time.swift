import Core
import LuaHost

#if canImport(Glibc)
  import Glibc
#elseif canImport(Darwin)
  import Darwin
#endif

/// `time`: clocks, RFC 3339 text, sleeping that a cancel ends.
enum LuaTime {
  static let module = Module(
    "time", "Clocks and waiting.",
    [
      Fn("now", "fun(): number", "Seconds since 1970-01-01T00:00:00Z.") { call in call.push(Instant.now.timeInterval) },
      Fn("clock", "fun(): number", "Seconds on a clock that never goes back, for durations.") { call in
        call.push(monotonicSeconds())
      },
      Fn(
        "format", "fun(seconds?: number, digits?: integer): string",
        "RFC 3339 UTC of a time (default now): `2026-02-10T10:00:00Z`."
      ) { call in
        let digits = try call.isNil(2) ? 0 : call.integer(2, in: 0...9)
        guard let seconds = try call.optionalNumber(1) else { return call.push(Instant.now.text(fractionDigits: digits)) }
        guard abs(seconds) < 2.5e11 else { throw call.bad(1, "a time in the years 0 to 9999 expected, got \(seconds)") }
        let whole = seconds.rounded(.down)
        let instant = Instant(
          seconds: Int64(whole), nanoseconds: Int32(min(999_999_999, ((seconds - whole) * 1e9).rounded(.down))))
        return call.push(instant.text(fractionDigits: digits))
      },
      Fn("parse", "fun(text: string): number", "Seconds since 1970 of RFC 3339 text in UTC.") { call in
        guard let instant = Instant(try call.string(1)) else {
          throw call.bad(1, "RFC 3339 in UTC expected, such as 2026-02-10T10:00:00Z, got \(call.describe(1))")
        }
        return call.push(instant.timeInterval)
      },
      Fn("sleep", "fun(seconds: number)", "Waits. Ends with the run's cancellation.") { call in
        let seconds = try call.number(1)
        guard seconds >= 0, seconds <= 1e9 else { throw call.bad(1, "0 to 1e9 seconds expected, got \(call.describe(1))") }
        let end = monotonicSeconds() + seconds
        while true {
          try Cancellation.check()
          let left = end - monotonicSeconds()
          if left <= 0 { return 0 }
          usleep(UInt32(min(left, 0.02) * 1e6))
        }
      },
    ])
}

/// `uuid`: random identifiers.
enum LuaUUID {
  static let module = Module(
    "uuid", "Random identifiers.",
    [Fn("new", "fun(): string", "A random version-4 UUID (RFC 9562).") { call in call.push(randomUUID()) }])
}
