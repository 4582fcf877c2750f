import Columnar
import Compute
import Core
import Testing

@Suite struct GroupSortTests {
  /// Random keys of several types with nulls: groups are numbered by first appearance, as a dictionary of row texts does it.
  @Test(arguments: 0..<5) func groupsEqualADictionary(_ which: Int) throws {
    var random = Repeatable(state: UInt64(which))
    let n = 5000
    let ints = try Column.int64((0..<n).map { _ in random.chance(5) ? nil : random.int(-40...40) })
    let texts = try Column.utf8(
      (0..<n).map { _ in random.chance(5) ? nil : ["", "a", "ab", "ü", "a long key of a row"][Int(random.int(0...4))] })
    let floats = try Column.float64((0..<n).map { _ in [nil, 0.0, -0.0, .nan, 1.5, -Double.nan][Int(random.int(0...5))] })
    let bools = try Column.bool((0..<n).map { _ in [nil, true, false][Int(random.int(0...2))] })
    let vectors = Column.vectors(
      .uint8, size: 2, count: n, buffer: try Buffer((0..<2 * n).map { _ in UInt8(random.int(0...3)) }))
    let keys = [[ints], [texts], [floats], [ints, texts, bools], [vectors, floats]][which]
    let table = GroupTable(types: keys.map(\.type))
    var ids: [Int32] = []
    for start in stride(from: 0, to: n, by: 777) {
      let length = min(777, n - start)
      ids += try table.insert(keys.map { $0.slice(start, length) }, count: length)
    }
    var seen: [String: Int32] = [:]
    var firsts: [Int] = []
    for i in 0..<n {
      let text = keys.map { c in
        c.isValid(i) && c.type == .float64
          ? "\(c.values(of: Double.self)[i].isNaN ? "nan" : "\(c.values(of: Double.self)[i] + 0)")" : c.json(i).text()
      }.joined(separator: "|")
      if seen[text] == nil {
        seen[text] = Int32(seen.count)
        firsts.append(i)
      }
      #expect(ids[i] == seen[text], "row \(i): \(text)")
    }
    #expect(table.count == seen.count)
    let made = try table.keys()
    for (g, row) in firsts.enumerated() {
      for (k, key) in keys.enumerated() where key.type != .float64 { #expect(made[k].json(g) == key.json(row)) }
    }
    #expect(try table.find(keys, count: n) == ids)
    #expect(try table.find([try Column.int64([1000])], count: 1) == [-1] || which != 0)
  }

  @Test func manyGroups() throws {
    let n = 300_000
    let column = try Column.int64((0..<Int64(n)).map { $0 &* 7919 })
    let table = GroupTable(types: [.int64])
    #expect(try table.insert([column], count: n) == (0..<Int32(n)).map { $0 })
    #expect(try table.insert([column], count: n) == (0..<Int32(n)).map { $0 })
  }

  /// Sorting is stable and equals Swift's sort with a row comparison, for small and large inputs.
  @Test(arguments: [10, 400, 3000]) func sortEqualsComparison(_ n: Int) throws {
    var random = Repeatable(state: UInt64(n))
    let a = (0..<n).map { _ -> Int64? in random.chance(10) ? nil : random.int(-5...5) }
    let b = (0..<n).map { _ -> String? in
      random.chance(10) ? nil : ["x", "xy", "", "aaaaaaaaab", "aaaaaaaaac"][Int(random.int(0...4))]
    }
    let c = (0..<n).map { _ -> Double? in [nil, .nan, -1, 0, .infinity, -.infinity, 2.5][Int(random.int(0...6))] }
    for (descending, nullsFirst) in [(false, false), (true, false), (false, true), (true, true)] {
      let order = try Sorting.indices(
        [
          SortColumn(try .int64(a), descending: descending, nullsFirst: nullsFirst),
          SortColumn(try .utf8(b), descending: !descending),
          SortColumn(try .float64(c)),
        ], count: n)
      func compare<T>(_ x: T?, _ y: T?, _ less: (T, T) -> Bool, _ descending: Bool, _ nullsFirst: Bool) -> Bool? {
        switch (x, y) {
        case (nil, nil): return nil
        case (nil, _): return nullsFirst
        case (_, nil): return !nullsFirst
        case (let x?, let y?): return less(x, y) ? !descending : less(y, x) ? descending : nil
        }
      }
      let expected = (0..<n).sorted { i, j in
        if let r = compare(a[i], a[j], { $0 < $1 }, descending, nullsFirst) { return r }
        if let r = compare(b[i], b[j], { Array($0.utf8).lexicographicallyPrecedes(Array($1.utf8)) }, !descending, false) {
          return r
        }
        if let r = compare(c[i], c[j], { $0 < $1 || ($1.isNaN && !$0.isNaN) }, false, false) { return r }
        return i < j
      }
      #expect(order.map { Int($0) } == expected)
    }
  }

  static let values: [Double?] = [3, nil, 1, 4, 1, 5, nil, 9, 2, 6]
  static let groups: [Int32] = [0, 0, 1, 0, 1, 1, 1, 0, 2, 2]

  func run(_ aggregate: Aggregate, _ column: Column?, split: Int) throws -> [JSONValue] {
    // In two parts whose groups have other numbers, as parallel parts do.
    let whole = try aggregate.accumulator(column?.type)
    var mapping: [Int32] = []
    for part in [0..<split, split..<10] {
      let state = try aggregate.accumulator(column?.type)
      var local: [Int32: Int32] = [:]
      var ids: [Int32] = []
      for i in part {
        let g = Self.groups[i]
        if local[g] == nil { local[g] = Int32(local.count) }
        ids.append(local[g] ?? 0)
      }
      mapping = local.sorted { $0.value < $1.value }.map(\.key)
      try state.update(column?.slice(part.lowerBound, part.count), ids, groups: local.count)
      try whole.merge(state, mapping, groups: 3)
    }
    return rows(try whole.finish(groups: 3))
  }

  @Test(arguments: [0, 1, 4, 9, 10]) func aggregatesOverParts(_ split: Int) throws {
    let x = try Column.float64(Self.values)
    let i = try Column.int64(Self.values.map { $0.map { Int64($0) } })
    let s = try Column.utf8(Self.values.map { $0.map { "v\(Int($0))" } })
    let b = try Column.bool(Self.values.map { $0.map { $0 > 2 } })
    #expect(try run(.count, nil, split: split) == [4, 4, 2])
    #expect(try run(.count, x, split: split) == [3, 3, 2])
    #expect(try run(.sum, x, split: split) == [.double(16), .double(7), .double(8)])
    #expect(try run(.sum, i, split: split) == [16, 7, 8])
    #expect(try run(.sum, b, split: split) == [3, 1, 1])
    #expect(try run(.mean, i, split: split).map { $0.doubleValue ?? 0 }.map { ($0 * 1000).rounded() } == [5333, 2333, 4000])
    #expect(try run(.min, i, split: split) == [3, 1, 2])
    #expect(try run(.max, x, split: split) == [.double(9), .double(5), .double(6)])
    #expect(try run(.min, s, split: split) == ["v3", "v1", "v2"])
    #expect(try run(.max, s, split: split) == ["v9", "v5", "v6"])
    #expect(
      try run(.variance, x, split: split).map { (($0.doubleValue ?? 0) * 1e6).rounded() } == [10_333_333, 5_333_333, 8_000_000])
    #expect(
      try run(.std, x, split: split).map { (($0.doubleValue ?? 0) * 1e6).rounded() } == [3_214_550, 2_309_401, 2_828_427])
    #expect(try run(.median, i, split: split) == [.double(4), .double(1), .double(4)])
    #expect(try run(.quantile(0.25), i, split: split) == [3.5, .double(1), .double(3)])
    #expect(try run(.nUnique, i, split: split) == [4, 3, 2])
    #expect(try run(.first, s, split: split) == ["v3", "v1", "v2"])
    #expect(try run(.last, s, split: split) == ["v9", nil, "v6"])
    #expect(try run(.list, i, split: split) == [[3, nil, 4, 9], [1, 1, 5, nil], [2, 6]])
    #expect(try run(.any, b, split: split) == [true, true, true])
    #expect(try run(.all, b, split: split) == [true, false, false])
  }

  @Test func aggregatesOfNothing() throws {
    func over(_ aggregate: Aggregate, _ type: DataType) throws -> JSONValue {
      try aggregate.accumulator(type).finish(groups: 1).json(0)
    }
    #expect(try over(.sum, .int64) == 0)
    #expect(try over(.mean, .int64) == nil)
    #expect(try over(.min, .utf8) == nil)
    #expect(try over(.std, .float64) == nil)
    #expect(try over(.median, .float64) == nil)
    #expect(try over(.first, .utf8) == nil)
    #expect(try over(.list, .int64) == [])
    #expect(try over(.any, .bool) == false)
    #expect(try over(.all, .bool) == true)
    #expect(try over(.nUnique, .utf8) == 0)
    #expect(message { _ = try Aggregate.sum.accumulator(.utf8) } == "sum does not take String values")
    let big = try Aggregate.sum.accumulator(.int64)
    try big.update(try .int64([.max, .max]), [0, 0], groups: 1)
    #expect(
      message { _ = try big.finish(groups: 1) }
        == "a sum of 18446744073709551614 does not fit Int64; cast the column to f64 first")
    let nan = try Aggregate.max.accumulator(.float64)
    try nan.update(try .float64([.nan, 1, .nan]), [0, 0, 1], groups: 2)
    let result = try nan.finish(groups: 2)
    #expect(result.values(of: Double.self)[0] == 1 && result.values(of: Double.self)[1].isNaN)
  }
}
