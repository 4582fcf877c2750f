package import Core
import Glibc
import TensorKernels

/// Reverse-mode automatic differentiation.
///
/// An op's result holds a `Node`: how to turn the gradient of the result into gradients of the inputs, and edges to where
/// those go. Backward visits nodes from the newest to the oldest, which is a topological order because inputs are older
/// than results. Nothing here recurses, so graphs of any depth are fine; a node lets go of everything once used.

/// Whether ops on this thread note their history.
package enum GradMode {
  private static let key: pthread_key_t = {
    var key = pthread_key_t()
    pthread_key_create(&key, nil)
    return key
  }()
  package static var isEnabled: Bool { pthread_getspecific(key) == nil }
  package static func set(_ enabled: Bool) { pthread_setspecific(key, enabled ? nil : UnsafeRawPointer(bitPattern: 1)) }

  /// Runs `body` without noting history.
  package static func disabled<R, E: Error>(_ body: () throws(E) -> R) throws(E) -> R {
    let before = isEnabled
    set(false)
    defer { set(before) }
    return try body()
  }
}

/// (gradient of the result, saved tensors, which inputs want one) -> gradients of the inputs, each of its input's shape.
typealias Backward = (Tensor, [Tensor], [Bool]) throws(Failure) -> [Tensor?]

final class Node {
  enum Edge {
    case none
    case node(Node)
    case leaf(Tensor)
  }
  let op: String
  /// Grows with time: a node is newer than all its inputs.
  let order: UInt64
  var edges: [Edge]
  var saved: [Tensor]
  private var versions: [Int]
  var backward: Backward?

  init(_ op: String, _ inputs: [Tensor], saved: [Tensor], backward: @escaping Backward) {
    self.op = op
    order = Node.next()
    edges = inputs.map { input in
      if let node = input.node { return .node(node) }
      return input.requiresGrad ? .leaf(input) : .none
    }
    // Detached: a saved tensor must not keep the graph of its own past alive.
    self.saved = saved.map { $0.node == nil && !$0.requiresGrad ? $0 : $0.detached() }
    versions = saved.map(\.storage.version)
    self.backward = backward
  }

  var needs: [Bool] {
    edges.map { if case .none = $0 { false } else { true } }
  }

  func run(_ gradient: Tensor) throws(Failure) -> [Tensor?] {
    guard let backward else {
      throw Failure(
        .invalidArgument, "backward: the graph was used already; pass retain_graph = true to the first backward to keep it")
    }
    for (tensor, version) in zip(saved, versions) where tensor.storage.version != version {
      throw Failure(
        .invalidArgument,
        "backward: a tensor of shape \(Shape.text(tensor.shape)) that '\(op)' needs was changed in place after it was used")
    }
    return try backward(gradient, saved, needs)
  }

  func release() {
    backward = nil
    saved = []
  }

  // Letting go of a long chain must not recurse: take the nodes that only we hold apart one by one.
  deinit {
    var pending: [Node] = []
    Node.takeEdges(&edges, into: &pending)
    while var node = pending.popLast() {
      if isKnownUniquelyReferenced(&node) { Node.takeEdges(&node.edges, into: &pending) }
    }
  }
  private static func takeEdges(_ edges: inout [Edge], into pending: inout [Node]) {
    for edge in edges { if case .node(let node) = edge { pending.append(node) } }
    edges = []
  }

  // One counter per thread would do; a process-wide one in thread-local storage keeps tensors of two threads apart.
  private static let key: pthread_key_t = {
    var key = pthread_key_t()
    pthread_key_create(&key, nil)
    return key
  }()
  private static func next() -> UInt64 {
    let value = UInt(bitPattern: pthread_getspecific(key)) &+ 1
    pthread_setspecific(key, UnsafeRawPointer(bitPattern: value))
    return UInt64(value)
  }
}

extension Tensor {
  /// Whether backward can reach something through this tensor.
  package var tracksGradient: Bool { requiresGrad || node != nil }

  /// Makes this a leaf whose gradient is wanted (or no longer wanted).
  /// - Throws: `TYPE_MISMATCH` for a type that is not a float; `INVALID_ARGUMENT` for a computed tensor.
  package func setRequiresGrad(_ wanted: Bool) throws(Failure) {
    if wanted, !dtype.isFloat {
      throw Failure(.typeMismatch, "requires_grad: only f32 and f64 tensors have gradients, this one is \(dtype)")
    }
    if node != nil {
      if wanted { return }
      throw Failure(.invalidArgument, "requires_grad: this tensor was computed; use detach()")
    }
    requiresGrad = wanted
  }

  /// Notes how this result came from `inputs`, when anybody wants to know. `saved` is given back to `backward`.
  func recorded(_ op: String, _ inputs: [Tensor], saving saved: [Tensor] = [], _ backward: @escaping Backward) -> Tensor {
    if let trace = Trace.current { trace.note(other: op) }
    defer { if Anomaly.isOn { Anomaly.look(self, op, inputs) } }
    guard GradMode.isEnabled, inputs.contains(where: \.tracksGradient), dtype.isFloat else { return self }
    node = Node(op, inputs, saved: saved, backward: backward)
    return self
  }

  /// Adds d(this)/d(leaf) to the `grad` of every leaf that led here.
  ///
  /// `gradient` is that of this tensor; 1 for a single element. The graph is freed unless `retainGraph`.
  package func backward(gradient: Tensor? = nil, retainGraph: Bool = false) throws(Failure) {
    guard tracksGradient else {
      throw Failure(.invalidArgument, "backward: no tensor that requires a gradient led to this one")
    }
    let seed: Tensor
    if let gradient {
      guard gradient.shape == shape else {
        throw Failure(
          .shapeMismatch, "backward: gradient of shape \(Shape.text(gradient.shape)) for a tensor of shape \(Shape.text(shape))"
        )
      }
      seed = try gradient.detached().cast(dtype)
    } else {
      guard count == 1 else {
        throw Failure(
          .shapeMismatch, "backward: shape \(Shape.text(shape)) has \(count) elements; reduce it to one or pass a gradient")
      }
      seed = try Tensor.full(shape, 1, dtype)
    }
    var given: Set<ObjectIdentifier> = [ObjectIdentifier(seed.storage)]
    try GradMode.disabled { () throws(Failure) in
      guard let root = node else { return try accumulate(seed, &given) }
      var gradients: [ObjectIdentifier: Tensor] = [ObjectIdentifier(root): seed]
      for node in Tensor.reachable(from: root) {
        guard let gradient = gradients.removeValue(forKey: ObjectIdentifier(node)) else { continue }
        let results = try node.run(gradient)
        if Anomaly.isOn { try Anomaly.check(node, gradient, results) }
        for (edge, result) in zip(node.edges, results) {
          guard let result else { continue }
          switch edge {
          case .none: break
          case .leaf(let leaf): try leaf.accumulate(result, &given)
          case .node(let next):
            let key = ObjectIdentifier(next)
            gradients[key] = try gradients[key].map { (sum) throws(Failure) in try sum.add(result) } ?? result
          }
        }
        if !retainGraph { node.release() }
      }
    }
  }

  /// Adds to `grad`. A first gradient is taken over as it is, unless its memory went to another leaf too.
  private func accumulate(_ gradient: Tensor, _ given: inout Set<ObjectIdentifier>) throws(Failure) {
    if let grad {
      self.grad = try grad.add(gradient)
      return
    }
    let mine = try gradient.contiguous()
    // A small part of a large block would keep all of the block alive.
    let isMost = 2 * mine.byteCount + 4096 >= mine.storage.buffer.byteCount
    grad = given.insert(ObjectIdentifier(mine.storage)).inserted && isMost ? mine : try mine.clone()
  }

  /// All nodes below `root`, newest first.
  private static func reachable(from root: Node) -> [Node] {
    var seen: Set<ObjectIdentifier> = [ObjectIdentifier(root)]
    var all = [root]
    var next = 0
    while next < all.count {
      for edge in all[next].edges {
        if case .node(let node) = edge, seen.insert(ObjectIdentifier(node)).inserted { all.append(node) }
      }
      next += 1
    }
    return all.sorted { $0.order > $1.order }
  }
}
