import Core
import TensorGraph
import TensorKernels
import Tensors

/// Kernel, stride, dilation and padding of Conv and the pools, for height and width. One dim is an image of height 1.
///
/// Source: onnx.ai/onnx/operators/onnx__Conv.html, attributes auto_pad, dilations, kernel_shape, pads, strides.
struct Window {
  var kernel: [Int], stride: [Int], dilation: [Int]
  let isOneDim: Bool
  /// Padding in front and behind.
  private let pads: [(Int, Int)]?
  private let auto: String

  init(_ n: NodeView, kernel: [Int]?, isOneDim: Bool) throws(Failure) {
    self.isOneDim = isOneDim
    let dims = isOneDim ? 1 : 2
    func list(_ name: String, _ count: Int, _ least: Int) throws(Failure) -> [Int]? {
      guard let found = try n.ints(name) else { return nil }
      guard found.count == count, found.allSatisfy({ $0 >= least && $0 < 1 << 20 }) else {
        throw Failure(.unsupported, "\(name) \(found) must be \(count) numbers from \(least) to 2^20 - 1")
      }
      return found
    }
    func two(_ list: [Int], _ first: Int) -> [Int] { isOneDim ? [first] + list : list }
    let given = try list("kernel_shape", dims, 1).map { two($0, 1) }
    guard let size = kernel ?? given, size.allSatisfy({ $0 >= 1 && $0 < 1 << 20 }) else {
      throw Failure(.corruptData, "kernel_shape is missing, or the kernel has no elements")
    }
    if let given, given != size { throw Failure(.shapeMismatch, "kernel_shape \(given) is not that of the weight, \(size)") }
    self.kernel = size
    stride = two(try list("strides", dims, 1) ?? [Int](repeating: 1, count: dims), 1)
    dilation = two(try list("dilations", dims, 1) ?? [Int](repeating: 1, count: dims), 1)
    auto = try n.text("auto_pad", "NOTSET")
    if let all = try list("pads", 2 * dims, 0) {
      pads = isOneDim ? [(0, 0), (all[0], all[1])] : [(all[0], all[2]), (all[1], all[3])]
    } else {
      pads = nil
    }
  }

  /// The padding that the file gives, where nothing is to be found out.
  func given() throws(Failure) -> [(Int, Int)] {
    guard auto == "NOTSET" || auto.isEmpty else { throw Failure(.unsupported, "auto_pad '\(auto)' is not known here") }
    return pads ?? [(0, 0), (0, 0)]
  }

  /// What is padded by the op, on both sides alike, and what must be put around the image before, in front and behind.
  /// - Parameter ceil: the last window may reach over the edge.
  func padding(_ n: NodeView, _ x: Item, ceil: Bool = false) throws(Failure) -> (
    both: [Int], extra: [(Int, Int)], full: [(Int, Int)]
  ) {
    var full: [(Int, Int)] = []
    for d in 0..<2 {
      let size = try x.extent(2 + d)
      let reach = dilation[d] * (kernel[d] - 1) + 1
      var (front, behind) = (0, 0)
      switch auto {
      case "NOTSET", "": (front, behind) = pads?[d] ?? (0, 0)
      case "VALID": break
      case "SAME_UPPER", "SAME_LOWER":
        let outs = (size + stride[d] - 1) / stride[d]
        let total = max(0, (outs - 1) * stride[d] + reach - size)
        (front, behind) = auto == "SAME_UPPER" ? (total / 2, total - total / 2) : (total - total / 2, total / 2)
      default: throw Failure(.corruptData, "auto_pad '\(auto)' is none of NOTSET, SAME_UPPER, SAME_LOWER, VALID")
      }
      if ceil {
        let rest = size + front + behind - reach
        // A window that would begin behind the image and its front padding is none.
        if rest > 0, rest % stride[d] != 0 {
          let start = (rest / stride[d] + 1) * stride[d]
          if start < size + front { behind += start - rest }
        }
      }
      full.append((front, behind))
    }
    // The ops' own limit for pools is half of the kernel.
    let both = full.map { min($0.0, $0.1) }
    return (both, zip(full, both).map { ($0.0 - $1, $0.1 - $1) }, full)
  }
}

/// Pools: onnx.ai/onnx/operators/onnx__MaxPool.html, onnx__AveragePool.html and so on.
extension GraphReader {
  /// An image for the pools of (batch, channels, height, width).
  private func image(_ n: NodeView) throws(Failure) -> (Item, isOneDim: Bool) {
    let x = try n.input(0)
    guard x.rank == 3 || x.rank == 4, x.samples.allSatisfy({ $0.count > 0 }) else {
      throw Failure(.unsupported, "input \(Shape.text(x.shape)) must have elements and 4 dims, or 3: images or rows")
    }
    return x.rank == 3 ? (try apply(.unsqueeze(2), [x]), true) : (x, false)
  }

  func maxPool(_ n: NodeView) throws(Failure) -> [Item] {
    let (x, isOneDim) = try image(n)
    let window = try Window(n, kernel: nil, isOneDim: isOneDim)
    guard window.dilation == [1, 1] else {
      throw Failure(.unsupported, "dilations \(window.dilation): windows with gaps are not known")
    }
    try n.need("storage_order", 0)
    let pads = try window.padding(n, x, ceil: n.int("ceil_mode", 0) != 0)
    // Padding never wins.
    let source = try padded(x, pads.extra, value: -Double(Float.greatestFiniteMagnitude))
    let y = try apply(.maxPool2d(kernel: window.kernel, stride: window.stride, padding: pads.both), [source])
    return [isOneDim ? try apply(.squeeze([2]), [y]) : y]
  }

  func averagePool(_ n: NodeView) throws(Failure) -> [Item] {
    let (x, isOneDim) = try image(n)
    let window = try Window(n, kernel: nil, isOneDim: isOneDim)
    guard window.dilation == [1, 1] else {
      throw Failure(.unsupported, "dilations \(window.dilation): windows with gaps are not known")
    }
    let includesPadding = try n.int("count_include_pad", 0) != 0
    let isCeil = try n.int("ceil_mode", 0) != 0
    let (plain, pads) = (try window.padding(n, x), try window.padding(n, x, ceil: isCeil))
    let source = try padded(x, pads.extra, value: 0)
    var y = try apply(.averagePool2d(kernel: window.kernel, stride: window.stride, padding: pads.both), [source])
    // The op divides by the whole window; where fewer elements count, its result is scaled.
    var factors: [[Double]] = []
    for d in 0..<2 {
      let (size, front, kernel) = (try x.extent(2 + d), pads.full[d].0, window.kernel[d])
      let (low, high) = includesPadding ? (-front, size + plain.full[d].1) : (0, size)
      factors.append(
        (0..<(try y.extent(2 + d))).map { i in
          let start = i * window.stride[d] - front
          let counted = min(start + kernel, high) - max(start, low)
          return Double(kernel) / Double(max(1, counted))
        })
    }
    if factors.joined().contains(where: { $0 != 1 }) {
      let all = factors[0].flatMap { a in factors[1].map { a * $0 } }
      let scale = try Tensor.from(all, [1, 1, factors[0].count, factors[1].count], x.dtype)
      y = try apply(.binary(.mul), [y, fixed(scale)])
    }
    return [isOneDim ? try apply(.squeeze([2]), [y]) : y]
  }

  func globalAveragePool(_ n: NodeView) throws(Failure) -> [Item] {
    let x = try n.input(0)
    if x.rank == 4 { return [try apply(.adaptiveAveragePool2d(out: [1, 1]), [x])] }
    guard x.rank >= 3 else { throw Failure(.shapeMismatch, "input \(Shape.text(x.shape)) must have 3 dims or more") }
    return [try mean(x, Array(2..<x.rank), keepDims: true)]
  }

  func globalMaxPool(_ n: NodeView) throws(Failure) -> [Item] {
    let (x, isOneDim) = try image(n)
    let kernel = try x.extents(2..<4)
    let y = try apply(.maxPool2d(kernel: kernel, stride: [1, 1], padding: [0, 0]), [x])
    return [isOneDim ? try apply(.squeeze([2]), [y]) : y]
  }

  /// Rows and columns of `value` put around the last two dims.
  func padded(_ x: Item, _ extra: [(Int, Int)], value: Double) throws(Failure) -> Item {
    if extra.allSatisfy({ $0 == (0, 0) }) { return x }
    return try apply(.pad(extra.reversed().flatMap { [$0.0, $0.1] }, mode: .constant, value: value), [x])
  }
}
