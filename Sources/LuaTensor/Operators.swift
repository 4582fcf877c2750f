import Core
import LuaHost
import TensorKernels
import Tensors

/// Operators, `#t`, `t[i]`, `t.grad`, `tostring(t)`.
extension LuaTensorMethods {
  private static func sign(_ name: String, _ op: BinaryOp, _ doc: String) -> Fn {
    Fn(name, "fun(a: Tensor|number, b: Tensor|number): Tensor", doc) { call in
      let (a, b) = try call.operands()
      return try call.push(Tensor.binary(op, a, b))
    }
  }
  private static func logic(_ name: String, _ op: LogicOp, _ doc: String) -> Fn {
    Fn(name, "fun(a: Tensor|boolean, b: Tensor|boolean): Tensor", doc) { call in
      let (a, b) = try call.operands()
      guard a.dtype == .bool, b.dtype == .bool else {
        throw Failure(.typeMismatch, "& | ~ work on bool tensors, these are \(a.dtype) and \(b.dtype); compare first")
      }
      return try call.push(Tensor.logic(op, a, b))
    }
  }

  static let operators: [Fn] = [
    sign("__add", .add, "Sum."), sign("__sub", .sub, "Difference."), sign("__mul", .mul, "Product, element by element."),
    sign("__div", .div, "Quotient."), sign("__mod", .mod, "Rest."), sign("__pow", .pow, "Power."),
    sign("__idiv", .floordiv, "Quotient rounded down."), logic("__band", .and, "Both."), logic("__bor", .or, "At least one."),
    logic("__bxor", .xor, "Exactly one."),
    Fn("__bnot", "fun(a: Tensor): Tensor", "Not.") { call in
      let t = try call.tensor(1)
      guard t.dtype == .bool else { throw Failure(.typeMismatch, "~ works on bool tensors, this one is \(t.dtype)") }
      return try call.push(Tensor.compare(.eq, t, Tensor.scalar(0, .bool)))
    },
    Fn("__unm", "fun(a: Tensor): Tensor", "Negated.") { call in try call.push(try call.tensor(1).unary(.neg)) },
    Fn("__len", "fun(self: Tensor): integer", "The extent of the first dim.") { call in
      let t = try call.tensor(1)
      guard let first = t.shape.first else { throw Failure(.shapeMismatch, "#: a scalar tensor has no length") }
      return call.push(first)
    },
    Fn("__tostring", "fun(self: Tensor): string", "Type, shape and values.") { call in call.push(try call.tensor(1).text()) },
    Fn("__newindex", "fun(self: Tensor, key: any, value: any)", "Writes a position, or sets the gradient.") { call in
      let t = try call.tensor(1)
      if call.isString(2) {
        let key = try call.string(2)
        guard key == "grad" else { throw Failure(.plain, "a Tensor has no field '\(key)' to set; fields are: grad") }
        let grad = try call.optionalTensor(3)
        if let grad, grad.shape != t.shape || grad.dtype != t.dtype {
          throw Failure(
            .shapeMismatch, "grad: \(grad.dtype) \(Shape.text(grad.shape)) does not fit \(t.dtype) \(Shape.text(t.shape))")
        }
        t.grad = grad?.detached()
        return 0
      }
      try t.checkWritable()
      try GradMode.disabled { () throws(Failure) in
        let target = try element(call, t)
        try target.assign(call.operand(3, like: target))
      }
      return 0
    },
  ]

  static let index = Fn(
    "__index", "fun(self: Tensor, key: any): any", "t[i], t[{i, j}], t[positions], t.grad, t.requires_grad."
  ) { call in
    let t = try call.tensor(1)
    if call.isString(2) {
      switch try call.string(2) {
      case "grad":
        guard let grad = t.grad else { return call.pushNil() }
        return try call.push(grad)
      case "requires_grad": return call.push(t.tracksGradient)
      default:
        let known = ["grad", "requires_grad"] + all.map(\.name)
        throw Failure(.plain, "Tensor has no method or field \(nearNames(call.describe(2), known: known, what: "names"))")
      }
    }
    if call.isObject(2) { return try call.push(t.indexSelected(0, call.positions(2, extent: t.shape.first ?? 0))) }
    return try call.push(element(call, t))
  }

  /// The view that `t[i]` or `t[{i, j}]` names.
  private static func element(_ call: borrowing Call, _ t: Tensor) throws(Failure) -> Tensor {
    if call.isTable(2) {
      var view = t
      for i in try call.integers(2) {
        guard i != 0 else { throw Failure(.plain, "positions count from 1, and -1 is the last; got 0") }
        view = try view.selected(0, i > 0 ? i - 1 : i)
      }
      return view
    }
    guard call.isInteger(2) else {
      throw Failure(
        .plain, "a Tensor is indexed by a position, a list of positions or a tensor of them, not \(call.describe(2))")
    }
    let i = try call.integer(2)
    guard i != 0 else { throw Failure(.plain, "positions count from 1, and -1 is the last; got 0") }
    return try t.selected(0, i > 0 ? i - 1 : i)
  }
}

extension Tensor {
  /// `t[i] = v` follows the rules of in-place changes.
  fileprivate func checkWritable() throws(Failure) {
    if GradMode.isEnabled, tracksGradient {
      throw Failure(
        .invalidArgument, "t[i] = v: this tensor is part of a gradient graph; change it inside tensor.no_grad or use a copy")
    }
  }
}
