package import LanceProto

/// How near two vectors are. What is reported as `_distance` is what Lance reports.
package enum VectorMetric: String, Sendable, CaseIterable {
  /// The squared Euclidean distance.
  case l2
  /// 1 - cosine of the angle; 1 for a vector of zeros.
  case cosine
  /// 1 - inner product.
  case dot

  /// As index details name it; nil for metrics that are not supported (Hamming).
  package init?(_ proto: PBVectorMetric) {
    switch proto {
    case .l2: self = .l2
    case .cosine: self = .cosine
    case .dot: self = .dot
    default: return nil
    }
  }

  package var proto: PBVectorMetric {
    switch self {
    case .l2: .l2
    case .cosine: .cosine
    case .dot: .dot
    }
  }
}
