import Core
package import LuaHost
import TensorKernels
package import Tensors

/// `_batch`: batches of rows, made now or beside the script. `LuaLib/data` makes loaders and augmentation of it.
package enum BatchFaces {
  package static let module = Module(
    "_batch", "For LuaLib's data only: batches of rows and steps for pictures.",
    [
      Fn(
        "recipe",
        "fun(columns: table<string, Tensor>, pictures?: {column: string, size?: integer[], steps: table}): BatchRecipe",
        "What batches are made of: columns, and the steps for the pictures of one of them."
      ) { call in
        var columns: [(name: String, tensor: Tensor)] = []
        try call.forEachPair(1) {
          guard call.isString(-2) else { throw call.bad(1, "names must be strings, got \(call.typeName(-2))") }
          columns.append((try call.string(-2), try call.tensor(-1)))
        }
        columns.sort { $0.name < $1.name }
        guard !call.isNil(2) else { return try call.push(object: BatchRecipe(columns)) }
        let options = try call.options(2)
        guard let column = try options.string("column"), let list = try options.json("steps") else {
          throw call.bad(2, "column and steps are needed")
        }
        let steps = try (list.arrayValue ?? []).map { try step($0) }
        return try call.push(
          object: BatchRecipe(columns, pictures: [column: .init(steps: steps, size: options.integers("size"))]))
      },
      Fn(
        "make",
        "fun(recipe: BatchRecipe, order: Tensor?, first: integer, length: integer, seed: integer, number: integer): table<string, Tensor>",
        "Rows first, first + 1, ... of an order (nil: their own) as a batch; number: of its first picture in the training."
      ) { call in try push(try job(call).finish(), call) },
      Fn(
        "begin",
        "fun(recipe: BatchRecipe, order: Tensor?, first: integer, length: integer, seed: integer, number: integer): BatchJob",
        "As make, on a thread beside the script."
      ) { call in
        let job = try job(call)
        job.begin()
        return try call.push(object: job)
      },
      Fn("finish", "fun(job: BatchJob): table<string, Tensor>", "The batch that was begun.") { call in
        let batch = try call.object(1, as: BatchJob.self).finish()
        call.setBytes(1, 64)
        return try push(batch, call)
      },
      Fn("give_up", "fun(job: BatchJob)", "Nobody wants the batch that was begun.") { call in
        try call.object(1, as: BatchJob.self).giveUp()
        return 0
      },
    ], types: [BatchRecipe.luaType, BatchJob.luaType])

  private static func job(_ call: borrowing Call) throws -> BatchJob {
    let recipe = try call.object(1, as: BatchRecipe.self)
    let (first, length) = (try call.integer(3), try call.integer(4))
    let order = try call.optionalTensor(2)
    let count = order?.count ?? recipe.rows
    guard first >= 1, length >= 0, first <= count + 1, length <= count - first + 1 else {
      throw call.bad(3, "rows \(first) to \(first &+ length &- 1) are not in 1..\(count)")
    }
    var rows = [Int64](unsafeUninitializedCapacity: length) { buffer, filled in
      for i in 0..<length { buffer.initializeElement(at: i, to: Int64(first - 1 + i)) }
      filled = length
    }
    if let order {
      guard order.dtype == .i64, order.rank == 1, order.isContiguous else {
        throw call.bad(2, "a row of i64 expected, got \(order.dtype) \(Shape.text(order.shape))")
      }
      let positions = order.pointer.assumingMemoryBound(to: Int64.self)
      for i in 0..<length { rows[i] = positions[first - 1 + i] &- 1 }
    }
    return try BatchJob(
      recipe, rows: rows, seed: UInt64(bitPattern: Int64(try call.integer(5))),
      firstNumber: UInt64(bitPattern: Int64(try call.integer(6))))
  }

  private static func push(_ batch: [(name: String, tensor: Tensor)], _ call: borrowing Call) throws -> Int32 {
    try call.pushTable(fields: batch.count) { t in
      for (name, tensor) in batch { try t.set(name) { try $0.push(tensor) } }
    }
  }

  /// A step as `LuaLib/data/augment.lua` writes it.
  private static func step(_ value: JSONValue) throws(Failure) -> ImageStep {
    let kind = value["kind"]?.stringValue ?? "?"
    func bad(_ why: String) -> Failure { Failure(.invalidArgument, "augment.\(kind): \(why)") }
    func number(_ key: String, _ range: ClosedRange<Double>, _ standard: Double? = nil) throws(Failure) -> Double {
      guard let found = value[key]?.doubleValue ?? standard else { throw bad("'\(key)' must be a number") }
      guard range.contains(found) else {
        throw bad("'\(key)' must be \(range.lowerBound) to \(range.upperBound), got \(found)")
      }
      return found
    }
    func whole(_ key: String, least: Int) throws(Failure) -> Int {
      guard let found = value[key]?.intValue, found >= Int64(least), found <= Int64(ImagePlan.largest) else {
        throw bad("'\(key)' must be a whole number of \(least) to \(ImagePlan.largest)")
      }
      return Int(found)
    }
    func numbers(_ key: String) throws(Failure) -> [Double] {
      let list = value[key]?.arrayValue ?? value[key].map { [$0] } ?? []
      var out: [Double] = []
      for item in list {
        guard let number = item.doubleValue, number.isFinite else { throw bad("'\(key)' must be numbers") }
        out.append(number)
      }
      guard !out.isEmpty else { throw bad("'\(key)' is needed") }
      return out
    }
    func span(_ key: String, within: ClosedRange<Double>, _ standard: Double) throws(Failure) -> ClosedRange<Double> {
      guard value[key] != nil else { return standard...standard }
      let both = try numbers(key)
      guard both.count == 2, both[0] <= both[1], within.contains(both[0]), within.contains(both[1]) else {
        throw bad("'\(key)' must be {low, high} within \(within.lowerBound) to \(within.upperBound)")
      }
      return both[0]...both[1]
    }
    let fill = Float(try number("fill", -1e30...1e30, 0))
    let pixels = Double(-ImagePlan.largest)...Double(ImagePlan.largest)
    switch kind {
    case "warp":
      return .warp(
        degrees: try span("degrees", within: -3600...3600, 0), zoom: try span("zoom", within: 0.001...1000, 1),
        down: try span("down", within: pixels, 0), right: try span("right", within: pixels, 0), fill: fill)
    case "shift": return .shift(down: try whole("down", least: 0), right: try whole("right", least: 0), fill: fill)
    case "hflip": return .flip(horizontal: true, p: try number("p", 0...1))
    case "vflip": return .flip(horizontal: false, p: try number("p", 0...1))
    case "crop":
      return .crop(
        height: try whole("height", least: 1), width: try whole("width", least: 1), padding: try whole("padding", least: 0),
        fill: fill)
    case "erase":
      return .erase(
        p: try number("p", 0...1), area: try span("area", within: 0...1, 0.1),
        ratio: try span("ratio", within: 0.001...1000, 1),
        value: fill)
    case "normalize":
      let deviation = try numbers("std")
      guard deviation.allSatisfy({ $0 > 0 }) else { throw bad("'std' must be above 0") }
      return .normalize(mean: try numbers("mean").map { Float($0) }, deviation: deviation.map { Float($0) })
    default: throw Failure(.invalidArgument, "augment: there is no step '\(kind)'")
    }
  }
}

extension BatchRecipe: LuaObject {
  package static let luaType = ObjectType("BatchRecipe", "Columns that batches are made of.", [])
}

extension BatchJob: LuaObject {
  package static let luaType = ObjectType("BatchJob", "A batch that is being made beside the script.", [])
  package var luaBytes: Int { byteCount + 64 }
}
