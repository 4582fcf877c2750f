import Core
import TensorGraph
import TensorKernels
import Tensors

/// Layers that enlarge images: onnx.ai/onnx/operators/onnx__ConvTranspose.html, onnx__Resize.html, onnx__Upsample.html.
extension GraphReader {
  func convTranspose(_ n: NodeView) throws(Failure) -> [Item] {
    var (x, w) = (try n.input(0), try n.input(1))
    let isOneDim = x.rank == 3
    guard x.rank == 4 || isOneDim, w.rank == x.rank else {
      throw Failure(
        .unsupported,
        "input \(Shape.text(x.shape)) and weight \(Shape.text(w.shape)) must both have 4 dims, or 3: images or rows")
    }
    if isOneDim { (x, w) = (try apply(.unsqueeze(2), [x]), try apply(.unsqueeze(2), [w])) }
    guard try n.text("auto_pad", "NOTSET") == "NOTSET", try n.ints("output_shape") == nil else {
      throw Failure(.unsupported, "auto_pad and output_shape are not known here, only pads and output_padding")
    }
    func two(_ name: String, _ otherwise: Int) throws(Failure) -> (Int, Int) {
      guard let given = try n.ints(name) else { return isOneDim && otherwise == 1 ? (1, 1) : (otherwise, otherwise) }
      guard given.count == (isOneDim ? 1 : 2) else {
        throw Failure(.corruptData, "\(name) \(given) must be one number for each of \(isOneDim ? 1 : 2) dims")
      }
      return isOneDim ? (name == "output_padding" ? 0 : 1, given[0]) : (given[0], given[1])
    }
    _ = try n.ints("kernel_shape")
    var options = ConvTransposeOptions()
    (options.stride, options.dilation) = (try two("strides", 1), try two("dilations", 1))
    options.outputPadding = try two("output_padding", 0)
    options.groups = try n.int("group", 1)
    let pads = try n.ints("pads") ?? [Int](repeating: 0, count: isOneDim ? 2 : 4)
    guard pads.count == (isOneDim ? 2 : 4), Array(pads.prefix(pads.count / 2)) == Array(pads.suffix(pads.count / 2)) else {
      throw Failure(.unsupported, "pads \(pads) must be the same on both sides")
    }
    options.padding = isOneDim ? (0, pads[0]) : (pads[0], pads[1])
    var inputs = [x, w]
    if let bias = n.optional(2) { inputs.append(bias) }
    let y = try apply(.convTranspose2d(options), inputs)
    return [isOneDim ? try apply(.squeeze([2]), [y]) : y]
  }

  /// Images or rows, the last dims only.
  func resize(_ n: NodeView) throws(Failure) -> [Item] {
    let x = try n.input(0)
    guard x.rank == 3 || x.rank == 4 else {
      throw Failure(.unsupported, "input \(Shape.text(x.shape)) must be (batch, channels, height, width) or (batch, channels, length)")
    }
    let isUpsample = n.node.opType == "Upsample"
    let mode = try n.text("mode", "nearest")
    guard mode == "nearest" || mode == "linear" else { throw Failure(.unsupported, "mode '\(mode)' is not known here, only nearest and linear") }
    // Upsample, and Resize up to version 10, take the pixel of i / scale.
    let place = try n.text("coordinate_transformation_mode", isUpsample || n.inputs.count == 2 ? "asymmetric" : "half_pixel")
    let rounding = try n.text("nearest_mode", isUpsample || n.inputs.count == 2 ? "floor" : "round_prefer_floor")
    _ = (try n.float("cubic_coeff_a"), try n.int("exclude_outside"), try n.float("extrapolation_value"))
    try n.need("antialias", 0)
    let scalesAt = isUpsample || n.inputs.count == 2 ? 1 : 2
    var scale: [Double]?
    if let item = n.optional(scalesAt), item.samples[0].count > 0 {
      guard item.isFixed else { throw Failure(.unsupported, "the scales must be known beforehand") }
      scale = try item.samples[0].values()
    } else if isUpsample {
      scale = try n.floats("scales")
    }
    var size: [Int]?
    if scale == nil, let item = n.optional(3) { size = try item.integers("sizes") }
    guard scale?.count ?? size?.count == x.rank else {
      throw Failure(.corruptData, "\(scale?.count ?? size?.count ?? 0) scales or sizes are given for \(x.rank) dims")
    }
    if let scale, scale[0] != 1 || scale[1] != 1 { throw Failure(.unsupported, "batch and channels cannot be resized: scales \(scale)") }
    let outer = scale.map { Array($0.dropFirst(2)) }
    let isWhole = outer?.allSatisfy { $0 == $0.rounded() } ?? false
    if mode == "nearest" {
      // With a whole factor, half_pixel rounded down at the tie takes the same pixels as asymmetric floor.
      let isFloor = place == "asymmetric" && rounding == "floor"
      let isSame = place == "half_pixel" && isWhole && (rounding == "round_prefer_floor" || rounding == "round_prefer_ceil")
      guard isFloor || isSame else {
        throw Failure(.unsupported, "nearest with '\(place)' and '\(rounding)' is not known here, only asymmetric and floor")
      }
    } else {
      guard place == "half_pixel" || place == "align_corners" || place == "pytorch_half_pixel" else {
        throw Failure(.unsupported, "linear with '\(place)' is not known here, only half_pixel and align_corners")
      }
    }
    return [
      try apply(
        .upsample(
          size: scale == nil ? size.map { Array($0.dropFirst(2)) } : nil, scale: outer, linear: mode == "linear",
          alignsCorners: place == "align_corners"), [x])
    ]
  }
}
