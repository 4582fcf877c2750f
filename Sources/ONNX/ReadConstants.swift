import Core
import TensorGraph
import TensorKernels
import Tensors

/// Constants, lookups and what is computed from shapes: onnx.ai/onnx/operators/onnx__Gather.html and so on.
extension GraphReader {
  func identity(_ n: NodeView) throws(Failure) -> [Item] { [try n.input(0)] }

  func constant(_ n: NodeView) throws(Failure) -> [Item] {
    let tensor: Tensor
    if let value = try n.tensor("value") {
      tensor = value
    } else if let value = try n.float("value_float") {
      tensor = try Tensor.scalar(value, .f32)
    } else if let values = try n.floats("value_floats") {
      tensor = try Tensor.from(values, [values.count], .f32)
    } else if let value = try n.int("value_int") {
      tensor = try Tensor.scalar(integer: Int64(value), .i64)
    } else if let values = try n.ints("value_ints") {
      tensor = try Tensor.from(integers: values.map { Int64($0) }, [values.count])
    } else {
      throw Failure(.unsupported, "only constants of numbers are known here")
    }
    return [fixed(tensor)]
  }

  /// `body` for each batch, of inputs that are all known beforehand.
  private func computed(_ inputs: [Item], _ body: ([Tensor]) throws(Failure) -> Tensor) throws(Failure) -> [Item] {
    guard inputs.allSatisfy(\.isFixed) else {
      throw Failure(.unsupported, "this operator is known only for values that do not depend on the input's elements")
    }
    var samples: [Tensor] = []
    for k in 0..<2 { samples.append(try body(inputs.map { $0.samples[k] })) }
    return [Item(fixed: samples)]
  }

  func constantOfShape(_ n: NodeView) throws(Failure) -> [Item] {
    let value = if let given = try n.tensor("value") { given } else { try Tensor.scalar(0, .f32) }
    guard value.count == 1 else { throw Failure(.corruptData, "the value must be one number, not \(Shape.text(value.shape))") }
    let lists = try n.input(0).integerLists("the shape")
    var samples: [Tensor] = []
    for list in lists {
      _ = try Shape.count(list, op: "constant")
      samples.append(try value.reshaped([]).expanded(list))
    }
    return [Item(fixed: samples)]
  }

  func shape(_ n: NodeView) throws(Failure) -> [Item] {
    let x = try n.input(0)
    func place(_ at: Int) -> Int { min(x.rank, max(0, at < 0 ? at + x.rank : at)) }
    let start = place(try n.int("start", 0))
    let end = max(start, place(try n.int("end", x.rank)))
    var samples: [Tensor] = []
    for sample in x.samples {
      samples.append(try Tensor.from(integers: sample.shape[start..<end].map { Int64($0) }, [end - start]))
    }
    return [Item(fixed: samples)]
  }

  func size(_ n: NodeView) throws(Failure) -> [Item] {
    var samples: [Tensor] = []
    for sample in try n.input(0).samples { samples.append(try Tensor.scalar(integer: Int64(sample.count), .i64)) }
    return [Item(fixed: samples)]
  }

  /// start, start + step, ... below the end; integers only.
  func range(_ n: NodeView) throws(Failure) -> [Item] {
    try computed(try n.all()) { (x) throws(Failure) in
      guard x.count == 3, x.allSatisfy({ !$0.dtype.isFloat && $0.count == 1 }) else {
        throw Failure(.unsupported, "start, end and step must be three integers")
      }
      let (start, end, step) = (try x[0].integerItem(), try x[1].integerItem(), try x[2].integerItem())
      guard end > Int64.min, end < Int64.max else { throw Failure(.corruptData, "the end \(end) is too far") }
      return try Tensor.arange(from: start, through: step > 0 ? end - 1 : end + 1, by: step, x[0].dtype)
    }
  }

  func equal(_ n: NodeView) throws(Failure) -> [Item] {
    try computed([try n.input(0), try n.input(1)]) { (x) throws(Failure) in try Tensor.compare(.eq, x[0], x[1]) }
  }
  func choose(_ n: NodeView) throws(Failure) -> [Item] {
    try computed([try n.input(0), try n.input(1), try n.input(2)]) { (x) throws(Failure) in
      guard x[0].dtype == .bool else { throw Failure(.corruptData, "the condition must be of bools, not \(x[0].dtype)") }
      return try Tensor.select(x[0], x[1], x[2])
    }
  }

  /// Rows of a fixed table by computed ids (embedding), or fixed positions of anything.
  func gather(_ n: NodeView) throws(Failure) -> [Item] {
    let (x, ids) = (try n.input(0), try n.input(1))
    let axis = try x.axis(n.int("axis", 0))
    guard !ids.dtype.isFloat, ids.dtype != .bool else {
      throw Failure(.corruptData, "positions must be integers, not \(ids.dtype)")
    }
    guard ids.isFixed else {
      guard x.isFixed, x.rank == 2, axis == 0 else {
        throw Failure(
          .unsupported, "computed positions are known only for rows of a fixed matrix, not for \(Shape.text(x.shape))")
      }
      return [try apply(.embedding, [x, ids])]
    }
    if x.isFixed {
      return try computed([x, ids]) { (t) throws(Failure) in
        let flat = try t[1].cast(.i64).reshaped([-1])
        let shape = Array(t[0].shape[..<axis]) + t[1].shape + Array(t[0].shape[(axis + 1)...])
        let extent = Double(t[0].shape[axis])
        let fromEnd = try Tensor.compare(.lt, flat, Tensor.scalar(0, .i64))
        let positions = try Tensor.select(fromEnd, flat.add(extent), flat)
        return try t[0].detached().indexSelected(axis, positions, op: "gather").reshaped(shape)
      }
    }
    if ids.rank == 0 {
      guard try ids.isSame() else { throw Failure(.unsupported, "the position depends on the batch") }
      let index = Int(try ids.samples[0].integerItem())
      for sample in x.samples where index < -sample.shape[axis] || index >= sample.shape[axis] {
        throw Failure(.corruptData, "index \(index) is not inside dim \(axis + 1) of \(Shape.text(sample.shape))")
      }
      let extent = try index < 0 ? x.extent(axis) : 0
      return [try apply(.select(dim: axis, index: index + extent), [x])]
    }
    guard ids.rank == 1 else {
      throw Failure(.unsupported, "positions must be one number or a list, not \(Shape.text(ids.shape))")
    }
    let list = try ids.integers("the positions")
    guard !list.isEmpty, list.count <= 1024 else {
      throw Failure(.unsupported, "\(list.count) positions: 1 to 1024 are known here")
    }
    let extent = try x.extent(axis)
    let places = list.map { $0 < 0 ? $0 &+ extent : $0 }
    guard places.allSatisfy({ $0 >= 0 && $0 < extent }) else {
      throw Failure(.corruptData, "positions \(list) are not all inside dim \(axis + 1) of \(Shape.text(x.shape))")
    }
    // Even distances are one slice, others one for each.
    let step = places.count > 1 ? places[1] - places[0] : 1
    if step >= 1, zip(places, places.dropFirst()).allSatisfy({ $1 - $0 == step }) {
      return [try sliced(x, axis, places[0], places[places.count - 1] + 1, step)]
    }
    var parts: [Item] = []
    for place in places { parts.append(try sliced(x, axis, place, place + 1, 1)) }
    return [try apply(.cat(dim: axis), parts)]
  }
}
