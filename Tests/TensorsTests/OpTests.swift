import Core
import Glibc
import TensorKernels
import Tensors
import Testing

/// The golden file: cases computed by PyTorch.
struct Golden: Sendable {
  struct Value { let dtype: DType, shape: [Int], values: [Double] }
  let index: Int
  let json: JSONObject
  var op: String { json["op"]?.stringValue ?? "" }
  var attributes: Attributes { Attributes(object: json["attrs"]?.objectValue ?? [:]) }
  func list(_ name: String) -> [Value] {
    (json[name]?.arrayValue ?? []).compactMap { item in
      guard let o = item.objectValue, let type = o["dtype"]?.stringValue.flatMap({ DType(name: $0) }) else { return nil }
      return Value(
        dtype: type, shape: (o["shape"]?.arrayValue ?? []).compactMap { $0.intValue.map { Int($0) } },
        values: (o["values"]?.arrayValue ?? []).compactMap(\.doubleValue))
    }
  }
  var gradients: [[Double]?]? { json["grads"]?.arrayValue?.map { $0.arrayValue?.compactMap(\.doubleValue) } }

  static let all: [Golden] = {
    let path = #filePath.split(separator: "/").dropLast(2).joined(separator: "/")
    guard let file = fopen("/\(path)/golden/tensor_golden.json", "r") else { return [] }
    defer { fclose(file) }
    var bytes: [UInt8] = []
    var part = [UInt8](repeating: 0, count: 65536)
    while case let n = fread(&part, 1, part.count, file), n > 0 { bytes += part[..<n] }
    let cases = (try? JSONValue(parsing: bytes))?.objectValue?["cases"]?.arrayValue ?? []
    return cases.enumerated().compactMap { i, v in v.objectValue.map { Golden(index: i, json: $0) } }
  }()
  static let byOp = Dictionary(grouping: all, by: \.op)
  static let ops = OpCase.all.map(\.name)
}

/// Serialized: some cases change the process-wide number of threads.
@Suite(.serialized) struct OpTests {
  private func tensors(_ values: [Golden.Value], _ type: DType) throws -> [Tensor] {
    try values.map { try Tensor.from($0.values, $0.shape, $0.dtype.isFloat ? type : $0.dtype) }
  }
  /// The same elements under other strides: two dims swapped in memory, a gap between elements, an offset.
  private func scattered(_ t: Tensor) throws -> Tensor {
    let order = Array(0..<t.rank).reversed() as [Int]
    let wide = try Tensor.full(order.map { t.shape[$0] } + [2], 7, t.dtype)
    let view = try wide.selected(-1, 1).permuted(order)
    try view.assign(t)
    return view
  }
  private func largestError(_ a: [Double], _ b: [Double]) -> Double {
    guard a.count == b.count else { return .infinity }
    return zip(a, b).map { x, y in x.isNaN && y.isNaN ? 0 : abs(x - y) / max(1, abs(y)) }.max() ?? 0
  }
  private func weights(_ shape: [Int], _ type: DType) throws -> Tensor {
    let n = shape.reduce(1, *)
    return try Tensor.from((0..<n).map { 0.3 + 0.1 * Double($0 % 7) }, shape, type)
  }
  private func find(_ name: String) throws -> OpCase { try #require(OpCase.all.first { $0.name == name }) }

  @Test func everyOpHasGoldenCasesAndEveryGoldenCaseAnOp() {
    #expect(Golden.all.count > 400)
    #expect(Set(Golden.ops) == Set(Golden.byOp.keys))
    #expect(Golden.ops.count == Set(Golden.ops).count)
  }

  @Test(arguments: Golden.ops) func equalsPyTorchAndTheNaiveLoop(_ name: String) throws {
    let op = try find(name)
    for golden in Golden.byOp[name] ?? [] {
      let inputs = golden.list("inputs")
      for (type, tolerance) in [(DType.f64, 1e-9), (.f32, 3e-5)] {
        for isScattered in [false, true] {
          var given = try tensors(inputs, type)
          if isScattered { given = try given.map(scattered) }
          let outputs = try op.run(given, golden.attributes)
          let expected = golden.list("outputs")
          #expect(outputs.count == expected.count)
          for (out, want) in zip(outputs, expected) {
            #expect(out.shape == want.shape, "\(name) case \(golden.index)")
            #expect(out.dtype == (want.dtype.isFloat ? type : want.dtype), "\(name) case \(golden.index)")
            let error = largestError(try out.values(), want.values)
            #expect(error < tolerance, "\(name) case \(golden.index) \(type) scattered \(isScattered): off by \(error)")
          }
        }
      }
      if let naive = op.naive {
        let plain = naive(inputs.map { OpCase.Array($0.shape, $0.values) }, golden.attributes)
        let first = try #require(try op.run(tensors(inputs, .f64), golden.attributes).first)
        #expect(plain.shape == first.shape, "\(name) case \(golden.index) naive")
        let error = largestError(try first.values(), plain.values)
        #expect(error < 1e-9, "\(name) case \(golden.index) naive loop: off by \(error)")
      }
    }
  }

  @Test(arguments: Golden.ops) func gradientsEqualPyTorchAndFiniteDifferences(_ name: String) throws {
    let op = try find(name)
    for golden in Golden.byOp[name] ?? [] {
      guard let gradients = golden.gradients else { continue }
      let inputs = golden.list("inputs")
      for (type, tolerance) in [(DType.f64, 1e-8), (.f32, 1e-4)] {
        for isScattered in [false, true] {
          var given = try tensors(inputs, type)
          if isScattered { given = try given.map(scattered) }
          for t in given where t.dtype.isFloat { try t.setRequiresGrad(true) }
          let out = try #require(try op.run(given, golden.attributes).first)
          let loss = try out.mul(weights(out.shape, type)).sum()
          if loss.tracksGradient { try loss.backward() }
          for (t, want) in zip(given.filter { $0.dtype.isFloat }, gradients) {
            let got = try t.grad?.values() ?? [Double](repeating: 0, count: t.count)
            let error = largestError(got, want ?? [Double](repeating: 0, count: t.count))
            #expect(
              error < tolerance, "\(name) case \(golden.index) \(type) scattered \(isScattered): gradient off by \(error)")
            if let grad = t.grad { #expect(grad.shape == t.shape && grad.dtype == t.dtype) }
          }
        }
      }
      // Finite differences in f64, where the function is smooth.
      if ["floor", "ceil", "round", "sign"].contains(name) { continue }
      func value(_ values: [Golden.Value]) throws -> Double {
        let out = try #require(try op.run(tensors(values, .f64), golden.attributes).first)
        return try out.mul(weights(out.shape, .f64)).sum().item()
      }
      let h = 1e-6
      var number = 0
      for (i, input) in inputs.enumerated() where input.dtype.isFloat {
        defer { number += 1 }
        guard let want = gradients[number], !hasKink(name, inputs) else { continue }
        for k in stride(from: 0, to: input.values.count, by: max(1, input.values.count / 12)) {
          func moved(_ by: Double) -> [Golden.Value] {
            var all = inputs
            var v = input.values
            v[k] += by
            all[i] = Golden.Value(dtype: input.dtype, shape: input.shape, values: v)
            return all
          }
          let slope = try (value(moved(h)) - value(moved(-h))) / (2 * h)
          #expect(abs(slope - want[k]) < 1e-5 * max(1, abs(slope)), "\(name) case \(golden.index) input \(i) element \(k)")
        }
      }
    }
  }
  /// Cases built to sit on a tie have no derivative there.
  private func hasKink(_ name: String, _ inputs: [Golden.Value]) -> Bool {
    if name == "maximum" { return zip(inputs[0].values, inputs[1].values).contains { $0 == $1 } }
    if name == "min_all" { return inputs[0].values.filter { $0 == inputs[0].values.min() }.count > 1 }
    return false
  }
}
