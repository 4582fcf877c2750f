// Room TensorKernels: see docs/map.md.
