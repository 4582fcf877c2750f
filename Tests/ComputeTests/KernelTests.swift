import Columnar
import Compute
import Core
import Testing

/// A repeatable stream of numbers (splitmix64).
struct Repeatable {
  var state: UInt64
  mutating func next() -> UInt64 {
    state &+= 0x9E37_79B9_7F4A_7C15
    var z = state
    z = (z ^ (z >> 30)) &* 0xBF58_476D_1CE4_E5B9
    z = (z ^ (z >> 27)) &* 0x94D0_49BB_1331_11EB
    return z ^ (z >> 31)
  }
  mutating func int(_ range: ClosedRange<Int64>) -> Int64 {
    range.lowerBound + Int64(next() % UInt64(range.upperBound - range.lowerBound + 1))
  }
  mutating func chance(_ percent: UInt64) -> Bool { next() % 100 < percent }
}

func rows(_ column: Column) -> [JSONValue] { (0..<column.count).map { column.json($0) } }
func rows(_ operand: Operand) throws -> [JSONValue] { rows(try operand.expanded()) }
func message(_ body: () throws -> Void) -> String {
  do {
    try body()
    return "no failure"
  } catch { return (error as? Failure).map { f in f.message + (f.place.map { " (\($0))" } ?? "") } ?? "\(error)" }
}

@Suite struct KernelTests {
  /// Every operator on random columns with nulls, slices and constants equals the row-by-row definition.
  @Test(arguments: ArithmeticOperator.allCases) func arithmeticEqualsRowLoops(_ op: ArithmeticOperator) throws {
    var random = Repeatable(state: 7)
    let n = 203
    let a = (0..<n).map { _ -> Int64? in random.chance(10) ? nil : random.int(-50...50) }
    let b = (0..<n).map { _ -> Int64? in random.chance(10) ? nil : random.int(-5...5) }
    let (x, y) = (try Column.int64(a).slice(3, 200), try Column.int64(b).slice(3, 200))
    let result = try Arithmetic.apply(op, Operand(x), Operand(y)).column
    try result.validated()
    for i in 0..<200 {
      var expected = JSONValue.null
      if let l = a[i + 3], let r = b[i + 3] {
        let (d, e) = (Double(l), Double(r))
        switch op {
        case .add: expected = .int(l + r)
        case .subtract: expected = .int(l - r)
        case .multiply: expected = .int(l * r)
        case .divide: expected = .double(d / e)
        case .floorDivide: expected = r == 0 ? .null : .int(Int64((d / e).rounded(.down)))
        case .modulo: expected = r == 0 ? .null : .int(l - Int64((d / e).rounded(.down)) * r)
        case .power: expected = .double(pow10(d, Int(r)))
        }
      }
      let got = result.json(i)
      if case .double(let want) = expected, case .double(let have) = got {
        #expect(have == want || (have.isNaN && want.isNaN) || abs(have - want) <= 1e-12 * abs(want), "row \(i)")
      } else {
        #expect(got == expected, "row \(i): \(String(describing: a[i + 3])) \(op.rawValue) \(String(describing: b[i + 3]))")
      }
    }
    // A constant on either side equals the same column repeated.
    let three = try Column.int64([3])
    let full = try Operand(constant: three, count: 200).expanded()
    #expect(
      try rows(Arithmetic.apply(op, Operand(x), Operand(constant: three, count: 200)))
        == rows(Arithmetic.apply(op, Operand(x), Operand(full))))
    #expect(
      try rows(Arithmetic.apply(op, Operand(constant: three, count: 200), Operand(y)))
        == rows(Arithmetic.apply(op, Operand(full), Operand(y))))
  }

  private func pow10(_ x: Double, _ n: Int) -> Double {
    var result = 1.0
    for _ in 0..<abs(n) { result *= x }
    return n < 0 ? 1 / result : result
  }

  @Test func overflowIsNamedAndNullSlotsDoNotCount() throws {
    let a = Operand(try Column.uint8([1, 200, nil]))
    let hundred = Operand(constant: try Column.uint8([100]), count: 3)
    #expect(
      message { _ = try Arithmetic.apply(.add, a, hundred) }
        == "200 + 100 does not fit UInt8; cast to a wider type first (row 2)")
    // A null row whose slot holds a value that would overflow.
    let slot = try Buffer([1, 255] as [UInt8])
    let hidden = Column(type: .uint8, count: 2, validity: try Buffer([1] as [UInt8]), buffers: [slot])
    #expect(try rows(Arithmetic.apply(.add, Operand(hidden), Operand(constant: try .uint8([1]), count: 2))) == [2, nil])
    #expect(
      message { _ = try Arithmetic.apply(.floorDivide, Operand(try .int64([.min])), Operand(try .int64([-1]))) }
        == "-9223372036854775808 // -1 does not fit Int64; cast to a wider type first (row 1)")
    #expect(try rows(Arithmetic.apply(.modulo, Operand(try .int64([.min])), Operand(try .int64([-1])))) == [0])
  }

  @Test func typesMeetAsDocumented() {
    #expect(Promotion.common(.int8, .int32) == .int32)
    #expect(Promotion.common(.uint8, .int8) == .int16)
    #expect(Promotion.common(.uint32, .int32) == .int64)
    #expect(Promotion.common(.float32, .uint8) == .float32)
    #expect(Promotion.common(.float32, .int32) == .float64)
    #expect(Promotion.common(.utf8, .int8) == nil)
    #expect(Promotion.arithmetic(.divide, .uint8, .uint8) == .float64)
    #expect(Promotion.arithmetic(.divide, .float32, .float32) == .float32)
    #expect(Promotion.arithmetic(.add, .vector(.uint8, 4), .float32) == .vector(.float32, 4))
    #expect(Promotion.arithmetic(.add, .vector(.uint8, 4), .vector(.uint8, 5)) == nil)
  }

  /// The main step of the MNIST cleaning: bytes to floats, scaled, 2 x 2 lists made flat.
  @Test func imagesAreScaledAndFlattened() throws {
    let inner = Column.vectors(.uint8, size: 2, count: 6, buffer: try Buffer((0..<12).map { UInt8($0 * 20) }))
    let images = Column(type: .vector(inner.type, 2), count: 3, buffers: [], children: [inner]).slice(1, 2)
    let flat = try Lists.flatten(Operand(images))
    #expect(flat.type == .vector(.uint8, 4))
    let scaled = try Arithmetic.apply(
      .divide, Operand(try Cast.cast(flat.column, to: .vector(.float32, 4))), Operand(constant: try .float32([255]), count: 2))
    #expect(scaled.type == .vector(.float32, 4))
    for row in 0..<2 {
      let got = scaled.column.json(row).arrayValue?.compactMap { $0.doubleValue.map { Float($0) } } ?? []
      #expect(got == (0..<4).map { Float(UInt8(4 + row * 4 + $0) * 20) / 255 })
    }
    #expect(
      message {
        _ = try Arithmetic.apply(.add, flat, Operand(constant: try .uint8([100]), count: 2))
      } == "160 + 100 does not fit UInt8; cast to a wider type first (element 1 of the list) (row 2)")
    #expect(try rows(Lists.reduce(.sum, flat)) == [440, 760])
    #expect(try rows(Lists.reduce(.mean, flat)) == [.double(110), .double(190)])
    #expect(try rows(Lists.get(flat, -1)) == [140, 220])
    #expect(try rows(Lists.length(Operand(images))) == [2, 2])
  }

  @Test(arguments: ComparisonOperator.allCases) func comparisonsEqualRowLoops(_ op: ComparisonOperator) throws {
    let a: [Double?] = [1, 2, nil, .nan, 3, -0.0, .infinity, 8, 9]
    let b: [Double?] = [1, 3, 1, .nan, nil, 0, 5, 8, -9]
    func test(_ x: Double, _ y: Double) -> Bool {
      switch op {
      case .equal: x == y
      case .notEqual: x != y
      case .less: x < y
      case .lessOrEqual: x <= y
      case .greater: x > y
      case .greaterOrEqual: x >= y
      }
    }
    let expected = zip(a, b).map { x, y -> JSONValue in x.flatMap { x in y.map { .bool(test(x, $0)) } } ?? .null }
    #expect(try rows(Comparison.apply(op, Operand(try .float64(a)), Operand(try .float64(b)))) == expected)
    let words: [String?] = ["a", "b", nil, "", "ab", "é", "z"]
    let others: [String?] = ["a", "a", "x", "a", nil, "e", "zz"]
    func order(_ x: String, _ y: String) -> Bool {
      let (p, q) = (Array(x.utf8), Array(y.utf8))
      let less = p.lexicographicallyPrecedes(q)
      switch op {
      case .equal: return p == q
      case .notEqual: return p != q
      case .less: return less
      case .lessOrEqual: return less || p == q
      case .greater: return !less && p != q
      case .greaterOrEqual: return !less
      }
    }
    #expect(
      try rows(Comparison.apply(op, Operand(try .utf8(words)), Operand(try .utf8(others, type: .largeUtf8))))
        == zip(words, others).map { x, y in x.flatMap { x in y.map { .bool(order(x, $0)) } } ?? .null })
    // int column against a fraction, constant on both sides
    let half = Operand(constant: try .float64([2.5]), count: 3)
    #expect(
      try rows(Comparison.apply(op, Operand(try .int32([2, 3, nil])), half)) == [.bool(test(2, 2.5)), .bool(test(3, 2.5)), nil])
    #expect(
      try rows(Comparison.apply(op, half, Operand(try .int32([2, 3, nil])))) == [.bool(test(2.5, 2)), .bool(test(2.5, 3)), nil])
  }

  @Test func logicIsKleene() throws {
    let values: [Bool?] = [true, false, nil]
    let a = values.flatMap { x in values.map { _ in x } }
    let b = values.flatMap { _ in values }
    let (x, y) = (Operand(try Column.bool([nil] + a).slice(1, 9)), Operand(try .bool(b)))
    #expect(try rows(Logic.and(x, y)) == [true, false, nil, false, false, false, nil, false, nil])
    #expect(try rows(Logic.or(x, y)) == [true, true, true, true, false, nil, true, nil, nil])
    #expect(try rows(Logic.xor(x, y)) == [false, true, nil, true, false, nil, nil, nil, nil])
    #expect(try rows(Logic.not(x)) == [false, false, false, true, true, true, nil, nil, nil])
    #expect(try rows(Logic.and(x, Operand(constant: try .bool([false]), count: 9))) == [JSONValue](repeating: false, count: 9))
    #expect(
      message { _ = try Logic.and(x, Operand(try .int64([1]))) }
        == "Boolean & Int64 is not possible: both sides must be Boolean")
  }

  @Test func castsAreChecked() throws {
    #expect(message { _ = try Cast.cast(try .int64([1, 300]), to: .uint8) } == "300 does not fit UInt8 (row 2)")
    #expect(message { _ = try Cast.cast(try .int64([-1]), to: .uint64) } == "-1 does not fit UInt64 (row 1)")
    #expect(message { _ = try Cast.cast(try .float64([1, .nan]), to: .int32) } == "nan does not fit Int32 (row 2)")
    #expect(
      message { _ = try Cast.cast(try .float64([0x1p63]), to: .int64) } == "9.223372036854776e+18 does not fit Int64 (row 1)")
    #expect(try rows(Cast.cast(try .float64([-0x1p63]), to: .int64)) == [.int(.min)])
    #expect(try rows(Cast.cast(try .float64([2.9, -2.9, -0.5]), to: .uint8, lenient: true)) == [2, nil, 0])
    #expect(message { _ = try Cast.cast(try .utf8(["1", "x2"]), to: .int64) } == "'x2' cannot be read as Int64 (row 2)")
    #expect(
      try rows(Cast.cast(try .utf8(["1", " 2", "", "9223372036854775808", "-5", nil]), to: .int64, lenient: true)) == [
        1, nil, nil, nil, -5, nil,
      ])
    #expect(
      try rows(Cast.cast(try .utf8(["1.5", "-0.25", "1e3", "0x10", "."]), to: .float64, lenient: true)) == [
        1.5, -0.25, .double(1000), nil, nil,
      ])
    #expect(
      try rows(Cast.cast(try .utf8(["2024-02-29", "2023-02-29", "x"]), to: .date32, lenient: true)) == ["2024-02-29", nil, nil])
    #expect(
      try rows(
        Cast.cast(try .utf8(["2024-02-29 01:02:03.5", "1969-12-31T23:59:59Z"]), to: .timestamp(.microsecond, timeZone: nil)))
        == ["2024-02-29T01:02:03.500000Z", "1969-12-31T23:59:59Z"])
    #expect(try rows(Cast.cast(try .float64([1, 0.1]), to: .utf8)) == ["1.0", "0.1"])
    #expect(try rows(Cast.cast(try .bool([true, nil]), to: .float32)) == [.double(1), nil])
    #expect(try rows(Cast.cast(try .int32([0, 5, nil]), to: .bool)) == [false, true, nil])
    #expect(message { _ = try Cast.cast(try .bool([true]), to: .date32) } == "Boolean cannot be cast to Date")
    let lists = try Column.list(try .int64([1, 2, 300, 4]), lengths: [2, nil, 2])
    #expect(
      message { _ = try Cast.cast(lists, to: .list(Field("item", .uint8))) } == "300 does not fit UInt8 (in a list) (row 3)")
    #expect(
      try rows(Cast.cast(lists, to: .vector(.float32, 2))) == [[.double(1), .double(2)], nil, [.double(300), .double(4)]])
    #expect(
      message { _ = try Cast.cast(lists, to: .vector(.float32, 3)) }
        == "a list of 2 items does not fit FixedSizeList[Float32, 3] (row 1)")
    #expect(
      try rows(Cast.cast(try Cast.cast(try .utf8(["a", nil, "bc"]).slice(1, 2), to: .largeUtf8), to: .utf8)) == [nil, "bc"])
  }

  /// Reading back what was written gives the same double, for 20,000 random bit patterns and short decimals.
  @Test func doublesSurviveText() throws {
    var random = Repeatable(state: 3)
    var values: [Double] = (0..<20000).map { _ in Double(bitPattern: random.next()) }.filter(\.isFinite)
    values += (0..<20000).map { _ in Double(random.int(-99_999_999...99_999_999)) / 1e4 }
    let column = try Column.float64(values)
    let back = try Cast.cast(try Cast.cast(column, to: .utf8), to: .float64)
    #expect(Array(back.values(of: Double.self)) == values)
  }

  @Test func strings() throws {
    let a = Operand(try Column.utf8(["x", "  Wörld \n", nil, "", "abcabc"]).slice(1, 4))
    #expect(try rows(Strings.transform(.upper, a)) == ["  WÖRLD \n", nil, "", "ABCABC"])
    #expect(try rows(Strings.transform(.lower, a)) == ["  wörld \n", nil, "", "abcabc"])
    #expect(try rows(Strings.transform(.strip, a)) == ["Wörld", nil, "", "abcabc"])
    #expect(try rows(Strings.transform(.stripStart, a)) == ["Wörld \n", nil, "", "abcabc"])
    #expect(try rows(Strings.transform(.stripEnd, a)) == ["  Wörld", nil, "", "abcabc"])
    func constant(_ s: String) throws -> Operand { Operand(constant: try .utf8([s]), count: 4) }
    #expect(try rows(Strings.test(.contains, a, constant("bca"))) == [false, nil, false, true])
    #expect(try rows(Strings.test(.startsWith, a, constant("abc"))) == [false, nil, false, true])
    #expect(try rows(Strings.test(.endsWith, a, constant(""))) == [true, nil, true, true])
    #expect(try rows(Strings.replace(a, old: "bc", new: "-")) == ["  Wörld \n", nil, "", "a-a-"])
    #expect(try rows(Strings.replace(a, old: "", new: "-")) == ["  Wörld \n", nil, "", "abcabc"])
    #expect(try rows(Strings.slice(a, start: 3, length: 3)) == ["Wör", nil, "", "cab"])
    #expect(try rows(Strings.slice(a, start: -2, length: nil)) == [" \n", nil, "", "bc"])
    #expect(try rows(Strings.slice(a, start: -100, length: 95)) == ["  Wö", nil, "", "a"])
    #expect(
      message { _ = try Strings.slice(a, start: 0, length: 1) } == "slice: positions count from 1 (-1 is the last), not from 0")
    #expect(try rows(Strings.length(a)) == [9, nil, 0, 6])
    #expect(try rows(Strings.length(a, bytes: true)) == [10, nil, 0, 6])
    #expect(
      try rows(Strings.concat([a, constant("!"), a], separator: "/")) == [
        "  Wörld \n/!/  Wörld \n", nil, "/!/", "abcabc/!/abcabc",
      ])
    #expect(try rows(Strings.split(a, separator: "c")) == [["  Wörld \n"], nil, [""], ["ab", "ab", ""]])
    #expect(message { _ = try Strings.length(Operand(try .int64([1]))) } == "length needs a String, not Int64")
  }

  @Test func nullsConditionalsAndMembership() throws {
    let a = Operand(try Column.int64([1, nil, 3, nil]))
    #expect(try rows(Nulls.isNull(a)) == [false, true, false, true])
    #expect(try rows(Nulls.isNull(a, inverted: true)) == [true, false, true, false])
    let zero = Operand(constant: try .int64([0]), count: 4)
    #expect(try rows(Nulls.coalesce([a, Operand(try .int64([9, 8, 7, nil])), zero])) == [1, 8, 3, 0])
    let nan = Operand(try Column.float64([.nan, nil, 1, .infinity]))
    #expect(try rows(Nulls.isNaN(nan)) == [true, nil, false, false])
    #expect(try rows(Nulls.isFinite(nan)) == [false, nil, true, false])
    let big = try Comparison.apply(.greater, a, Operand(constant: try .int64([2]), count: 4))
    #expect(
      try rows(
        Conditional.when([(big, a), (try Nulls.isNull(a), zero)], otherwise: Operand(constant: try .int64([-1]), count: 4)))
        == [-1, 0, 3, 0])
    #expect(try rows(Membership.isIn(a, try .int64([3, 4, nil]))) == [false, nil, true, nil])
    #expect(try rows(Membership.isIn(Operand(try .utf8(["a", "b", nil])), try .utf8(["b"]))) == [false, true, nil])
    #expect(try rows(Membership.isIn(a, try .float64([1, 2.5]))) == [true, nil, false, nil])
  }

  @Test func numericFunctions() throws {
    let a = Operand(try Column.float64([-2.5, 2.5, nil, 0.125, .nan]))
    #expect(try rows(Math.apply(.abs, a))[0..<4] == [2.5, 2.5, nil, 0.125])
    #expect(try rows(Math.round(a, digits: 0))[0..<4] == [.double(-3), .double(3), nil, .double(0)])
    #expect(try rows(Math.round(a, digits: 2))[0..<4] == [-2.5, 2.5, nil, 0.13])
    #expect(try rows(Math.round(Operand(try .int64([149, -150])), digits: -2)) == [100, -200])
    #expect(try rows(Math.apply(.floor, a))[0..<4] == [.double(-3), .double(2), nil, .double(0)])
    #expect(try rows(Math.clip(a, low: -1, high: 1))[0..<4] == [.double(-1), .double(1), nil, 0.125])
    #expect(try rows(Math.clip(Operand(try .uint8([0, 200])), low: 0.5, high: 99.5)) == [1, 99])
    #expect(message { _ = try Math.clip(a, low: 2, high: 1) } == "clip: 2.0 to 1.0 is an empty range")
    #expect(try rows(Math.apply(.sqrt, Operand(try .int64([9])))) == [.double(3)])
    #expect(
      message { _ = try Math.apply(.abs, Operand(try .int64([.min]))) }.hasPrefix(
        "abs(-9223372036854775808) does not fit Int64"))
    #expect(try rows(Arithmetic.negate(Operand(try .uint8([5, 255])))) == [-5, -255])
  }

  /// The hash is part of what users store (splits by hash): these values must never change.
  @Test func hashesAreFixedForever() throws {
    let numbers = try Hashing.hash(Operand(try .int64([0, 1, 2, nil])), seed: 42).column
    #expect(rows(numbers) == rows(try Hashing.hash(Operand(try .int32([0, 1, 2, nil])), seed: 42).column))
    #expect(numbers.values(of: Int64.self).allSatisfy { $0 >= 0 })
    let text = try Hashing.hash(Operand(try .utf8(["", "a", "a longer text"])), seed: 0).column
    #expect(
      Array(numbers.values(of: Int64.self)) + Array(text.values(of: Int64.self)) == KernelTests.hashes)
    // Spread: 100,000 numbers fall into 100 bins evenly (chi-square with 99 degrees of freedom, far below 1e-6).
    let many = try Hashing.hash(Operand(try .int64((0..<100_000).map { $0 })), seed: 1).column
    var bins = [Double](repeating: 0, count: 100)
    for h in many.values(of: Int64.self) { bins[Int(h % 100)] += 1 }
    #expect(bins.reduce(0) { $0 + ($1 - 1000) * ($1 - 1000) / 1000 } < 170)
  }
  static let hashes: [Int64] = [
    3_166_309_114_763_032_834, 8_766_244_108_781_592_946, 4_119_046_106_699_552_547, 7_357_198_933_319_491_097,
    6_017_775_124_710_473_527, 770_381_289_691_708_311, 4_875_225_317_563_750_763,
  ]

  @Test func typeNamesAreRead() throws {
    for (text, type) in [
      ("f32", DataType.float32), ("Int64", .int64), ("u8[784]", .vector(.uint8, 784)),
      ("fixed_size_list<u8>[28]", .vector(.uint8, 28)),
      ("list<string>", .list(Field("item", .utf8))), ("timestamp[us, UTC]", .timestamp(.microsecond, timeZone: "UTC")),
      ("f32[2][3]", .vector(.vector(.float32, 2), 3)), ("FixedSizeList[Float32, 784]", .vector(.float32, 784)),
      ("FixedSizeList[FixedSizeList[UInt8, 28], 28]", .vector(.vector(.uint8, 28), 28)),
      ("List[Float64]", .list(Field("item", .float64))),
    ] { #expect(try DataType(parsing: text) == type) }
    #expect(message { _ = try DataType(parsing: "f23") }.hasPrefix("unknown type 'f23'; did you mean 'f32'?"))
    for wrong in ["", "[3]", "f32[-1]", "list<>", "timestamp[x]", "f32[99999999999]", "FixedSizeList[Float32]"] {
      #expect(throws: Failure.self) { try DataType(parsing: wrong) }
    }
  }
}
