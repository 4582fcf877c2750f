package import Core
import TensorKernels

/// Matrix products.
extension Tensor {
  /// a @ b. Vectors count as one row (left) or column (right); leading dims broadcast.
  package static func matmul(_ a: Tensor, _ b: Tensor) throws(Failure) -> Tensor {
    let type = max(max(a.dtype, b.dtype), .f32)
    let (a, b) = (try a.cast(type), try b.cast(type))
    guard a.rank >= 1, b.rank >= 1 else {
      throw Failure(
        .shapeMismatch, "matmul: shapes \(Shape.text(a.shape)) and \(Shape.text(b.shape)) do not fit: a scalar is not a matrix")
    }
    let left = a.rank == 1 ? try a.unsqueezed(0) : a
    let right = b.rank == 1 ? try b.unsqueezed(1) : b
    let (k, rows) = (left.shape[left.rank - 1], right.shape[right.rank - 2])
    guard k == rows else {
      throw Failure(
        .shapeMismatch,
        "matmul: shapes \(Shape.text(a.shape)) and \(Shape.text(b.shape)) do not fit: \(k) columns against \(rows) rows")
    }
    var out = try matrixProduct(left, right)
    if a.rank == 1 { out = try out.squeezed(-2) }
    if b.rank == 1 { out = try out.squeezed(-1) }
    return out.traced(.matmul, [a, b])
  }

  private static func matrixProduct(_ a: Tensor, _ b: Tensor) throws(Failure) -> Tensor {
    let batch = try Shape.broadcast(Array(a.shape.dropLast(2)), Array(b.shape.dropLast(2)), op: "matmul")
    let (m, n) = (a.shape[a.rank - 2], b.shape[b.rank - 1])
    let out: Tensor
    if b.rank == 2, a.rank > 2 {
      // Many left matrices times one: a single product over all rows.
      let rows = try GradMode.disabled { () throws(Failure) in try a.reshaped([-1, a.shape[a.rank - 1]]) }
      out = try GradMode.disabled { () throws(Failure) in try product(rows, b, batch: []).reshaped(batch + [m, n]) }
    } else {
      out = try product(a, b, batch: batch)
    }
    let (sa, sb) = (a.shape, b.shape)
    return out.recorded("matmul", [a, b], saving: [a, b]) { (g, saved, needs) throws(Failure) in
      [
        needs[0] ? try matrixProduct(g, saved[1].transposed()).summed(to: sa) : nil,
        needs[1] ? try gradientOfRight(saved[0], g, sb) : nil,
      ]
    }
  }

  private static func gradientOfRight(_ a: Tensor, _ g: Tensor, _ shape: [Int]) throws(Failure) -> Tensor {
    if shape.count == 2, a.rank > 2 {
      let rows = try a.reshaped([-1, a.shape[a.rank - 1]])
      return try matrixProduct(rows.transposed(), g.reshaped([-1, g.shape[g.rank - 1]]))
    }
    return try matrixProduct(a.transposed(), g).summed(to: shape)
  }

  /// batch + (m, n) products; both inputs have at least two dims.
  private static func product(_ a: Tensor, _ b: Tensor, batch: [Int]) throws(Failure) -> Tensor {
    let (m, k, n) = (a.shape[a.rank - 2], a.shape[a.rank - 1], b.shape[b.rank - 1])
    let out = try Tensor.empty(batch + [m, n], a.dtype, op: "matmul")
    let count = batch.reduce(1, *)
    if batch.isEmpty || count == 1 {
      let x = try a.detached().view([m, k], Array(a.strides.suffix(2)), a.offset).matrix()
      let y = try b.detached().view([k, n], Array(b.strides.suffix(2)), b.offset).matrix()
      try Kernels.gemm(
        a.dtype, transA: x.transposed, transB: y.transposed, m: m, n: n, k: k, a: x.tensor.pointer, lda: x.leading,
        b: y.tensor.pointer, ldb: y.leading, c: out.pointer, ldc: max(1, n))
      return out
    }
    let x = try a.detached().expanded(batch + [m, k]).contiguous()
    let y = try b.detached().expanded(batch + [k, n]).contiguous()
    try Kernels.batchedGemm(
      a.dtype, count: count, transA: false, transB: false, m: m, n: n, k: k, a: x.pointer, lda: max(1, k), strideA: m * k,
      b: y.pointer, ldb: max(1, n), strideB: k * n, c: out.pointer, ldc: max(1, n), strideC: m * n)
    return out
  }

  /// A matrix as BLAS wants it: rows apart by `leading`, possibly transposed; copied only for odd strides.
  private func matrix() throws(Failure) -> (tensor: Tensor, transposed: Bool, leading: Int) {
    let (rows, columns) = (shape[0], shape[1])
    if columns == 1 || strides[1] == 1, strides[0] >= max(1, columns) || rows == 1 {
      return (self, false, rows == 1 ? max(1, columns) : strides[0])
    }
    if rows == 1 || strides[0] == 1, strides[1] >= max(1, rows) || columns == 1 {
      return (self, true, columns == 1 ? max(1, rows) : strides[1])
    }
    return (try clone(), false, max(1, columns))
  }

  /// y = x W^T + b: x (..., in), weight (out, in), bias (out). With `relu`, max(y, 0).
  package static func linear(_ x: Tensor, _ weight: Tensor, _ bias: Tensor?, relu: Bool = false) throws(Failure) -> Tensor {
    guard weight.rank == 2, x.rank >= 1, x.shape[x.rank - 1] == weight.shape[1] else {
      throw Failure(
        .shapeMismatch,
        "linear: input \(Shape.text(x.shape)) does not fit weight \(Shape.text(weight.shape)), which takes "
          + "\(weight.rank == 2 ? "\(weight.shape[1])" : "(out, in)") features")
    }
    if let bias, bias.shape != [weight.shape[0]] {
      throw Failure(
        .shapeMismatch, "linear: bias \(Shape.text(bias.shape)) does not fit weight \(Shape.text(weight.shape))")
    }
    let type = try commonFloat("linear", [x, weight, bias])
    let (x, weight, bias) = (try x.cast(type), try weight.cast(type), try bias?.cast(type))
    let (features, outs) = (weight.shape[1], weight.shape[0])
    let lead = Array(x.shape.dropLast())
    let rows = lead.reduce(1, *)
    let (source, w) = (try x.detached().contiguous(), try weight.detached().contiguous())
    let out = try Tensor.empty(lead + [outs], type, op: "linear")
    if let bias {
      let flat = out.view([rows, outs], [outs, 1], 0)
      flat.fill(from: try bias.detached().expanded([rows, outs]))
    }
    try Kernels.gemm(
      type, transA: false, transB: true, m: rows, n: outs, k: features, a: source.pointer, lda: max(1, features), b: w.pointer,
      ldb: max(1, features), beta: bias == nil ? 0 : 1, c: out.pointer, ldc: max(1, outs))
    if relu { Kernels.unary(.relu, type, loop(out.shape, out, out), out: out.pointer, a: out.pointer) }
    if let trace = Trace.current {
      let plain = relu ? out.detached() : out
      trace.note(.linear, [x, weight, bias], plain)
      if relu { trace.note(.unary(.relu), [plain], out) }
    }
    let inputs = [x, weight] + (bias.map { [$0] } ?? [])
    let saved = [source, w] + (relu ? [out] : [])
    let shape = x.shape
    return out.recorded("linear", inputs, saving: saved) { (g, saved, needs) throws(Failure) in
      var gradient = try g.contiguous()
      if relu {
        let masked = try Tensor.empty(g.shape, type, op: "linear")
        Kernels.unaryGradient(
          .relu, type, loop(g.shape, masked, gradient, saved[2]), out: masked.pointer, g: gradient.pointer,
          saved: saved[2].pointer)
        gradient = masked
      }
      let flat = try gradient.reshaped([rows, outs])
      return [
        needs[0] ? try matrixProduct(flat, saved[1]).reshaped(shape) : nil,
        needs[1] ? try matrixProduct(flat.transposed(), saved[0].reshaped([rows, features])) : nil,
        needs.count > 2 && needs[2] ? try flat.sum([0]) : nil,
      ]
    }
  }

  /// The one float type of several tensors; integers count as f32.
  static func commonFloat(_ op: String, _ tensors: [Tensor?]) throws(Failure) -> DType {
    let types = tensors.compactMap { $0?.dtype }.filter(\.isFloat)
    let type = types.first { $0 == .f64 } ?? .f32
    guard types.allSatisfy({ $0 == type }) else {
      throw Failure(.typeMismatch, "\(op): f32 and f64 are mixed; convert one with :to \"f32\"")
    }
    return type
  }
}
