import Core
import LuaHost
import TensorKernels
import Tensors

/// Tensors like others, numbers at even steps, and directions of vectors.
extension TensorFaces {
  private static let likeSignature = "fun(other: Tensor, opts?: {dtype?: string}): Tensor"

  private static func like(_ name: String, _ doc: String, _ make: @escaping @Sendable ([Int], DType) throws(Failure) -> Tensor)
    -> Fn
  {
    Fn(name, likeSignature, doc) { call in
      let t = try call.tensor(1)
      return try call.push(make(t.shape, call.options(2).dtype() ?? t.dtype))
    }
  }

  static let alike: [Fn] = [
    like("zeros_like", "All 0, of another tensor's shape and type.") { (s, d) throws(Failure) in try Tensor.zeros(s, d) },
    like("ones_like", "All 1, of another tensor's shape and type.") { (s, d) throws(Failure) in try Tensor.full(s, 1, d) },
    like("rand_like", "Uniform in 0..1, of another tensor's shape and type.") { (s, d) throws(Failure) in
      try Tensor.uniform(s, d)
    },
    like("randn_like", "Normal, of another tensor's shape and type.") { (s, d) throws(Failure) in try Tensor.normal(s, d) },
    Fn(
      "full_like", "fun(other: Tensor, value: number, opts?: {dtype?: string}): Tensor",
      "All of one value, of another tensor's shape and type."
    ) { call in
      let t = try call.tensor(1)
      return try call.push(Tensor.full(t.shape, call.number(2), call.options(3).dtype() ?? t.dtype))
    },
    Fn(
      "linspace", "fun(first: number, last: number, count: integer, opts?: {dtype?: string}): Tensor",
      "count numbers at even steps, first and last included."
    ) { call in
      let (first, last, count) = (try call.number(1), try call.number(2), try call.integer(3, in: 0...1 << 32))
      let type = try call.options(4).dtype() ?? .f32
      let steps = try Tensor.arange(0, Double(count), 1, .f64)
      let step = (last - first) / Double(max(1, count - 1))
      return try call.push(steps.mul(step).add(first).cast(type))
    },
    Fn(
      "normalize", "fun(x: Tensor, dim?: integer, opts?: {eps?: number}): Tensor",
      "Each vector along a dim (2) divided by its length, or by eps (1e-12) where that is larger."
    ) { call in
      try call.push(try call.tensor(1).unitVectors(call.optionalDim(2) ?? 1, epsilon: call.options(3).number("eps") ?? 1e-12))
    },
    Fn(
      "cosine_similarity", "fun(x: Tensor, y: Tensor, dim?: integer, opts?: {eps?: number}): Tensor",
      "sum(x y) / (|x| |y|) along a dim (2); lengths are at least eps (1e-8)."
    ) { call in
      try call.push(
        Tensor.cosineSimilarity(
          call.tensor(1), call.tensor(2), call.optionalDim(3) ?? 1, epsilon: call.options(4).number("eps") ?? 1e-8))
    },
  ]
}
