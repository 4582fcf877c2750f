// Room LanceProto: see docs/map.md.
