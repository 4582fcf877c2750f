import Core
import Lake
import LuaTensor
import ObjectStore

extension CheckpointPlace {
  /// `checkpoints/NAME` in the lake, for the data set or model NAME.
  init(_ lake: DataLake) {
    self.init(store: lake.store) { name in
      guard let output = try lake.resolveOutput(name) else {
        throw Failure(
          .invalidRequest, "checkpoint: the output is empty; give a name, as in checkpoint.save(\"mnist_cnn\", ...)")
      }
      return "\(DataLake.checkpoints)/\(output.id)"
    }
  }
}
