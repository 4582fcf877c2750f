import Core
import TensorGraph
import TensorKernels
import Tensors

/// Images at another size: onnx.ai/onnx/operators/onnx__Resize.html and so on.
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
    let window = try Window(n, kernel: isOneDim ? [1, try w.extent(3)] : w.extents(2..<4), isOneDim: isOneDim)
    guard try n.ints("output_shape") == nil else { throw Failure(.unsupported, "output_shape is not known here") }
    let pads = try window.given()
    let more = try n.ints("output_padding") ?? (isOneDim ? [0] : [0, 0])
    guard more.count == (isOneDim ? 1 : 2) else {
      throw Failure(.corruptData, "output_padding \(more) must be one number for each dim")
    }
    var options = ConvTransposeOptions()
    options.stride = (window.stride[0], window.stride[1])
    options.dilation = (window.dilation[0], window.dilation[1])
    options.padding = (min(pads[0].0, pads[0].1), min(pads[1].0, pads[1].1))
    options.outputPadding = isOneDim ? (0, more[0]) : (more[0], more[1])
    options.groups = try n.int("group", 1)
    var inputs = [x, w]
    if let bias = n.optional(2) { inputs.append(bias) }
    var y = try apply(.convTranspose2d(options), inputs)
    // Padding that is not the same on both sides is cut off.
    for (d, pad) in pads.enumerated() {
      let both = min(pad.0, pad.1)
      let (front, behind, extent) = (pad.0 - both, pad.1 - both, try y.extent(2 + d))
      guard front + behind <= extent else {
        throw Failure(.shapeMismatch, "pads \(pad) are more than the \(extent) pixels there")
      }
      y = try sliced(y, 2 + d, front, extent - behind, 1)
    }
    return [isOneDim ? try apply(.squeeze([2]), [y]) : y]
  }

  /// Nearest pixels from the corner, or for whole factors in any way that comes to the same; linear from the middles of pixels or the corners.
  func resize(_ n: NodeView) throws(Failure) -> [Item] {
    let x = try n.input(0)
    let (mode, place) = (
      try n.text("mode", "nearest"), try n.text("coordinate_transformation_mode", opset >= 11 ? "half_pixel" : "asymmetric")
    )
    let rounding = try n.text("nearest_mode", opset >= 11 ? "round_prefer_floor" : "floor")
    _ = try (n.float("cubic_coeff_a"), n.float("extrapolation_value"))
    try n.need("exclude_outside", 0)
    try n.need("antialias", 0)
    guard try n.text("keep_aspect_ratio_policy", "stretch") == "stretch", try n.ints("axes") == nil else {
      throw Failure(.unsupported, "axes and keep_aspect_ratio_policy are not known here")
    }
    guard x.rank >= 3 else { throw Failure(.unsupported, "input \(Shape.text(x.shape)) must have 3 dims or more") }
    let scales = n.optional(opset >= 11 ? 2 : 1)
    let sizes = n.optional(3)
    if let sizes {
      let lists = try sizes.integerLists("the sizes")
      for (k, list) in lists.enumerated() {
        guard list.count == x.rank, Array(list.prefix(2)) == Array(x.samples[k].shape.prefix(2)), list[2...] == lists[0][2...]
        else {
          throw Failure(.unsupported, "sizes \(list) must keep batch and channels of \(Shape.text(x.shape))")
        }
      }
      return [try resized(x, size: Array(lists[0].dropFirst(2)), scale: nil, mode, place, rounding)]
    }
    guard let scales else { throw Failure(.corruptData, "neither scales nor sizes are there") }
    return [try resized(x, size: nil, scale: try factors(scales, x), mode, place, rounding)]
  }

  /// Before Resize: scales are an attribute, or since version 9 an input.
  func upsample(_ n: NodeView) throws(Failure) -> [Item] {
    let (x, mode) = (try n.input(0), try n.text("mode", "nearest"))
    var scale = try n.floats("scales") ?? []
    if let item = n.optional(1) { scale = try factors(item, x) } else { scale = try behindChannels(scale, x) }
    return [try resized(x, size: nil, scale: scale, mode, "asymmetric", "floor")]
  }

  private func factors(_ item: Item, _ x: Item) throws(Failure) -> [Double] {
    guard try item.isSame(), item.rank == 1, item.dtype.isFloat else {
      throw Failure(.unsupported, "the scales must be a list of floats known beforehand, not \(Shape.text(item.shape))")
    }
    return try behindChannels(try item.samples[0].values(), x)
  }
  private func behindChannels(_ scale: [Double], _ x: Item) throws(Failure) -> [Double] {
    guard scale.count == x.rank, x.rank >= 3, scale[0] == 1, scale[1] == 1 else {
      throw Failure(.unsupported, "scales \(scale) must keep batch and channels of \(Shape.text(x.shape))")
    }
    return Array(scale.dropFirst(2))
  }

  private func resized(_ x: Item, size: [Int]?, scale: [Double]?, _ mode: String, _ place: String, _ rounding: String)
    throws(Failure) -> Item
  {
    var ratios = scale ?? []
    if let size { for (d, wanted) in size.enumerated() { ratios.append(Double(wanted) / Double(max(1, try x.extent(2 + d)))) } }
    let isWhole = ratios.allSatisfy { $0 >= 1 && $0 == $0.rounded() }
    let isHalf = place == "half_pixel" || place == "pytorch_half_pixel"
    let isKnown: Bool
    switch mode {
    case "nearest":
      isKnown =
        place == "asymmetric"
        && (rounding == "floor" || isWhole && rounding == "round_prefer_floor" && ratios.allSatisfy { $0 <= 2 })
        || isHalf && isWhole && rounding.hasPrefix("round_prefer")
    case "linear": isKnown = isHalf || place == "align_corners" || ratios.allSatisfy { $0 == 1 }
    default: isKnown = false
    }
    guard isKnown else {
      throw Failure(
        .unsupported,
        "mode '\(mode)' with coordinates '\(place)', rounding '\(rounding)' and factors \(ratios) is not known here")
    }
    return try apply(
      .upsample(
        size: size, scale: scale, linear: mode == "linear", alignsCorners: mode == "linear" && place == "align_corners"), [x])
  }

  /// Channels become pixels. DCR: the block comes before the channel, CRD: behind it.
  func depthToSpace(_ n: NodeView) throws(Failure) -> [Item] {
    let x = try n.input(0)
    guard let r = try n.int("blocksize"), r >= 1, r < 1 << 14, x.rank == 4, try x.extent(1) % (r * r) == 0 else {
      throw Failure(.shapeMismatch, "blocksize is missing or does not fit input \(Shape.text(x.shape))")
    }
    let isBlockFirst = try n.text("mode", "DCR") == "DCR"
    let shapes = x.samples.map(\.shape)
    let split = shapes.map { s in
      [s[0]] + (isBlockFirst ? [r, r, s[1] / (r * r)] : [s[1] / (r * r), r, r]) + [s[2], s[3]]
    }
    let turned = try apply(.permute(isBlockFirst ? [0, 3, 4, 1, 5, 2] : [0, 1, 4, 2, 5, 3]), [try reshaped(x, split)])
    return [try reshaped(turned, shapes.map { [$0[0], $0[1] / (r * r), $0[2] * r, $0[3] * r] })]
  }

  /// Numbers around the input, or with negative pads a part of it. Pads, value and axes are attributes, or since version 11 inputs.
  func pad(_ n: NodeView) throws(Failure) -> [Item] {
    let x = try n.input(0)
    let modes: [String: PadMode] = ["constant": .constant, "reflect": .reflect, "edge": .replicate, "wrap": .circular]
    let name = try n.text("mode", "constant")
    guard let mode = modes[name] else { throw Failure(.corruptData, "mode '\(name)' is none of constant, reflect, edge, wrap") }
    let attribute = try n.ints("pads")
    let pads = if let item = n.optional(1) { try item.integers("pads") } else { attribute ?? [] }
    var value = try n.float("value", 0)
    if let item = n.optional(2), item.samples[0].count > 0 {
      guard let number = try item.number() else { throw Failure(.unsupported, "the value must be one number known beforehand") }
      value = number
    }
    let axes = try n.optional(3).map { (item) throws(Failure) in try item.integers("axes") } ?? Array(0..<x.rank)
    guard pads.count == 2 * axes.count else {
      throw Failure(.corruptData, "pads \(pads) must be two numbers for each of \(axes.count) dims")
    }
    _ = try GraphReader.axes(axes, rank: x.rank)
    // Pairs from the last dim on.
    var amounts = [Int](repeating: 0, count: 2 * x.rank)
    for (i, given) in axes.enumerated() {
      let at = 2 * (x.rank - 1 - (try x.axis(given)))
      (amounts[at], amounts[at + 1]) = (pads[i], pads[axes.count + i])
    }
    while amounts.count > 2, amounts.suffix(2).allSatisfy({ $0 == 0 }) { amounts.removeLast(2) }
    return [try apply(.pad(amounts, mode: mode, value: value), [x])]
  }
}
