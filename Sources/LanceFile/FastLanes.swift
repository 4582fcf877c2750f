/// Bit-packing of 1024 values at a time, in the transposed order of the FastLanes layout.
///
/// With words of T bits there are L = 1024 / T lanes. Value (row r, lane l), 0 <= r < T, is input number
/// `order[r / 8] * 16 + (r % 8) * 128 + l`. Each lane is a stream of w-bit values; word k of lane l lies at
/// `packed[L * k + l]`, so that one row of all lanes is handled by vector instructions.
enum FastLanes {
  static let blockSize = 1024
  private static let order = (0, 4, 2, 6, 1, 5, 3, 7)

  @inline(__always) private static func base(_ row: Int) -> Int {
    let block =
      switch row >> 3 {
      case 0: order.0
      case 1: order.1
      case 2: order.2
      case 3: order.3
      case 4: order.4
      case 5: order.5
      case 6: order.6
      default: order.7
      }
    return block * 16 + (row & 7) * 128
  }

  /// Bytes of 1024 values of `width` bits.
  static func packedByteCount(width: Int) -> Int { width * 128 }

  /// Reads `packedByteCount(width)` bytes at `packed` and writes 1024 values. `width` is 0 ... T.bitWidth.
  static func unpack<T: FixedWidthInteger & UnsignedInteger & BitwiseCopyable>(
    _ packed: UnsafeRawPointer, width: Int, to out: UnsafeMutablePointer<T>
  ) {
    let bits = T.bitWidth
    let lanes = blockSize / bits
    guard width > 0 else {
      out.update(repeating: 0, count: blockSize)
      return
    }
    let mask = T.max >> T(truncatingIfNeeded: bits - width)
    let stride = MemoryLayout<T>.size
    for row in 0..<bits {
      let target = out + base(row)
      let bit = row * width
      let shift = bit % bits
      let word = packed + bit / bits * lanes * stride
      let right = T(truncatingIfNeeded: shift)
      if shift + width <= bits {
        for lane in 0..<lanes {
          target[lane] = (word.loadUnaligned(fromByteOffset: lane &* stride, as: T.self) &>> right) & mask
        }
      } else {
        let left = T(truncatingIfNeeded: bits - shift)
        let next = word + lanes * stride
        for lane in 0..<lanes {
          let low = word.loadUnaligned(fromByteOffset: lane &* stride, as: T.self) &>> right
          target[lane] = (low | next.loadUnaligned(fromByteOffset: lane &* stride, as: T.self) &<< left) & mask
        }
      }
    }
  }

  /// Packs 1024 values, all below 2^width, into `packedByteCount(width)` zeroed bytes at `packed` (aligned for `T`).
  static func pack<T: FixedWidthInteger & UnsignedInteger & BitwiseCopyable>(
    _ values: UnsafePointer<T>, width: Int, to packed: UnsafeMutablePointer<T>
  ) {
    guard width > 0 else { return }
    let bits = T.bitWidth
    let lanes = blockSize / bits
    for row in 0..<bits {
      let source = values + base(row)
      let bit = row * width
      let shift = bit % bits
      let word = packed + bit / bits * lanes
      let left = T(truncatingIfNeeded: shift)
      for lane in 0..<lanes { word[lane] |= source[lane] &<< left }
      if shift + width > bits {
        let right = T(truncatingIfNeeded: bits - shift)
        let next = word + lanes
        for lane in 0..<lanes { next[lane] = source[lane] &>> right }
      }
    }
  }

  /// Value `i` (0 ..< 1024) of a packed block, the others left alone.
  static func value<T: FixedWidthInteger & UnsignedInteger & BitwiseCopyable>(
    _ packed: UnsafeRawPointer, width: Int, _ i: Int
  ) -> T {
    guard width > 0 else { return 0 }
    let bits = T.bitWidth
    let lanes = blockSize / bits
    let stride = MemoryLayout<T>.size
    // i = order[row / 8] * 16 + (row % 8) * 128 + lane, lane < lanes; a lane count of 32 and more takes several sixteens.
    let step = i & 127
    let lane = step % lanes
    let eighth = step / 16 - lane / 16
    // `order` is the reversal of three bits, and so its own inverse.
    let row = ((eighth & 1) << 2 | (eighth & 2) | eighth >> 2) * 8 + (i >> 7)
    let bit = row * width
    let shift = bit % bits
    let word = packed + (bit / bits * lanes + lane) * stride
    var value = word.loadUnaligned(as: T.self) &>> T(truncatingIfNeeded: shift)
    if shift + width > bits {
      value |= (word + lanes * stride).loadUnaligned(as: T.self) &<< T(truncatingIfNeeded: bits - shift)
    }
    return value & (T.max >> T(truncatingIfNeeded: bits - width))
  }
}
