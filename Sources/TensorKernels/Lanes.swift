/// Eight floats at a time: one register of AVX2, two of NEON.
typealias Lanes = SIMD8<Float>

@inline(__always) func load(_ p: UnsafePointer<Float>) -> Lanes { UnsafeRawPointer(p).loadUnaligned(as: Lanes.self) }
@inline(__always) func load(_ p: UnsafeMutablePointer<Float>) -> Lanes { UnsafeRawPointer(p).loadUnaligned(as: Lanes.self) }
@inline(__always) func store(_ v: Lanes, _ p: UnsafeMutablePointer<Float>) {
  UnsafeMutableRawPointer(p).storeBytes(of: v, as: Lanes.self)
}
@inline(__always) func load4(_ p: UnsafePointer<Float>) -> SIMD4<Float> {
  UnsafeRawPointer(p).loadUnaligned(as: SIMD4<Float>.self)
}
@inline(__always) func store4(_ v: SIMD4<Float>, _ p: UnsafeMutablePointer<Float>) {
  UnsafeMutableRawPointer(p).storeBytes(of: v, as: SIMD4<Float>.self)
}
@inline(__always) func lanes(_ x: Float) -> Lanes { Lanes(repeating: x) }

extension SIMD8<Float> {
  /// max(self, 0); NaN stays, and -0 becomes 0.
  @inline(__always) var positive: Lanes { replacing(with: 0, where: self .<= Lanes(repeating: 0)) }
  /// `self`, but 0 where `y` <= 0: the gradient of relu, y being its result. As in PyTorch it comes through where y is NaN.
  @inline(__always) func kept(wherePositive y: Lanes) -> Lanes { replacing(with: 0, where: y .<= Lanes(repeating: 0)) }
}

typealias EightLanes = (Lanes, Lanes, Lanes, Lanes, Lanes, Lanes, Lanes, Lanes)

/// Rows become columns. Written lane by lane; the compiler makes the 24 shuffles of it.
@inline(__always) func transposed(_ r: EightLanes) -> EightLanes {
  @inline(__always) func low(_ a: Lanes, _ b: Lanes) -> Lanes { Lanes(a[0], b[0], a[1], b[1], a[4], b[4], a[5], b[5]) }
  @inline(__always) func high(_ a: Lanes, _ b: Lanes) -> Lanes { Lanes(a[2], b[2], a[3], b[3], a[6], b[6], a[7], b[7]) }
  @inline(__always) func lowPairs(_ a: Lanes, _ b: Lanes) -> Lanes { Lanes(a[0], a[1], b[0], b[1], a[4], a[5], b[4], b[5]) }
  @inline(__always) func highPairs(_ a: Lanes, _ b: Lanes) -> Lanes { Lanes(a[2], a[3], b[2], b[3], a[6], a[7], b[6], b[7]) }
  let (a0, a1, a2, a3) = (low(r.0, r.1), high(r.0, r.1), low(r.2, r.3), high(r.2, r.3))
  let (a4, a5, a6, a7) = (low(r.4, r.5), high(r.4, r.5), low(r.6, r.7), high(r.6, r.7))
  let (b0, b1, b2, b3) = (lowPairs(a0, a2), highPairs(a0, a2), lowPairs(a1, a3), highPairs(a1, a3))
  let (b4, b5, b6, b7) = (lowPairs(a4, a6), highPairs(a4, a6), lowPairs(a5, a7), highPairs(a5, a7))
  return (
    Lanes(lowHalf: b0.lowHalf, highHalf: b4.lowHalf), Lanes(lowHalf: b1.lowHalf, highHalf: b5.lowHalf),
    Lanes(lowHalf: b2.lowHalf, highHalf: b6.lowHalf), Lanes(lowHalf: b3.lowHalf, highHalf: b7.lowHalf),
    Lanes(lowHalf: b0.highHalf, highHalf: b4.highHalf), Lanes(lowHalf: b1.highHalf, highHalf: b5.highHalf),
    Lanes(lowHalf: b2.highHalf, highHalf: b6.highHalf), Lanes(lowHalf: b3.highHalf, highHalf: b7.highHalf)
  )
}

/// Each of eight with its number, unrolled.
@inline(__always) func forEach(_ t: EightLanes, _ body: (Lanes, Int) -> Void) {
  body(t.0, 0)
  body(t.1, 1)
  body(t.2, 2)
  body(t.3, 3)
  body(t.4, 4)
  body(t.5, 5)
  body(t.6, 6)
  body(t.7, 7)
}
