package import Core
import Glibc
import TensorKernels

/// Tensors as text for people: `tensor f32 (2, 3)` and the values in rows, the middle of long dims left out.
extension Tensor {
  package func text() throws(Failure) -> String {
    let head = "tensor \(dtype) \(Shape.text(shape))" + (tracksGradient ? ", requires_grad" : "")
    if count == 0 { return head }
    if rank == 0 { return head + ": " + number(Kernels.load(dtype, pointer, 0)) }
    let shortened = count > 200
    var lines: [String] = []
    write(&lines, dim: 0, at: offset, indent: "", shorten: shortened)
    return head + "\n" + lines.joined(separator: "\n")
  }

  private func number(_ value: Double) -> String {
    switch dtype {
    case .bool: return value == 0 ? "false" : "true"
    case .u8, .i32, .i64: return String(Int64(saturated: value))
    case .f32, .f64:
      if value == value.rounded(), abs(value) < 1e7 { return "\(Int64(value))." }
      return withUnsafeTemporaryAllocation(of: CChar.self, capacity: 40) { out in
        withVaList([value]) { _ = vsnprintf(out.baseAddress, 40, "%.5g", $0) }
        return out.baseAddress.map { String(cString: $0) } ?? ""
      }
    }
  }

  /// Positions of a dim that are shown; nil stands for what is left out.
  private func shown(_ extent: Int, _ shorten: Bool) -> [Int?] {
    shorten && extent > 8 ? [0, 1, 2, nil, extent - 3, extent - 2, extent - 1] : Array(0..<extent)
  }

  private func write(_ lines: inout [String], dim: Int, at base: Int, indent: String, shorten: Bool) {
    if dim == rank - 1 {
      let items = shown(shape[dim], shorten).map { i in
        i.map { number(Kernels.load(dtype, storage.buffer.pointer, base + $0 * strides[dim])) } ?? "..."
      }
      lines.append(indent + "[" + items.joined(separator: ", ") + "]")
      return
    }
    lines.append(indent + "[")
    for i in shown(shape[dim], shorten) {
      if let i {
        write(&lines, dim: dim + 1, at: base + i * strides[dim], indent: indent + " ", shorten: shorten)
      } else {
        lines.append(indent + " ...")
      }
    }
    lines.append(indent + "]")
  }
}

extension Int64 {
  /// The nearest Int64; NaN is 0.
  package init(saturated value: Double) {
    self = value.isNaN ? 0 : value <= -0x1p63 ? .min : value >= 0x1p63 ? .max : Int64(value)
  }
}
