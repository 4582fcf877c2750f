package import Core
package import TensorKernels

/// What batches are made of: columns of equally many rows, and for some of them the steps their pictures go through.
package final class BatchRecipe {
  struct Column {
    let name: String
    let source: Tensor
    let plan: ImagePlan?
    let rowBytes: Int
    /// A row's shape in the batch.
    let rowShape: [Int]
    let outType: DType
  }
  let columns: [Column]
  package let rows: Int

  /// Steps for the pictures of one column. `size`: {channels, height, width} of rows that are flat.
  package struct Pictures {
    package var steps: [ImageStep]
    package var size: [Int]?
    package init(steps: [ImageStep], size: [Int]? = nil) {
      self.steps = steps
      self.size = size
    }
  }

  /// - Parameter pictures: by the name of the column, which must be u8 or f32 and (rows, channels, height, width), (rows, height, width),
  ///   or (rows, values) with a `size`.
  package init(_ columns: [(name: String, tensor: Tensor)], pictures: [String: Pictures] = [:]) throws(Failure) {
    for name in pictures.keys where !columns.contains(where: { $0.name == name }) {
      throw Failure(.invalidArgument, "augment: \(nearNames(name, known: columns.map(\.name), what: "columns"))")
    }
    var out: [Column] = []
    for (name, tensor) in columns {
      guard tensor.rank > 0 else { throw Failure(.shapeMismatch, "batch: column '\(name)' is a single number, not rows") }
      let source = try tensor.detached().contiguous()
      let shape = Array(source.shape.dropFirst())
      let plan = try pictures[name].map { (p) throws(Failure) in try BatchRecipe.plan(p, source, name) }
      let rowShape: [Int]
      if let plan {
        let size = [plan.channels, plan.outHeight, plan.outWidth]
        rowShape = shape.count == 3 ? size : shape.count == 2 ? Array(size.dropFirst()) : [size.reduce(1, *)]
      } else {
        rowShape = shape
      }
      out.append(
        Column(
          name: name, source: source, plan: plan, rowBytes: shape.reduce(1, *) * source.dtype.size, rowShape: rowShape,
          outType: plan == nil ? source.dtype : .f32))
    }
    guard let first = out.first else { throw Failure(.invalidArgument, "batch: at least one column is needed") }
    rows = first.source.shape[0]
    for column in out where column.source.shape[0] != rows {
      throw Failure(
        .shapeMismatch,
        "batch: column '\(column.name)' has \(column.source.shape[0]) rows, column '\(first.name)' has \(rows)")
    }
    self.columns = out
  }

  private static func plan(_ pictures: Pictures, _ source: Tensor, _ name: String) throws(Failure) -> ImagePlan {
    guard source.dtype == .u8 || source.dtype == .f32 else {
      throw Failure(.typeMismatch, "augment: column '\(name)' must be u8 or f32, not \(source.dtype)")
    }
    var size = Array(source.shape.dropFirst())
    if size.count == 2 { size = [1] + size }
    if let given = pictures.size {
      let wanted = given.count == 2 ? [1] + given : given
      guard wanted.count == 3, wanted.allSatisfy({ (1...ImagePlan.largest).contains($0) }),
        wanted.reduce(1, *) == size.reduce(1, *)
      else {
        throw Failure(
          .shapeMismatch,
          "augment: rows of column '\(name)' have shape \(Shape.text(size)), which is no picture of \(Shape.text(given))")
      }
      size = wanted
    }
    guard size.count == 3 else {
      throw Failure(
        .shapeMismatch,
        "augment: column '\(name)' has shape \(Shape.text(source.shape)); pictures are (rows, channels, height, width) or "
          + "(rows, height, width); for flat rows give size = {height, width}"
      )
    }
    return try ImagePlan(channels: size[0], height: size[1], width: size[2], steps: pictures.steps)
  }
}
