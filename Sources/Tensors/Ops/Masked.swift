package import Core
import TensorKernels

/// Elements that a condition picks.
extension Tensor {
  /// Places (i64, from 0) in row-major order of the elements that are true or not 0.
  private func places(_ op: String) throws(Failure) -> Tensor {
    let flags = try Tensor.compare(.ne, self, Tensor.scalar(0, dtype)).contiguous()
    let total = try flags.sum().integerItem()
    let out = try Tensor.empty([Int(total)], .i64, op: op)
    let (flag, place) = (
      flags.pointer.assumingMemoryBound(to: UInt8.self), out.pointer.assumingMemoryBound(to: Int64.self)
    )
    var found = 0
    for i in 0..<flags.count where flag[i] != 0 && found < out.count {
      place[found] = Int64(i)
      found += 1
    }
    return out
  }

  /// The elements where `mask` (bool, broadcast to this shape) is true, in row-major order: one dim.
  package func maskedSelected(_ mask: Tensor) throws(Failure) -> Tensor {
    guard mask.dtype == .bool else { throw Failure(.typeMismatch, "masked_select: the mask must be bool, not \(mask.dtype)") }
    guard try Shape.broadcast(shape, mask.shape, op: "masked_select") == shape else {
      throw Failure(
        .shapeMismatch, "masked_select: mask \(Shape.text(mask.shape)) does not fit \(Shape.text(shape))")
    }
    let places = try mask.detached().expanded(shape).places("masked_select")
    return try reshaped([count]).indexSelected(0, places, op: "masked_select")
  }

  /// Positions (i64, from 0) of the elements that are true or not 0: (found, dims).
  package func nonZero() throws(Failure) -> Tensor {
    let places = try detached().places("nonzero")
    let out = try Tensor.empty([places.count, rank], .i64, op: "nonzero")
    let (from, to) = (places.pointer.assumingMemoryBound(to: Int64.self), out.pointer.assumingMemoryBound(to: Int64.self))
    for i in 0..<places.count {
      var rest = Int(from[i])
      for d in shape.indices.reversed() {
        to[i * rank + d] = Int64(rest % shape[d])
        rest /= shape[d]
      }
    }
    return out
  }
}
