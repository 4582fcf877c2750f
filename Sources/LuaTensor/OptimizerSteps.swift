import Core
import LuaHost
import TensorKernels
import Tensors

/// Fused optimizer steps for `LuaLib/optim`: each takes the lists of a whole group, and the group itself as options.
extension TensorFaces {
  private static let lists = "parameters: Tensor[], steps: Tensor[], "

  static let groupSteps: [Fn] = [
    Fn(
      "adam_group", "fun(\(lists)m: Tensor[], v: Tensor[], group: table, decoupled: boolean)", "Adam, or AdamW when decoupled."
    ) { call in
      let o = try group(call, 5, ["lr", "beta1", "beta2", "eps", "weight_decay"])
      let options = AdamOptions(
        lr: try o.number("lr") ?? 1e-3, beta1: try o.number("beta1") ?? 0.9, beta2: try o.number("beta2") ?? 0.999,
        epsilon: try o.number("eps") ?? 1e-8, weightDecay: try o.number("weight_decay") ?? 0, decoupled: try call.boolean(6))
      try GroupSteps.adam(list(call, 1), steps: list(call, 2), m: list(call, 3), v: list(call, 4), options)
      return 0
    },
    Fn("sgd_group", "fun(\(lists)velocity: Tensor[], group: table)", "SGD; no velocity without momentum.") { call in
      let o = try group(call, 4, ["lr", "momentum", "dampening", "nesterov", "weight_decay"])
      let options = SGDOptions(
        lr: try o.number("lr") ?? 1e-2, momentum: try o.number("momentum") ?? 0, dampening: try o.number("dampening") ?? 0,
        weightDecay: try o.number("weight_decay") ?? 0, nesterov: try o.boolean("nesterov") ?? false)
      try GroupSteps.sgd(list(call, 1), steps: list(call, 2), velocity: list(call, 3), options)
      return 0
    },
    Fn(
      "rmsprop_group", "fun(\(lists)square: Tensor[], mean: Tensor[], velocity: Tensor[], group: table)",
      "RMSprop; mean when centered, velocity with momentum, else empty lists."
    ) { call in
      let o = try group(call, 6, ["lr", "alpha", "eps", "weight_decay", "momentum", "centered"])
      let options = RMSpropOptions(
        lr: try o.number("lr") ?? 1e-2, alpha: try o.number("alpha") ?? 0.99, epsilon: try o.number("eps") ?? 1e-8,
        weightDecay: try o.number("weight_decay") ?? 0, momentum: try o.number("momentum") ?? 0)
      try GroupSteps.rmsprop(
        list(call, 1), steps: list(call, 2), square: list(call, 3), mean: list(call, 4), velocity: list(call, 5), options)
      return 0
    },
    Fn("adagrad_group", "fun(\(lists)sum: Tensor[], group: table)", "Adagrad.") { call in
      let o = try group(call, 4, ["lr", "lr_decay", "eps", "weight_decay", "initial_accumulator_value"])
      let options = AdagradOptions(
        lr: try o.number("lr") ?? 1e-2, lrDecay: try o.number("lr_decay") ?? 0, epsilon: try o.number("eps") ?? 1e-10,
        weightDecay: try o.number("weight_decay") ?? 0)
      try GroupSteps.adagrad(list(call, 1), steps: list(call, 2), sum: list(call, 3), options)
      return 0
    },
    Fn(
      "approach", "fun(averages: Tensor[], values: Tensor[], weight: number)", "Each average += weight (value - average)."
    ) { call in
      try GroupSteps.approach(list(call, 1), list(call, 2), weight: call.number(3))
      return 0
    },
    Fn("clip_grad_value", "fun(parameters: Tensor[], most: number)", "Cuts every element of the gradients to -most..most.") {
      call in
      try Tensor.clipGradientValue(list(call, 1), most: call.number(2))
      return 0
    },
    Fn("forget_gradients", "fun(parameters: Tensor[])", "Sets every gradient to nil.") { call in
      for parameter in try list(call, 1) { parameter.grad = nil }
      return 0
    },
  ]

  /// The options of a group; what schedules keep there is known too.
  private static func group(_ call: borrowing Call, _ index: Int32, _ known: [String]) throws(Failure) -> Options {
    try call.options(index, known: known + ["params", "initial_lr", "scheduled_lr"])
  }

  private static func list(_ call: borrowing Call, _ index: Int32) throws -> [Tensor] {
    var out: [Tensor] = []
    out.reserveCapacity(call.length(index))
    try call.forEachElement(index) { i in
      guard let tensor = call.objectIfPresent(-1, as: Tensor.self) else {
        throw call.bad(index, "element \(i) must be a Tensor, got \(call.typeName(-1))")
      }
      out.append(tensor)
    }
    return out
  }
}
