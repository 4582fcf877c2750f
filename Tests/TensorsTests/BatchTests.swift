import Core
import Glibc
import TensorKernels
import Tensors
import TestSupport
import Testing

extension OpTests {
  private struct WarpCase {
    let step: ImageStep
    let shape: [Int]
    let x: [Double]
    let y: [Double]
  }

  private static let warpCases: [WarpCase] = {
    let path = #filePath.split(separator: "/").dropLast(2).joined(separator: "/")
    guard let file = fopen("/\(path)/golden/augment_golden.json", "r") else { return [] }
    defer { fclose(file) }
    var bytes: [UInt8] = []
    var part = [UInt8](repeating: 0, count: 65536)
    while case let n = fread(&part, 1, part.count, file), n > 0 { bytes += part[..<n] }
    return ((try? JSONValue(parsing: bytes))?["cases"]?.arrayValue ?? []).map { v in
      func number(_ key: String) -> ClosedRange<Double> {
        let value = v[key]?.doubleValue ?? .nan
        return value...value
      }
      func list(_ key: String) -> [Double] { (v[key]?.arrayValue ?? []).compactMap(\.doubleValue) }
      return WarpCase(
        step: .warp(degrees: number("degrees"), zoom: number("zoom"), down: number("down"), right: number("right"), fill: 0),
        shape: list("shape").map { Int($0) }, x: list("x"), y: list("y"))
    }
  }()

  @Test func warpEqualsPyTorchsGridSample() throws {
    #expect(OpTests.warpCases.count == 12)
    for (i, c) in OpTests.warpCases.enumerated() {
      let x = try Tensor.from(c.x, c.shape)
      let recipe = try BatchRecipe([("x", x)], pictures: ["x": .init(steps: [c.step])])
      let y = try BatchJob(recipe, rows: (0..<Int64(c.shape[0])).map { $0 }, seed: 0, firstNumber: 0).finish()[0].tensor
      #expect(y.shape == c.shape)
      let error = zip(try y.values(), c.y).map { abs($0 - $1) }.max() ?? .infinity
      #expect(error < 2e-5, "case \(i): off by \(error)")
    }
  }

  private func source() throws -> (images: Tensor, labels: Tensor, recipe: BatchRecipe) {
    let (images, labels) = try RandomNumbers.alone {
      RandomState.seed(3)
      return (try Tensor.uniform([300, 3, 20, 24], low: 0, high: 255).cast(.u8), try Tensor.integers([300], low: 0, high: 10))
    }
    let steps: [ImageStep] = [
      .warp(degrees: -20...20, zoom: 0.8...1.2, down: -2...2, right: -2...2, fill: 0), .shift(down: 2, right: 2, fill: 1),
      .flip(horizontal: true, p: 0.5), .flip(horizontal: false, p: 0.5), .crop(height: 18, width: 18, padding: 1, fill: 0),
      .erase(p: 0.5, area: 0.05...0.3, ratio: 0.3...3.3, value: 9), .normalize(mean: [100, 120, 140], deviation: [50]),
    ]
    return (images, labels, try BatchRecipe([("image", images), ("label", labels)], pictures: ["image": .init(steps: steps)]))
  }

  private func bytes(_ batch: [(name: String, tensor: Tensor)]) -> [UInt8] {
    batch.flatMap { pair in
      let owner = pair.tensor
      return Array(UnsafeRawBufferPointer(start: owner.pointer, count: owner.byteCount))
    }
  }

  @Test func batchesAreTheSameOnAnyThreads() throws {
    let before = Parallel.threads
    defer { Parallel.setThreads(before) }
    let (_, _, recipe) = try source()
    let order: [Int64] = try Tensor.permutation(300, seed: 1).values().map { Int64($0) }
    var whole: [UInt8]?
    for threads in 1...3 {
      Parallel.setThreads(threads)
      for isBegun in [false, true] {
        // Fifteen jobs at once beside the script, or one after the other here.
        var jobs: [BatchJob] = []
        for start in stride(from: 0, to: 300, by: 20) {
          let rows = Array(order[start..<start + 20])
          jobs.append(try BatchJob(recipe, rows: rows, seed: 8, firstNumber: UInt64(start)))
        }
        if isBegun { for job in jobs { job.begin() } }
        var image: [UInt8] = []
        var label: [UInt8] = []
        for job in jobs {
          let batch = try job.finish()
          #expect(batch.map(\.name) == ["image", "label"])
          #expect(batch[0].tensor.shape == [20, 3, 18, 18])
          image += bytes([batch[0]])
          label += bytes([batch[1]])
        }
        let one = try BatchJob(recipe, rows: order, seed: 8, firstNumber: 0).finish()
        let isWhole = bytes(one) == image + label
        let isSame = whole == nil || whole == image + label
        #expect(isWhole && isSame, "\(threads) threads, begun: \(isBegun)")
        whole = image + label
      }
    }
  }

  @Test func aStoppedBatchIsMadeWhenItIsAskedForAgain() throws {
    let (images, _, recipe) = try source()
    let rows = (0..<300).map { Int64($0) }
    let wanted = bytes(try BatchJob(recipe, rows: rows, seed: 1, firstNumber: 5).finish())
    for isBegun in [false, true] {
      let job = try BatchJob(recipe, rows: rows, seed: 1, firstNumber: 5)
      if isBegun { job.begin() }
      // The thread beside may be done already: then there is nothing to stop.
      var early: [UInt8]?
      do throws(Failure) {
        early = try Cancellation.within(stop: { true }) { () throws(Failure) in bytes(try job.finish()) }
        #expect(isBegun)
      } catch {
        #expect(error.code == .cancelled)
      }
      let got = try early ?? bytes(try job.finish())
      let isSame = got == wanted
      #expect(isSame)
    }
    let givenUp = try BatchJob(recipe, rows: rows, seed: 1, firstNumber: 5)
    givenUp.begin()
    givenUp.giveUp()
    let isSame = bytes(try givenUp.finish()) == wanted
    #expect(isSame)
    // A column that changes before the batch is handed out is read again.
    let late = try BatchJob(recipe, rows: rows, seed: 1, firstNumber: 5)
    late.begin()
    try images.assign(7)
    let after = bytes(try BatchJob(recipe, rows: rows, seed: 1, firstNumber: 5).finish())
    let given = bytes(try late.finish())
    let isRead = after != wanted && given == after
    #expect(isRead)
  }

  @Test func batchesNameWhatIsWrong() throws {
    let (images, labels, recipe) = try source()
    func message(_ body: () throws -> Void) -> String { (#expect(throws: Failure.self) { try body() })?.message ?? "" }
    #expect(message { _ = try BatchJob(recipe, rows: [300], seed: 0, firstNumber: 0) } == "batch: row 301 is not in 1..300")
    #expect(message { _ = try BatchJob(recipe, rows: [-1], seed: 0, firstNumber: 0) } == "batch: row 0 is not in 1..300")
    #expect(
      message { _ = try BatchRecipe([("a", images), ("b", Tensor.zeros([3]))]) }
        == "batch: column 'b' has 3 rows, column 'a' has 300")
    #expect(
      message { _ = try BatchRecipe([("a", labels)], pictures: ["a": .init(steps: [])]) }
        == "augment: column 'a' must be u8 or f32, not i64")
    let wide = try Tensor.zeros([1, 1, 40_000], .u8)
    #expect(
      message { _ = try BatchRecipe([("a", wide)], pictures: ["a": .init(steps: [])]) }
        == "augment: pictures of 40000 columns; 1 to 32768 are possible")
    let empty = try BatchJob(recipe, rows: [], seed: 0, firstNumber: 0).finish()
    #expect(empty[0].tensor.shape == [0, 3, 18, 18])
    let none = try BatchRecipe([("x", Tensor.zeros([0, 4]))])
    let job = try BatchJob(none, rows: [], seed: 0, firstNumber: 0)
    #expect(try job.finish()[0].tensor.shape == [0, 4])
    #expect(message { _ = try job.finish() } == "batch: it was handed out already")
  }
}
