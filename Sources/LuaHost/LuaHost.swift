// Room LuaHost: see docs/map.md.
