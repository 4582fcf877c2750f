import Core
import Glibc
import TensorKernels
import Tensors
import TestSupport
import Testing

private func message(_ body: () throws -> Void) -> String {
  do {
    try body()
    return "no error"
  } catch { return (error as? Failure)?.message ?? "\(error)" }
}

@Suite struct AutogradTests {
  @Test func aVeryDeepGraphNeitherOverflowsBackwardNorItsEnd() throws {
    let x = try Tensor.scalar(1)
    try x.setRequiresGrad(true)
    var y = try x.add(0)
    for _ in 0..<60_000 { y = try y.add(1e-6) }
    try y.backward()
    #expect(try x.grad?.item() == 1)
    var z = try x.mul(1)
    for _ in 0..<60_000 { z = try z.mul(1) }
    z = try Tensor.scalar(0)  // lets go of the chain without backward
    #expect(try z.item() == 0)
  }

  @Test func gradientsAddUpAndGraphsAreUsedOnce() throws {
    let x = try Tensor.from([1, 2, 3])
    try x.setRequiresGrad(true)
    try x.mul(x).sum().backward()
    try x.mul(x).sum().backward()
    #expect(try x.grad?.values() == [4, 8, 12])
    let loss = try x.mul(x).sum()
    try loss.backward(retainGraph: true)
    try loss.backward()
    #expect(try x.grad?.values() == [8, 16, 24])
    #expect(
      message { try loss.backward() }
        == "backward: the graph was used already; pass retain_graph = true to the first backward to keep it")
  }

  @Test func twoLeavesNeverShareOneGradient() throws {
    let (a, b) = (try Tensor.from([1, 2]), try Tensor.from([3, 4]))
    try a.setRequiresGrad(true)
    try b.setRequiresGrad(true)
    try a.add(b).sum().backward()
    try a.grad?.assign(9)
    #expect(try b.grad?.values() == [1, 1])
  }

  @Test func oneTensorUsedManyWays() throws {
    let x = try Tensor.from([0.5, -2], nil, .f64)
    try x.setRequiresGrad(true)
    let y = try x.unary(.exp)
    try y.mul(y).add(y).sum().backward()  // 2 e^2x + e^x
    let want = [0.5, -2.0].map { 2 * exp(2 * $0) + exp($0) }
    for (got, want) in zip(try #require(try x.grad?.values()), want) { #expect(abs(got - want) < 1e-12) }
  }

  @Test func changesInPlaceAreNoticed() throws {
    let x = try Tensor.from([1, 2])
    try x.setRequiresGrad(true)
    #expect(message { try x.assign(0) }.contains("part of a gradient graph"))
    let y = try x.mul(x).sum()
    try GradMode.disabled { () throws(Failure) in try x.assign(5) }
    #expect(
      message { try y.backward() } == "backward: a tensor of shape (2) that 'mul' needs was changed in place after it was used")
  }

  @Test func noGradAndDetachStopHistory() throws {
    let x = try Tensor.from([1, 2])
    try x.setRequiresGrad(true)
    #expect(try !GradMode.disabled { () throws(Failure) in try x.mul(x).tracksGradient })
    #expect(try !x.detached().mul(x.detached()).tracksGradient)
    #expect(message { try x.detached().backward() } == "backward: no tensor that requires a gradient led to this one")
    #expect(
      message { try x.mul(x).backward() } == "backward: shape (2) has 2 elements; reduce it to one or pass a gradient")
    #expect(
      message { try x.mul(x).backward(gradient: Tensor.zeros([3])) }
        == "backward: gradient of shape (3) for a tensor of shape (2)")
    #expect(
      message { try Tensor.from([1], nil, .i64).setRequiresGrad(true) }
        == "requires_grad: only f32 and f64 tensors have gradients, this one is i64")
  }
}

@Suite struct TensorTests {
  @Test func errorsNameTheOpAndBothShapes() throws {
    let a = try Tensor.zeros([64, 10])
    let b = try Tensor.zeros([12, 3])
    #expect(
      message { _ = try Tensor.matmul(a, b) } == "matmul: shapes (64, 10) and (12, 3) do not fit: 10 columns against 12 rows")
    #expect(message { _ = try a.add(b) } == "add: shapes (64, 10) and (12, 3) do not broadcast: 64 against 12 in dim -2")
    #expect(
      message { _ = try Tensor.conv2d(Tensor.zeros([2, 3, 8, 8]), Tensor.zeros([4, 2, 3, 3]), nil) }
        == "conv2d: input (2, 3, 8, 8) does not fit weight (4, 2, 3, 3): 3 channels against 2 x 1 groups")
    #expect(message { _ = try a.reshaped([7, -1]) } == "reshape: 640 elements of shape (64, 10) do not fit (7, -1)")
    #expect(message { _ = try a.selected(0, 64) } == "index 65 is not in 1..64 of dim 1, shape (64, 10)")
    #expect(message { _ = try a.sum([2]) } == "sum: dim 3 is not in 1..2 or -2..-1")
    #expect(
      message { _ = try Tensor.crossEntropy(a, Tensor.full([64], 10, .i64)) }
        == "cross_entropy: class id 10 in row 1 is not in 0..9")
    #expect(
      message { _ = try Tensor.linear(a, Tensor.zeros([5, 12]), nil) }
        == "linear: input (64, 10) does not fit weight (5, 12), which takes 12 features")
    #expect(message { _ = try Tensor.cat([a, b]) } == "cat: tensor 2 of shape (12, 3) does not fit (64, 10) along dim 1")
    #expect(
      message { _ = try Tensor.binary(.floordiv, Tensor.full([2], 1, .i64), Tensor.zeros([2], .i64)) }
        == "floordiv: integer division by zero")
    #expect(
      message { _ = try a.indexSelected(0, Tensor.full([1], 64, .i64)) }
        == "index_select: position 65 is not in 1..64, the extent of dim 1")
    #expect(
      message { _ = try Tensor.full([2], 1, .i64).mean() }
        == "mean: needs f32 or f64, this tensor is i64; convert it with :to \"f32\"")
  }

  @Test func sizesThatOverflowAreErrors() {
    for shape in [[Int.max, Int.max], [1 << 40, 1 << 40], [-1, 2], [1 << 47, 2, 2]] {
      #expect(message { _ = try Tensor.zeros(shape) }.hasPrefix("zeros: shape"))
    }
    #expect(message { _ = try Tensor.zeros([1 << 40]) } != "no error")
    #expect(message { _ = try Tensor.zeros([1]).expanded([1 << 30, 1 << 30]) }.contains("too many elements"))
    #expect(message { _ = try Tensor.arange(0, 1e300, 1, .f32) }.contains("too many"))
  }

  @Test func integersNeverTrap() throws {
    let low = try Tensor.full([1], -0x1p63, .i64)
    #expect(try Tensor.binary(.floordiv, low, Tensor.full([1], -1, .i64)).integerItem() == .min)
    #expect(try Tensor.binary(.mod, low, Tensor.full([1], -1, .i64)).integerItem() == 0)
    #expect(try low.unary(.neg).integerItem() == .min)
    #expect(try low.unary(.abs).integerItem() == .min)
    #expect(try low.sub(Tensor.full([1], 1, .i64)).integerItem() == .max)
    let odd = try Tensor.from([.nan, .infinity, -.infinity, 300, -1, 2.9], nil, .f64)
    #expect(try odd.cast(.u8).values() == [0, 255, 0, 255, 0, 2])
    #expect(try odd.cast(.i32).values() == [0, 2_147_483_647, -2_147_483_648, 300, -1, 2])
    #expect(try odd.cast(.bool).values() == [1, 1, 1, 1, 1, 1])
  }

  @Test func promotionFollowsTheRule() throws {
    func type(_ a: DType, _ b: DType, _ op: BinaryOp = .add) throws -> DType {
      try Tensor.binary(op, Tensor.full([1], 1, a), Tensor.full([1], 1, b)).dtype
    }
    for a in DType.allCases {
      for b in DType.allCases {
        let top = max(a, b)
        #expect(try type(a, b) == (top == .bool ? .i64 : top))
        #expect(try type(a, b, .div) == (top.isFloat ? top : .f32))
      }
    }
  }

  @Test func nanWinsInExtremes() throws {
    let t = try Tensor.from([1, .nan, 3])
    #expect(try t.extreme(largest: true).item().isNaN)
    #expect(try t.argExtreme(largest: true, 0).item() == 1)
    #expect(try t.argExtreme(largest: false, 0).item() == 1)
    #expect(try Tensor.binary(.maximum, t, Tensor.full([3], 2)).values()[1].isNaN)
    #expect(try t.sorted(0, descending: false).positions.values() == [0, 2, 1])
  }

  @Test func viewsShareMemoryAndCopiesDoNot() throws {
    let t = try Tensor.arange(0, 12, 1, .f32).reshaped([3, 4])
    try t.selected(0, 1).assign(9)
    #expect(try t.values() == [0, 1, 2, 3, 9, 9, 9, 9, 8, 9, 10, 11])
    let copy = try t.transposed().contiguous()
    try copy.assign(0)
    #expect(try t.values()[0...2] == [0, 1, 2])
    try t.assign(t.transposed(0, 0))  // onto itself
    #expect(try t.values()[4] == 9)
    let buffer = try Buffer([Float(1), 2, 3, 4, 5, 6])
    let shared = try Tensor.sharing(buffer, byteOffset: 4, .f32, shape: [5])
    #expect(shared.pointer == buffer.pointer + 4)
    #expect(message { _ = try Tensor.sharing(buffer, byteOffset: 4, .f32, shape: [6]) }.contains("does not fit 24 bytes"))
  }

  @Test func sumsAreAccurate() throws {
    let n = 3_000_000
    let t = try Tensor.full([n], 0.1)
    #expect(try abs(t.sum().item() - Double(n) * Double(Float(0.1))) < 1)
    #expect(try abs(t.reshaped([n / 3, 3]).sum([0]).values()[1] - Double(n / 3) * Double(Float(0.1))) < 0.05)
  }

  @Test func randomNumbersAreTheirDistributions() throws { try RandomNumbers.alone { try distributions() } }
  private func distributions() throws {
    RandomState.seed(1)
    let u = try Tensor.uniform([200_000], low: -1, high: 3, .f64)
    #expect(try abs(u.mean().item() - 1) < 0.01)
    #expect(try abs(u.variance().item() - 16.0 / 12) < 0.02)
    #expect(try u.extreme(largest: false).item() >= -1)
    #expect(try u.extreme(largest: true).item() < 3)
    let g = try Tensor.normal([200_000], .f64)
    #expect(try abs(g.mean().item()) < 0.01)
    #expect(try abs(g.variance().item() - 1) < 0.02)
    let kept = try Tensor.dropout(Tensor.full([200_000], 1), p: 0.3, training: true)
    #expect(try abs(kept.mean().item() - 1) < 0.01)
    #expect(try abs(Tensor.compare(.eq, kept, Tensor.scalar(0)).sum().item() - 60_000) < 1000)
    let order = try Tensor.permutation(1000, seed: 5)
    #expect(try order.sorted(0, descending: false).values.values() == (0..<1000).map(Double.init))
    #expect(try order.values() != (0..<1000).map(Double.init))
    #expect(try order.values() == Tensor.permutation(1000, seed: 5).values())
    // Philox4x32-10 of key 0 and counter 0, as published with Random123 (kat_vectors).
    #expect(Philox(seed: 0).block(0) == SIMD4<UInt32>(0x6627_e8d5, 0xe169_c58d, 0xbc57_ac4c, 0x9b00_dbd8))
  }

  @Test func textShowsTypeShapeAndValues() throws {
    #expect(try Tensor.from([1, 2.5, -3, 0], [2, 2]).text() == "tensor f32 (2, 2)\n[\n [1., 2.5]\n [-3., 0.]\n]")
    #expect(try Tensor.scalar(3, .i64).text() == "tensor i64 (): 3")
    #expect(try Tensor.zeros([0, 3]).text() == "tensor f32 (0, 3)")
    #expect(try Tensor.zeros([1000]).text() == "tensor f32 (1000)\n[0., 0., 0., ..., 0., 0., 0.]")
  }

  /// In a process of its own: the budget is the whole process's.
  @Test func aTensorBeyondTheBudgetIsAnError() async {
    await #expect(processExitsWith: .success) {
      BufferPool.empty()
      MemoryBudget.setLimit(bytes: MemoryBudget.usedBytes + (64 << 20))
      #expect(message { _ = try Tensor.zeros([1 << 28]) }.hasPrefix("zeros: a f32 tensor of shape (268435456): memory limit"))
      // Kept blocks give way to new ones of another size.
      for size in [1 << 20, 2 << 20, 3 << 20, 4 << 20, 5 << 20] { _ = try Tensor.zeros([size]) }
      #expect(try Tensor.zeros([12 << 20]).count == 12 << 20)
    }
  }
}

@Suite struct SafeTensorsTests {
  private func decode(_ bytes: [UInt8]) throws -> [(name: String, tensor: Tensor)] {
    try bytes.withUnsafeBytes { try SafeTensors.decode($0) }
  }
  private func file(_ header: String, data: Int) -> [UInt8] {
    var w = ByteWriter()
    w.write(UInt64(header.utf8.count))
    w.write(header.utf8)
    w.write([UInt8](repeating: 1, count: data))
    return w.bytes
  }

  @Test func everyTypeComesBack() throws {
    let all = try DType.allCases.map { ("t.\($0)", try Tensor.from([1, 0, 1, 1, 0, 1], [2, 3], $0)) }
    let empty = ("empty", try Tensor.zeros([0, 3]))
    let turned = ("turned", try Tensor.arange(0, 6, 1, .f32).reshaped([2, 3]).transposed())
    let bytes = try SafeTensors.encode(all + [empty, turned])
    let back = try decode(bytes)
    #expect(Set(back.map(\.name)) == Set(all.map(\.0) + ["empty", "turned"]))
    for (name, t) in all + [empty, turned] {
      let other = try #require(back.first { $0.name == name }?.tensor)
      #expect(other.dtype == t.dtype && other.shape == t.shape)
      #expect(try other.values() == t.values())
    }
  }

  @Test func liesInTheHeaderAreErrors() throws {
    func why(_ header: String, _ data: Int = 8) -> String { message { _ = try decode(file(header, data: data)) } }
    let good = #"{"a":{"dtype":"F32","shape":[2],"data_offsets":[0,8]}}"#
    #expect(why(good) == "no error")
    #expect(why(good, 12) == "safetensors: tensors end at byte 8 of 12")
    #expect(why(good, 4).contains("cannot be bytes 0..<8 of 4"))
    #expect(why(#"{"a":{"dtype":"F32","shape":[3],"data_offsets":[0,8]}}"#).contains("of shape (3) f32 cannot be bytes 0..<8"))
    #expect(
      why(#"{"a":{"dtype":"F32","shape":[1],"data_offsets":[4,8]}}"#)
        == "safetensors: tensor 'a' starts at byte 4, the one before ends at 0")
    #expect(
      why(#"{"a":{"dtype":"F32","shape":[2],"data_offsets":[0,8]},"b":{"dtype":"F32","shape":[1],"data_offsets":[4,8]}}"#)
        .contains(
          "tensor 'b' starts at byte 4, the one before ends at 8"))
    #expect(why(#"{"a":{"dtype":"F32","shape":[4611686018427387904,2],"data_offsets":[0,8]}}"#).contains("too many elements"))
    #expect(why(#"{"a":{"dtype":"F32","shape":[9223372036854775808],"data_offsets":[0,8]}}"#).contains("not a whole number"))
    #expect(why(#"{"a":{"dtype":"F32","shape":[2],"data_offsets":[0,-8]}}"#).contains("not a whole number"))
    #expect(why(#"{"a":{"dtype":"F8_E4M3","shape":[2],"data_offsets":[0,2]}}"#).contains("has type F8_E4M3"))
    #expect(why(#"{"a":{"dtype":"BOOL","shape":[8],"data_offsets":[0,8]}}"#) == "no error")
    #expect(why("[1]").contains("not an object"))
    #expect(why("{").contains("not JSON"))
    var long = file(good, data: 8)
    long.replaceSubrange(0..<8, with: [255, 255, 255, 255, 255, 255, 255, 127])
    #expect(message { _ = try decode(long) }.contains("longer than"))
    #expect(message { _ = try decode([1, 2, 3]) }.contains("cut short"))
    // Every cut of a good file is an error, never a crash.
    let whole = file(good, data: 8)
    for n in 0..<whole.count { #expect(message { _ = try decode(Array(whole[..<n])) } != "no error") }
  }
}
