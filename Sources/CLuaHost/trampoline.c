/* The one door between Lua and Swift: calls, errors, protected calls. */
#include "internal.h"
#include <string.h>

static int check_arguments(lua_State *L, const host_function *f) {
  int given = lua_gettop(L);
  if (f->maximum >= 0 && given > f->maximum) return HOST_FAULT_TOO_MANY;
  for (int i = 0; i < f->count; i++) {
    int type = i < given ? lua_type(L, i + 1) : LUA_TNIL;
    uint16_t mask = f->masks[i];
    if (type == LUA_TNIL && (mask & HOST_OPTIONAL)) continue;
    if (i >= given || !(mask & (1 << type))) return i + 1;
  }
  return 0;
}

/* A forced collection when the bytes behind objects passed the soft limit. */
static void collect_external(lua_State *L, host_account *a) {
  host_collect(L);
  size_t most = a->external_hard != 0 ? a->external_hard / 5 * 3 : SIZE_MAX / 2;
  while (a->external > a->external_soft / 10 * 8 && a->external_soft < most) a->external_soft += a->external_soft / 10 * 4;
  if (a->external_soft > most) a->external_soft = most;
}

static int trampoline(lua_State *L) {
  host_account *a = host_account_of(L);
  const host_function *f = lua_touserdata(L, lua_upvalueindex(1));
  int fault = check_arguments(L, f);
  a->host_depth++; /* from here the allocator may not fail */
  int n = fault == 0 ? a->callbacks->call(L, f->swift) : a->callbacks->fault(L, f->swift, fault);
  a->host_depth--; /* the Swift frame is gone: raising is safe again */
  if (a->host_depth == 0) {
    if (a->pending) a->callbacks->idle(a->state);
    if (host_stop_of(a) != HOST_STOP_NONE) return host_raise_stop(L, a);
    if (a->over) return host_raise_memory(L, a);
    if (a->external > a->external_soft) {
      collect_external(L, a);
      if (a->external_hard != 0 && a->external > a->external_hard) return host_raise_memory(L, a);
    }
  }
  return n == HOST_RAISE ? lua_error(L) : n;
}

void host_push_function(lua_State *L, const host_function *f) {
  lua_pushlightuserdata(L, (void *)f);
  lua_pushcclosure(L, trampoline, 1);
}

static int index_object(lua_State *L) {
  lua_settop(L, 2);
  if (lua_type(L, 2) == LUA_TSTRING) {
    lua_pushvalue(L, 2);
    if (lua_rawget(L, lua_upvalueindex(1)) != LUA_TNIL) return 1;
    lua_settop(L, 2);
  }
  lua_pushvalue(L, lua_upvalueindex(2));
  lua_insert(L, 1);
  lua_call(L, 2, 1);
  return 1;
}

void host_push_index(lua_State *L) { lua_pushcclosure(L, index_object, 2); }

int host_raise_stop(lua_State *L, host_account *a) {
  lua_rawgetp(L, LUA_REGISTRYINDEX, host_stop_of(a) == HOST_STOP_TIMEOUT ? &host_key_timeout : &host_key_cancelled);
  return lua_error(L);
}

int host_raise_memory(lua_State *L, host_account *a) {
  a->over = false;
  lua_settop(L, 0);
  host_collect(L);
  lua_rawgetp(L, LUA_REGISTRYINDEX, &host_key_memory);
  return lua_error(L);
}

/* ---- positions and reports -------------------------------------------------------------------------------------- */

/* The first Lua function from `level` up that is not the platform's own library; else the first Lua function. */
static bool script_frame(lua_State *L, int level, lua_Debug *found) {
  lua_Debug ar;
  bool any = false;
  for (int i = level; i < level + 100 && lua_getstack(L, i, &ar); i++) {
    lua_getinfo(L, "Sl", &ar);
    if (ar.currentline <= 0) continue;
    bool library = strncmp(ar.source, "@LuaLib/", 8) == 0;
    if (!any || !library) *found = ar;
    any = true;
    if (!library) return true;
  }
  return any;
}

void host_push_where(lua_State *L) {
  lua_Debug ar;
  if (script_frame(L, 1, &ar)) {
    lua_pushfstring(L, "%s:%d", ar.short_src, ar.currentline);
  } else {
    lua_pushliteral(L, "");
  }
}

/* Message handler of the outermost call: notes where the error was raised, keeps the error value. */
static int report(lua_State *L) {
  lua_settop(L, 1);
  lua_Debug ar;
  bool found = script_frame(L, 1, &ar);
  lua_createtable(L, 0, 3);
  lua_pushliteral(L, "source");
  lua_pushstring(L, found ? (ar.source[0] == '@' || ar.source[0] == '=' ? ar.source + 1 : ar.short_src) : "");
  lua_rawset(L, 2);
  lua_pushliteral(L, "line");
  lua_pushinteger(L, found ? ar.currentline : -1);
  lua_rawset(L, 2);
  lua_pushliteral(L, "traceback");
  luaL_traceback(L, L, NULL, 1);
  lua_rawset(L, 2);
  lua_rawsetp(L, LUA_REGISTRYINDEX, &host_key_report);
  return 1;
}

int host_push_report(lua_State *L) {
  int line = -1;
  if (lua_rawgetp(L, LUA_REGISTRYINDEX, &host_key_report) == LUA_TTABLE) {
    int table = lua_gettop(L);
    lua_pushliteral(L, "line");
    lua_rawget(L, table);
    line = (int)lua_tointeger(L, -1);
    lua_settop(L, table);
    lua_pushliteral(L, "source");
    lua_rawget(L, table);
    lua_pushliteral(L, "traceback");
    lua_rawget(L, table);
    lua_remove(L, table);
    lua_pushnil(L);
    lua_rawsetp(L, LUA_REGISTRYINDEX, &host_key_report);
  } else {
    lua_pushnil(L);
  }
  return line;
}

int host_pcall(lua_State *L, int arguments, int results, bool with_report) {
  host_account *a = host_account_of(L), *previous;
  int depth = a->host_depth;
  int base = lua_gettop(L) - arguments;
  lua_State *running = a->running;
  if (!lua_checkstack(L, 8)) {
    lua_settop(L, base - 1);
    lua_rawgetp(L, LUA_REGISTRYINDEX, &host_key_memory);
    return LUA_ERRMEM;
  }
  if (with_report) {
    lua_pushnil(L);
    lua_rawsetp(L, LUA_REGISTRYINDEX, &host_key_report);
    lua_pushcfunction(L, report);
    lua_insert(L, base);
  }
  host_enter_thread(a, &previous);
  __atomic_add_fetch(&a->entered, 1, __ATOMIC_SEQ_CST);
  __atomic_store_n(&a->running, L, __ATOMIC_SEQ_CST);
  if (host_stop_of(a) != HOST_STOP_NONE) host_arm_stop(L);
  a->host_depth = 0; /* inside, a jump stops here */
  int status = lua_pcall(L, arguments, results, with_report ? base : 0);
  a->host_depth = depth;
  __atomic_store_n(&a->running, running, __ATOMIC_SEQ_CST);
  __atomic_sub_fetch(&a->entered, 1, __ATOMIC_SEQ_CST);
  host_leave_thread(previous);
  if (with_report) lua_remove(L, base);
  if (status == LUA_ERRMEM) {
    host_pop(L, 1);
    host_collect(L);
    lua_rawgetp(L, LUA_REGISTRYINDEX, &host_key_memory);
  }
  if (a->entered == 0) a->over = false;
  return status;
}

int host_load(lua_State *L, const char *text, size_t count, const char *name, bool trusted) {
  int status = luaL_loadbufferx(L, text, count, name, "t");
  if (status == LUA_OK && trusted) {
    lua_rawgetp(L, LUA_REGISTRYINDEX, &host_key_trusted);
    lua_setupvalue(L, -2, 1);
  }
  return status;
}

/* ---- error values ----------------------------------------------------------------------------------------------- */

void host_push_error(lua_State *L, const char *code, size_t code_count, const char *message, size_t count) {
  lua_createtable(L, 0, 4);
  int table = lua_gettop(L);
  lua_pushliteral(L, "code");
  lua_pushlstring(L, code, code_count);
  lua_rawset(L, table);
  lua_pushliteral(L, "message");
  lua_pushlstring(L, message, count);
  lua_rawset(L, table);
  lua_pushliteral(L, "where");
  host_push_where(L);
  lua_rawset(L, table);
  lua_rawgetp(L, LUA_REGISTRYINDEX, &host_key_error);
  lua_setmetatable(L, table);
}

bool host_is_error(lua_State *L, int index) {
  if (lua_type(L, index) != LUA_TTABLE || !lua_getmetatable(L, index)) return false;
  lua_rawgetp(L, LUA_REGISTRYINDEX, &host_key_error);
  bool same = lua_rawequal(L, -1, -2);
  host_pop(L, 2);
  return same;
}

static int to_text(lua_State *L) {
  luaL_tolstring(L, 1, NULL);
  return 1;
}

void host_to_text(lua_State *L) {
  int top = lua_gettop(L);
  if (lua_type(L, top) == LUA_TSTRING) return;
  if (!lua_checkstack(L, 8)) return;
  lua_pushcfunction(L, to_text);
  lua_pushvalue(L, top);
  if (host_pcall(L, 1, 1, false) != LUA_OK || lua_type(L, -1) != LUA_TSTRING) {
    lua_settop(L, top);
    lua_pushfstring(L, "(error value of type %s)", lua_typename(L, lua_type(L, top)));
  }
  lua_replace(L, top);
}

/* ---- tables ----------------------------------------------------------------------------------------------------- */

int host_next(lua_State *L, int index) { return lua_next(L, index); }

size_t host_read_numbers(lua_State *L, int index, double *out, size_t n) {
  for (size_t i = 0; i < n; i++) {
    if (lua_rawgeti(L, index, (lua_Integer)i + 1) != LUA_TNUMBER) {
      host_pop(L, 1);
      return i + 1;
    }
    out[i] = lua_tonumber(L, -1);
    host_pop(L, 1);
  }
  return 0;
}

size_t host_read_integers(lua_State *L, int index, int64_t *out, size_t n, int strict) {
  for (size_t i = 0; i < n; i++) {
    int whole = 0;
    if (lua_rawgeti(L, index, (lua_Integer)i + 1) == LUA_TNUMBER && (!strict || lua_isinteger(L, -1)))
      out[i] = lua_tointegerx(L, -1, &whole);
    host_pop(L, 1);
    if (!whole) return i + 1;
  }
  return 0;
}

void host_push_numbers(lua_State *L, const double *values, size_t n) {
  lua_createtable(L, n > INT32_MAX ? INT32_MAX : (int)n, 0);
  for (size_t i = 0; i < n; i++) {
    lua_pushnumber(L, values[i]);
    lua_rawseti(L, -2, (lua_Integer)i + 1);
  }
}

const char *host_string(lua_State *L, int index, size_t *count) {
  return lua_type(L, index) == LUA_TSTRING ? lua_tolstring(L, index, count) : NULL;
}
