/* What scripts may touch: allow-lists, read-only views, guarded base functions, require, global names.
 *
 * Three tables make the environment. `platform` holds the base functions and frozen libraries; its metatable raises for
 * unknown names. `globals` is the scripts' _ENV: their own globals, with `platform` behind it; it takes new names only
 * while a main chunk runs (a->defining). `trusted` is the _ENV of LuaLib, with `platform` behind it. */
#include "internal.h"
#include <stdio.h>
#include <string.h>

const char host_key_error = 0, host_key_cancelled = 0, host_key_timeout = 0, host_key_memory = 0, host_key_array = 0,
           host_key_loaded = 0, host_key_resolver = 0, host_key_globals = 0, host_key_platform = 0, host_key_trusted = 0,
           host_key_loading = 0, host_key_report = 0;

enum { MOST_ELEMENTS = 100000000 };

void host_field(lua_State *L, const char *name, lua_CFunction f) {
  lua_pushcfunction(L, f);
  lua_setfield(L, -2, name);
}

/* ---- read-only views -------------------------------------------------------------------------------------------- */

static int refuse_write(lua_State *L) {
  const char *what = lua_tostring(L, lua_upvalueindex(1));
  if (lua_type(L, 2) == LUA_TSTRING) return luaL_error(L, "%s is read-only: field '%s' cannot be set", what, lua_tostring(L, 2));
  return luaL_error(L, "%s is read-only", what);
}

static int view_next(lua_State *L) {
  lua_settop(L, 2);
  if (lua_next(L, lua_upvalueindex(1))) return 2;
  lua_pushnil(L);
  return 1;
}

static int view_pairs(lua_State *L) { /* never hands out the table behind */
  lua_pushvalue(L, lua_upvalueindex(1));
  lua_pushcclosure(L, view_next, 1);
  lua_pushvalue(L, 1);
  return 2;
}

static int view_length(lua_State *L) {
  lua_pushinteger(L, (lua_Integer)lua_rawlen(L, lua_upvalueindex(1)));
  return 1;
}

void host_freeze(lua_State *L, int index, const char *what) {
  index = lua_absindex(L, index);
  lua_createtable(L, 0, 0);
  lua_createtable(L, 0, 6);
  int meta = lua_gettop(L);
  lua_pushliteral(L, "__index");
  lua_pushvalue(L, index);
  lua_rawset(L, meta);
  lua_pushliteral(L, "__newindex");
  lua_pushstring(L, what);
  lua_pushcclosure(L, refuse_write, 1);
  lua_rawset(L, meta);
  lua_pushliteral(L, "__pairs");
  lua_pushvalue(L, index);
  lua_pushcclosure(L, view_pairs, 1);
  lua_rawset(L, meta);
  lua_pushliteral(L, "__len");
  lua_pushvalue(L, index);
  lua_pushcclosure(L, view_length, 1);
  lua_rawset(L, meta);
  lua_pushliteral(L, "__metatable");
  lua_pushboolean(L, 0);
  lua_rawset(L, meta);
  lua_setmetatable(L, meta - 1);
}

/* ---- guarded base functions ------------------------------------------------------------------------------------- */

static bool is_protected(lua_State *L, int index) {
  if (!lua_getmetatable(L, index)) return false;
  lua_pushliteral(L, "__metatable");
  bool found = lua_rawget(L, -2) != LUA_TNIL;
  host_pop(L, 2);
  return found;
}

static int guarded_setmetatable(lua_State *L) {
  int type = lua_type(L, 2);
  luaL_checktype(L, 1, LUA_TTABLE);
  luaL_argexpected(L, type == LUA_TNIL || type == LUA_TTABLE, 2, "nil or table");
  if (is_protected(L, 1)) return luaL_error(L, "cannot change a protected metatable");
  if (type == LUA_TTABLE) {
    lua_pushliteral(L, "__gc");
    if (lua_rawget(L, 2) != LUA_TNIL) return luaL_error(L, "setmetatable: '__gc' is not available to scripts; use '__close'");
    host_pop(L, 1);
  }
  lua_settop(L, 2);
  lua_setmetatable(L, 1);
  return 1;
}

static int guarded_rawset(lua_State *L) {
  luaL_checktype(L, 1, LUA_TTABLE);
  luaL_checkany(L, 2);
  luaL_checkany(L, 3);
  if (is_protected(L, 1)) return luaL_error(L, "rawset: the table is read-only");
  lua_settop(L, 3);
  lua_rawset(L, 1);
  return 1;
}

/* Error value on top after a failed protected call: a stop goes on up, a memory error gets its table. */
static void settle_error(lua_State *L, int status) {
  host_account *a = host_account_of(L);
  if (host_stop_of(a) != HOST_STOP_NONE) host_raise_stop(L, a);
  if (status == LUA_ERRMEM) {
    host_pop(L, 1);
    host_collect(L);
    lua_rawgetp(L, LUA_REGISTRYINDEX, &host_key_memory);
  }
}

static int finish_pcall(lua_State *L, int status, lua_KContext skipped) {
  if (status == LUA_OK || status == LUA_YIELD) return lua_gettop(L) - (int)skipped;
  settle_error(L, status);
  lua_pushboolean(L, 0);
  lua_insert(L, -2);
  return 2;
}

static int guarded_pcall(lua_State *L) {
  luaL_checkany(L, 1);
  lua_pushboolean(L, 1);
  lua_insert(L, 1);
  int status = lua_pcallk(L, lua_gettop(L) - 2, LUA_MULTRET, 0, 0, finish_pcall);
  return finish_pcall(L, status, 0);
}

static int guarded_handler(lua_State *L) {
  if (host_stop_of(host_account_of(L)) != HOST_STOP_NONE) return 1;
  lua_settop(L, 1);
  lua_pushvalue(L, lua_upvalueindex(1));
  lua_insert(L, 1);
  lua_call(L, 1, 1);
  return 1;
}

static int guarded_xpcall(lua_State *L) {
  int n = lua_gettop(L);
  luaL_checktype(L, 2, LUA_TFUNCTION);
  lua_pushvalue(L, 2);
  lua_pushcclosure(L, guarded_handler, 1);
  lua_replace(L, 2);
  lua_pushboolean(L, 1);
  lua_pushvalue(L, 1);
  lua_rotate(L, 3, 2); /* f, handler, true, f, arguments */
  int status = lua_pcallk(L, n - 2, LUA_MULTRET, 2, 2, finish_pcall);
  return finish_pcall(L, status, 2);
}

static int guarded_collectgarbage(lua_State *L) {
  static const char *const names[] = {"collect", "count", "step", NULL};
  switch (luaL_checkoption(L, 1, "collect", names)) {
    case 0: host_collect(L); lua_pushinteger(L, 0); return 1;
    case 1: lua_pushnumber(L, (lua_Number)host_account_of(L)->used / 1024); return 1;
    default: lua_pushboolean(L, lua_gc(L, LUA_GCSTEP, (int)luaL_optinteger(L, 2, 0))); return 1;
  }
}

static int guarded_load(lua_State *L) { /* upvalue 1: the library's load. Text only; _ENV is the sandbox unless given */
  int n = lua_gettop(L);
  lua_settop(L, 4);
  lua_pushliteral(L, "t");
  lua_replace(L, 3);
  if (n < 4) {
    lua_rawgetp(L, LUA_REGISTRYINDEX, &host_key_globals);
    lua_replace(L, 4);
  }
  lua_pushvalue(L, lua_upvalueindex(1));
  lua_insert(L, 1);
  lua_call(L, 4, LUA_MULTRET);
  return lua_gettop(L);
}

/* tostring() without the address: scripts see a number that tells values apart and says nothing about memory. */
static void push_text(lua_State *L, int index) {
  int type = lua_type(L, index);
  bool plain = type == LUA_TTABLE || type == LUA_TFUNCTION || type == LUA_TTHREAD || type == LUA_TUSERDATA;
  if (!plain) {
    luaL_tolstring(L, index, NULL);
    return;
  }
  if (luaL_getmetafield(L, index, "__tostring") != LUA_TNIL) {
    host_pop(L, 1);
    luaL_tolstring(L, index, NULL);
    return;
  }
  uint64_t mixed = ((uint64_t)(uintptr_t)lua_topointer(L, index) ^ host_account_of(L)->secret) * 0x9e3779b97f4a7c15u;
  char number[16];
  snprintf(number, sizeof number, "%08x", (unsigned)(mixed >> 32));
  int named = luaL_getmetafield(L, index, "__name");
  const char *name = named == LUA_TSTRING ? lua_tostring(L, -1) : lua_typename(L, type);
  lua_pushfstring(L, "%s: %s", name, number);
  if (named != LUA_TNIL) lua_remove(L, -2);
}

static int guarded_tostring(lua_State *L) {
  luaL_checkany(L, 1);
  push_text(L, 1);
  return 1;
}

/* string.format: no %p, and %s of a table shows no address. */
static int guarded_format(lua_State *L) {
  size_t count;
  int n = lua_gettop(L), argument = 1;
  const char *format = luaL_checklstring(L, 1, &count), *end = format + count;
  while (format < end) {
    if (*format++ != '%') continue;
    if (format < end && *format == '%') {
      format++;
      continue;
    }
    while (format < end && strchr("-+ #0123456789.", *format) != NULL && *format != 0) format++;
    argument++;
    if (format < end && *format == 'p') return luaL_error(L, "invalid conversion '%%p' to 'format'");
    if (format < end && *format == 's' && argument <= n) {
      push_text(L, argument);
      lua_replace(L, argument);
    }
  }
  lua_pushvalue(L, lua_upvalueindex(1));
  lua_insert(L, 1);
  lua_call(L, n, 1);
  return 1;
}

static int print(lua_State *L) {
  host_account *a = host_account_of(L);
  int n = lua_gettop(L);
  luaL_Buffer buffer;
  luaL_buffinit(L, &buffer);
  for (int i = 1; i <= n; i++) {
    if (i > 1) luaL_addchar(&buffer, '\t');
    push_text(L, i);
    luaL_addvalue(&buffer);
  }
  luaL_pushresult(&buffer);
  size_t count;
  const char *text = lua_tolstring(L, -1, &count);
  a->host_depth++;
  a->callbacks->print(a->state, text, count);
  a->host_depth--;
  return 0;
}

/* string.rep of nothing and table.move over absurd ranges would loop in C without end. */
static int guarded_rep(lua_State *L) {
  size_t n, separator = 0;
  luaL_checklstring(L, 1, &n);
  luaL_checkinteger(L, 2);
  luaL_optlstring(L, 3, "", &separator);
  if (n + separator == 0) {
    lua_pushliteral(L, "");
    return 1;
  }
  lua_pushvalue(L, lua_upvalueindex(1));
  lua_insert(L, 1);
  lua_call(L, lua_gettop(L) - 1, 1);
  return 1;
}

static int guarded_range(lua_State *L) { /* upvalues: function, first index argument, its default, name */
  int at = (int)lua_tointeger(L, lua_upvalueindex(2));
  lua_Integer from = luaL_optinteger(L, at, 1), to = from;
  if (!lua_isnoneornil(L, at + 1)) to = luaL_checkinteger(L, at + 1);
  if (to > from && (lua_Unsigned)to - (lua_Unsigned)from > MOST_ELEMENTS) {
    return luaL_error(L, "%s: more than %d elements", lua_tostring(L, lua_upvalueindex(3)), (int)MOST_ELEMENTS);
  }
  lua_pushvalue(L, lua_upvalueindex(1));
  lua_insert(L, 1);
  lua_call(L, lua_gettop(L) - 1, LUA_MULTRET);
  return lua_gettop(L);
}

/* ---- global names ----------------------------------------------------------------------------------------------- */

static int assign_global(lua_State *L) {
  host_account *a = host_account_of(L);
  if (a->defining > 0) {
    lua_rawset(L, 1);
    return 0;
  }
  const char *name = lua_type(L, 2) == LUA_TSTRING ? lua_tostring(L, 2) : "?";
  return luaL_error(L, "global '%s' is not declared: write 'local %s', or assign it in the script's main part", name, name);
}

static int assign_trusted(lua_State *L) {
  const char *name = lua_type(L, 2) == LUA_TSTRING ? lua_tostring(L, 2) : "?";
  return luaL_error(L, "LuaLib must not set the global '%s'", name);
}

/* fail(message [, code]): raises at the script's line, past LuaLib's own frames. */
static int fail(lua_State *L) {
  size_t count, code_count;
  const char *message = luaL_checklstring(L, 1, &count);
  if (lua_isnoneornil(L, 2)) {
    host_push_where(L);
    lua_pushliteral(L, ": ");
    lua_pushvalue(L, 1);
    lua_concat(L, 3);
  } else {
    const char *code = luaL_checklstring(L, 2, &code_count);
    host_push_error(L, code, code_count, message, count);
  }
  return lua_error(L);
}

/* ---- require ---------------------------------------------------------------------------------------------------- */

static int forget_loading(lua_State *L) { /* __close of {name}: a chunk that failed may be required again */
  lua_rawgetp(L, LUA_REGISTRYINDEX, &host_key_loaded);
  lua_rawgeti(L, 1, 1);
  lua_pushvalue(L, -1);
  if (lua_rawget(L, -3) == LUA_TLIGHTUSERDATA && lua_touserdata(L, -1) == &host_key_loading) {
    host_pop(L, 1);
    lua_pushnil(L);
    lua_rawset(L, -3);
  }
  return 0;
}

/* upvalue 1: true for LuaLib's own require, which also finds internal modules. */
static int require(lua_State *L) {
  luaL_checktype(L, 1, LUA_TSTRING);
  lua_settop(L, 1);
  bool trusted = lua_toboolean(L, lua_upvalueindex(1));
  lua_rawgetp(L, LUA_REGISTRYINDEX, &host_key_loaded); /* 2 */
  lua_pushvalue(L, 1);
  int known = lua_rawget(L, 2); /* 3 */
  if (known == LUA_TLIGHTUSERDATA && lua_touserdata(L, 3) == &host_key_loading) {
    return luaL_error(L, "require: module '%s' requires itself", lua_tostring(L, 1));
  }
  if (known != LUA_TNIL && (trusted || lua_tostring(L, 1)[0] != '_')) return 1;
  lua_settop(L, 2);
  lua_rawgetp(L, LUA_REGISTRYINDEX, &host_key_resolver);
  lua_pushvalue(L, 1);
  lua_pushboolean(L, trusted);
  lua_call(L, 2, 4); /* 3 source or nil, 4 chunk name, 5 native module or nil, 6 is platform code */
  bool platform = lua_toboolean(L, 6);
  if (lua_type(L, 3) == LUA_TSTRING) {
    size_t count;
    const char *text = lua_tolstring(L, 3, &count);
    if (host_load(L, text, count, lua_tostring(L, 4), platform) != LUA_OK) return lua_error(L); /* 7 */
    lua_createtable(L, 1, 0); /* 8: clears the mark when the chunk fails */
    lua_pushvalue(L, 1);
    lua_rawseti(L, 8, 1);
    lua_createtable(L, 0, 1);
    host_field(L, "__close", forget_loading);
    lua_setmetatable(L, 8);
    lua_pushvalue(L, 1);
    lua_pushlightuserdata(L, (void *)&host_key_loading);
    lua_rawset(L, 2);
    lua_toclose(L, 8);
    lua_pushvalue(L, 7);
    lua_pushvalue(L, 1);
    lua_pushvalue(L, 5);
    lua_call(L, 2, 1); /* 9 */
    if (lua_isnil(L, 9)) {
      lua_pushvalue(L, 5);
      lua_replace(L, 9);
    }
  } else {
    lua_pushvalue(L, 5);
  }
  int value = lua_gettop(L);
  if (lua_isnil(L, value)) {
    lua_pushboolean(L, 1);
    lua_replace(L, value);
  } else if (platform && lua_type(L, value) == LUA_TTABLE && !is_protected(L, value)) {
    char what[128];
    snprintf(what, sizeof what, "module '%.100s'", lua_tostring(L, 1));
    host_freeze(L, value, what);
    lua_replace(L, value);
  }
  lua_pushvalue(L, 1);
  lua_pushvalue(L, value);
  lua_rawset(L, 2);
  return 1;
}

void host_set_resolver(lua_State *L) { lua_rawsetp(L, LUA_REGISTRYINDEX, &host_key_resolver); }

/* ---- tables for Swift ------------------------------------------------------------------------------------------- */

void host_push_globals(lua_State *L, bool platform) {
  lua_rawgetp(L, LUA_REGISTRYINDEX, platform ? &host_key_platform : &host_key_globals);
}
void host_push_loaded(lua_State *L) { lua_rawgetp(L, LUA_REGISTRYINDEX, &host_key_loaded); }
void host_push_trusted(lua_State *L) { lua_rawgetp(L, LUA_REGISTRYINDEX, &host_key_trusted); }
void host_push_array_mark(lua_State *L) { lua_rawgetp(L, LUA_REGISTRYINDEX, &host_key_array); }

bool host_has_array_mark(lua_State *L, int index) {
  if (!lua_getmetatable(L, index)) return false;
  host_push_array_mark(L);
  bool same = lua_rawequal(L, -1, -2);
  host_pop(L, 2);
  return same;
}

void host_set_array_mark(lua_State *L, int index) {
  index = lua_absindex(L, index);
  host_push_array_mark(L);
  lua_setmetatable(L, index);
}

/* ---- opening ---------------------------------------------------------------------------------------------------- */

static int error_tostring(lua_State *L) {
  lua_settop(L, 1);
  lua_pushliteral(L, "where");
  bool placed = lua_rawget(L, 1) == LUA_TSTRING && lua_rawlen(L, -1) > 0;
  lua_pushliteral(L, ": ");
  lua_pushliteral(L, "message");
  if (lua_rawget(L, 1) != LUA_TSTRING) {
    host_pop(L, 1);
    lua_pushliteral(L, "error");
  }
  if (placed) lua_concat(L, 3);
  return 1;
}

static int error_concat(lua_State *L) {
  luaL_tolstring(L, 1, NULL);
  luaL_tolstring(L, 2, NULL);
  lua_concat(L, 2);
  return 1;
}

static int null_tostring(lua_State *L) {
  lua_pushliteral(L, "null");
  return 1;
}

static void prepare_error(lua_State *L, const void *key, const char *code, const char *message) {
  host_push_error(L, code, strlen(code), message, strlen(message));
  lua_rawsetp(L, LUA_REGISTRYINDEX, key);
}

/* Copies `names` from the table at `from` into a new table, which is left on the stack. */
static void pick(lua_State *L, int from, const char *const *names) {
  lua_createtable(L, 0, 32);
  for (; *names != NULL; names++) {
    lua_getfield(L, from, *names);
    lua_setfield(L, -2, *names);
  }
}

static void guard_range(lua_State *L, const char *field, const char *name, int argument) {
  lua_getfield(L, -1, field);
  lua_pushinteger(L, argument);
  lua_pushstring(L, name);
  lua_pushcclosure(L, guarded_range, 3);
  lua_setfield(L, -2, field);
}

int host_open_sandbox(lua_State *L) {
  static const char *const base[] = {"assert", "error", "getmetatable", "ipairs", "next", "pairs", "rawequal", "rawget", "rawlen",
                                     "select", "tonumber", "type", "_VERSION", NULL};
  static const char *const strings[] = {"byte", "char", "find", "format", "gmatch", "gsub", "len", "lower", "match", "pack",
                                        "packsize", "rep", "reverse", "sub", "unpack", "upper", NULL};
  static const char *const os[] = {"clock", "date", "difftime", "time", NULL};
  static const struct { const char *name; lua_CFunction open; } libraries[] = {
      {"coroutine", luaopen_coroutine}, {"table", luaopen_table}, {"string", luaopen_string},
      {"math", luaopen_math}, {"utf8", luaopen_utf8}, {"os", luaopen_os}};

  lua_createtable(L, 0, 4); /* the metatable of platform errors */
  host_field(L, "__tostring", error_tostring);
  host_field(L, "__concat", error_concat);
  lua_pushliteral(L, "error");
  lua_setfield(L, -2, "__name");
  lua_pushboolean(L, 0);
  lua_setfield(L, -2, "__metatable");
  lua_rawsetp(L, LUA_REGISTRYINDEX, &host_key_error);
  prepare_error(L, &host_key_cancelled, "CANCELLED", "cancelled");
  prepare_error(L, &host_key_timeout, "TIMEOUT", "the time limit was reached");
  prepare_error(L, &host_key_memory, "MEMORY_LIMIT", "not enough memory: the script's memory limit was reached");

  lua_createtable(L, 0, 2); /* json.array's mark */
  lua_pushliteral(L, "array");
  lua_setfield(L, -2, "__name");
  lua_pushboolean(L, 0);
  lua_setfield(L, -2, "__metatable");
  lua_rawsetp(L, LUA_REGISTRYINDEX, &host_key_array);

  lua_pushlightuserdata(L, NULL); /* json.null */
  lua_createtable(L, 0, 3);
  host_field(L, "__tostring", null_tostring);
  lua_pushliteral(L, "null");
  lua_setfield(L, -2, "__name");
  lua_pushboolean(L, 0);
  lua_setfield(L, -2, "__metatable");
  lua_setmetatable(L, -2);
  host_pop(L, 1);

  lua_createtable(L, 0, 16);
  lua_rawsetp(L, LUA_REGISTRYINDEX, &host_key_loaded);

  luaL_requiref(L, "_G", luaopen_base, 0);
  int library = lua_gettop(L);
  pick(L, library, base);
  int platform = lua_gettop(L);
  host_field(L, "pcall", guarded_pcall);
  host_field(L, "xpcall", guarded_xpcall);
  host_field(L, "setmetatable", guarded_setmetatable);
  host_field(L, "rawset", guarded_rawset);
  host_field(L, "collectgarbage", guarded_collectgarbage);
  host_field(L, "print", print);
  host_field(L, "tostring", guarded_tostring);
  lua_getfield(L, library, "load");
  lua_pushcclosure(L, guarded_load, 1);
  lua_setfield(L, platform, "load");
  lua_pushboolean(L, 0);
  lua_pushcclosure(L, require, 1);
  lua_setfield(L, platform, "require");

  host_push_loaded(L);
  int loaded = lua_gettop(L);
  for (size_t i = 0; i < sizeof libraries / sizeof *libraries; i++) {
    const char *name = libraries[i].name;
    luaL_requiref(L, name, libraries[i].open, 0);
    if (strcmp(name, "coroutine") == 0) host_guard_coroutines(L);
    if (strcmp(name, "os") == 0) pick(L, lua_gettop(L), os);
    if (strcmp(name, "table") == 0) {
      guard_range(L, "move", "table.move", 2);
      guard_range(L, "concat", "table.concat", 3);
      guard_range(L, "unpack", "table.unpack", 2);
    }
    if (strcmp(name, "string") == 0) {
      pick(L, lua_gettop(L), strings);
      lua_getfield(L, -1, "rep");
      lua_pushcclosure(L, guarded_rep, 1);
      lua_setfield(L, -2, "rep");
      lua_getfield(L, -1, "format");
      lua_pushcclosure(L, guarded_format, 1);
      lua_setfield(L, -2, "format");
      lua_pushliteral(L, ""); /* methods of strings come from the picked table, out of reach */
      lua_getmetatable(L, -1);
      lua_pushvalue(L, -3);
      lua_setfield(L, -2, "__index");
      lua_pushboolean(L, 0);
      lua_setfield(L, -2, "__metatable");
      host_pop(L, 2);
    }
    char what[32];
    snprintf(what, sizeof what, "library '%s'", name);
    host_freeze(L, -1, what);
    lua_pushvalue(L, -1);
    lua_setfield(L, loaded, name); /* require "string" gives the same read-only view */
    lua_setfield(L, platform, name);
    lua_settop(L, loaded);
  }

  lua_createtable(L, 0, 8); /* the scripts' globals */
  int globals = lua_gettop(L);
  lua_createtable(L, 0, 3);
  lua_pushvalue(L, platform);
  lua_setfield(L, -2, "__index");
  host_field(L, "__newindex", assign_global);
  lua_pushboolean(L, 0);
  lua_setfield(L, -2, "__metatable");
  lua_setmetatable(L, globals);
  lua_pushvalue(L, globals);
  lua_setfield(L, platform, "_G");
  lua_pushvalue(L, globals);
  lua_rawsetp(L, LUA_REGISTRYINDEX, &host_key_globals);
  lua_pushvalue(L, globals);
  lua_rawseti(L, LUA_REGISTRYINDEX, LUA_RIDX_GLOBALS); /* lua_load's default _ENV */
  lua_pushvalue(L, platform);
  lua_rawsetp(L, LUA_REGISTRYINDEX, &host_key_platform);

  lua_createtable(L, 0, 4); /* LuaLib's environment */
  host_field(L, "fail", fail);
  lua_pushboolean(L, 1);
  lua_pushcclosure(L, require, 1);
  lua_setfield(L, -2, "require");
  lua_createtable(L, 0, 3);
  lua_pushvalue(L, platform);
  lua_setfield(L, -2, "__index");
  host_field(L, "__newindex", assign_trusted);
  lua_setmetatable(L, -2);
  lua_rawsetp(L, LUA_REGISTRYINDEX, &host_key_trusted);
  return 0;
}
