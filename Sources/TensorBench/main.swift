import Core
import Foundation
import TensorKernels

// Times of single layers, for Benchmarks/train/run, which runs PyTorch in the same run:
//
//   TensorBench conv BATCH IN SIZE OUT KERNEL STRIDE PAD SECONDS [winograd|direct|implicit|patches]
//
// Prints one JSON object: seconds (median) of the result, of all gradients, and of those of weights and bias only.

func numbers(_ count: Int, seed: UInt64) throws -> Buffer {
  let buffer = try Buffer(byteCount: max(1, count) * 4, zeroed: false)
  let pointer = buffer.pointer.assumingMemoryBound(to: Float.self)
  var state = seed &+ 0x9E37_79B9_7F4A_7C15
  for i in 0..<count {
    state = state &* 6_364_136_223_846_793_005 &+ 1_442_695_040_888_963_407
    pointer[i] = Float(Int32(truncatingIfNeeded: state >> 33) % 1000) / 1000
  }
  return buffer
}

func median(_ seconds: Double, _ body: () throws -> Void) rethrows -> Double {
  try body()
  var times: [Double] = []
  let clock = ContinuousClock()
  let end = clock.now + .seconds(seconds)
  while clock.now < end || times.count < 5 {
    let begin = clock.now
    try body()
    times.append((clock.now - begin) / .seconds(1))
  }
  return times.sorted()[times.count / 2]
}

let arguments = CommandLine.arguments
guard arguments.count >= 10, arguments[1] == "conv" else {
  print("TensorBench conv BATCH IN SIZE OUT KERNEL STRIDE PAD SECONDS [winograd|direct|implicit|patches]")
  exit(2)
}
let values = arguments[2...9].map { Double($0) ?? 0 }
let n = values.dropLast().map { Int($0) }
let algorithm = arguments.count > 10 ? ConvAlgorithm(rawValue: arguments[10]) : nil
let s = ConvShape(
  batch: n[0], inChannels: n[1], height: n[2], width: n[2], outChannels: n[3], kernelH: n[4], kernelW: n[4],
  stride: (n[5], n[5]), padding: (n[6], n[6]))
let results = s.batch * s.outChannels * s.outHeight * s.outWidth
let weights = s.outChannels * s.inChannels * s.kernelH * s.kernelW
let (x, w) = (try numbers(s.batch * s.inChannels * s.height * s.width, seed: 1), try numbers(weights, seed: 2))
let (b, dy) = (try numbers(s.outChannels, seed: 3), try numbers(results, seed: 4))
let (y, dx) = (try numbers(results, seed: 5), try numbers(s.batch * s.inChannels * s.height * s.width, seed: 6))
let (dw, db) = (try numbers(weights, seed: 7), try numbers(s.outChannels, seed: 8))
let forward = try median(values[7]) {
  try Kernels.conv2d(.f32, s, x: x.pointer, w: w.pointer, bias: b.pointer, y: y.pointer, relu: false, algorithm: algorithm)
}
func backward(_ dx: UnsafeMutableRawPointer?) throws {
  try Kernels.conv2dBackward(
    .f32, s, x: x.pointer, w: w.pointer, y: nil, dy: dy.pointer, dx: dx, dw: dw.pointer, dbias: db.pointer,
    algorithm: algorithm)
}
let all = try median(values[7]) { try backward(dx.pointer) }
let own = try median(values[7]) { try backward(nil) }
print(
  "{\"algorithm\": \"\(algorithm ?? s.algorithm(.f32))\", \"of_gradients\": [\"\(s.inputGradientAlgorithm(.f32))\", \"\(s.weightGradientAlgorithm(.f32))\"], \"forward\": \(forward), \"backward\": \(all), \"backward_weights\": \(own)}"
)
