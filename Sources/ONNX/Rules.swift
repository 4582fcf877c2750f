import Core
import TensorGraph
import TensorKernels
import Tensors

extension GraphReader {
  /// What a node's results are: first the reader, then the node.
  typealias Rule = (GraphReader) -> (NodeView) throws(Failure) -> [Item]

  /// How an operator of ONNX's own set is read; nil when it is not known.
  static func rule(_ name: String) -> Rule? { layerRule(name) ?? mathRule(name) ?? shapeRule(name) }

  /// `ReadLayers.swift`, `ReadPools.swift`, `ReadImages.swift`.
  private static func layerRule(_ name: String) -> Rule? {
    switch name {
    case "Conv": conv
    case "ConvTranspose": convTranspose
    case "Gemm": gemm
    case "MatMul": matmul
    case "MaxPool": maxPool
    case "AveragePool": averagePool
    case "GlobalAveragePool": globalAveragePool
    case "GlobalMaxPool": globalMaxPool
    case "BatchNormalization": batchNorm
    case "LayerNormalization": layerNorm
    case "InstanceNormalization": instanceNorm
    case "GroupNormalization": groupNorm
    case "Resize": resize
    case "Upsample": upsample
    case "DepthToSpace": depthToSpace
    case "Softmax": softmax(isLog: false)
    case "LogSoftmax": softmax(isLog: true)
    case "Dropout": dropout
    default: nil
    }
  }

  /// `ReadMath.swift`, `ReadFunctions.swift`.
  private static func mathRule(_ name: String) -> Rule? {
    switch name {
    case "Add": add
    case "Sub": binary(.sub)
    case "Mul": mul
    case "Div": div
    case "Pow": pow
    case "Mod": mod
    case "Max": several(.maximum)
    case "Min": several(.minimum)
    case "Sum": several(.add)
    case "Relu": unary(.relu)
    case "Exp": unary(.exp)
    case "Log": unary(.log)
    case "Tanh": unary(.tanh)
    case "Sqrt": unary(.sqrt)
    case "Neg": unary(.neg)
    case "Abs": unary(.abs)
    case "Reciprocal": unary(.reciprocal)
    case "Softplus": unary(.softplus)
    case "Sin": unary(.sin)
    case "Cos": unary(.cos)
    case "Floor": unary(.floor)
    case "Ceil": unary(.ceil)
    case "Round": unary(.round)
    case "Sign": unary(.sign)
    case "Sigmoid": sigmoid
    case "Erf": erf
    case "Gelu": gelu
    case "LeakyRelu": sloped(.leakyRelu, 0.01)
    case "PRelu": prelu
    case "Elu": sloped(.elu, 1)
    case "Selu": selu
    case "HardSigmoid": hardSigmoid
    case "HardSwish": activation(.hardswish)
    case "Mish": activation(.mish)
    case "Softsign": activation(.softsign)
    case "Clip": clip
    case "ReduceSum": reduce(isMean: false)
    case "ReduceMean": reduce(isMean: true)
    case "Cast": cast
    default: nil
    }
  }

  /// `ReadShapes.swift`, `ReadConstants.swift`.
  private static func shapeRule(_ name: String) -> Rule? {
    switch name {
    case "Reshape": reshape
    case "Flatten": flatten
    case "Transpose": transpose
    case "Squeeze": squeeze
    case "Unsqueeze": unsqueeze
    case "Expand": expand
    case "Slice": slice
    case "Split": split
    case "Gather": gather
    case "Concat": concat
    case "Pad": pad
    case "Identity": identity
    case "Constant": constant
    case "ConstantOfShape": constantOfShape
    case "Shape": shape
    case "Size": size
    case "Range": range
    case "Equal": equal
    case "Where": choose
    default: nil
    }
  }
}
