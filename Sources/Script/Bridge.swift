import Core
import LuaHost
import LuaTensor
import TensorKernels
import Tensors

/// `_bridge`: columns and files become tensors. The number tower and the data tower do not know each other; both stand
/// on `Core.Buffer`, and here one's memory is seen as the other's.
///
/// Lua code above uses it so: `extend("Batch", { tensor = function(self, name) return bridge.tensor(self:array(name)) end })`.
enum Bridge {
  static let module = Module(
    "_bridge", "For LuaLib only: arrays of numbers as tensors.",
    [
      Fn(
        "tensor", "fun(array: any): Tensor",
        "A tensor over the memory of a column or an IDX file, without a copy: writing into it changes the column."
      ) { call in
        guard let array = call.numericArray(1) else {
          throw call.bad(1, "a column of numbers or an IDX file expected, got \(call.typeName(1))")
        }
        guard let type = types[array.numericType] else {
          throw call.bad(1, "there are no tensors of \(array.numericType.rawValue); cast the column to i32 first")
        }
        return try call.push(object: try Tensor.sharing(try array.denseBuffer(), type, shape: array.shape))
      }
    ])

  private static let types: [NumericType: DType] = [.u8: .u8, .i32: .i32, .i64: .i64, .f32: .f32, .f64: .f64, .bool: .bool]
}
