// Room Tensors: see docs/map.md.
