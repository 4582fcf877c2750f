/* Stopping a script, and the functions that could swallow the stop.
 *
 * No hook is set while nothing is wrong (a count hook costs up to 2.4x on tight loops). A watchdog thread sets the flag
 * and sends SIGURG to the script's thread; the handler there arms a hook on the running coroutine, as lua.c does for
 * SIGINT. The hook raises at every instruction from then on; pcall, xpcall, resume, wrap and close raise again while
 * the flag is set. A C loop inside one library call ends by the process kill only. */
#include "internal.h"
#include <signal.h>

static _Thread_local host_account *volatile current;

static void hook(lua_State *L, lua_Debug *ar) {
  (void)ar;
  host_account *a = host_account_of(L);
  if (host_stop_of(a) == HOST_STOP_NONE) {
    lua_sethook(L, NULL, 0, 0); /* the request was taken back */
    return;
  }
  host_raise_stop(L, a);
}

void host_arm_stop(lua_State *L) {
  lua_sethook(L, hook, LUA_MASKCALL | LUA_MASKRET | LUA_MASKLINE | LUA_MASKCOUNT, 1);
}

static void on_signal(int number) {
  (void)number;
  host_account *a = current;
  if (a != NULL && host_stop_of(a) != HOST_STOP_NONE) host_arm_stop(__atomic_load_n(&a->running, __ATOMIC_SEQ_CST));
}

static void install(void) {
  struct sigaction action = {.sa_handler = on_signal, .sa_flags = SA_RESTART};
  sigemptyset(&action.sa_mask);
  sigaction(SIGURG, &action, NULL);
}

void host_enter_thread(host_account *a, host_account **previous) {
  static pthread_once_t once = PTHREAD_ONCE_INIT;
  pthread_once(&once, install);
  *previous = current;
  if (*previous != a) { /* libdispatch's threads block all signals */
    sigset_t urgent;
    sigemptyset(&urgent);
    sigaddset(&urgent, SIGURG);
    pthread_sigmask(SIG_UNBLOCK, &urgent, NULL);
  }
  a->thread = pthread_self();
  current = a;
}

void host_leave_thread(host_account *previous) { current = previous; }

void host_request_stop(host_account *a, int reason) {
  int expected = HOST_STOP_NONE;
  __atomic_compare_exchange_n(&a->stop, &expected, reason, false, __ATOMIC_SEQ_CST, __ATOMIC_SEQ_CST);
  if (__atomic_load_n(&a->entered, __ATOMIC_SEQ_CST) > 0) pthread_kill(a->thread, SIGURG);
}

void host_clear_stop(host_account *a) {
  __atomic_store_n(&a->stop, HOST_STOP_NONE, __ATOMIC_SEQ_CST);
  lua_sethook(a->main, NULL, 0, 0);
}

/* ---- coroutines ------------------------------------------------------------------------------------------------- */

/* Moves `n` arguments to `co` and runs it; returns the number of results on co, or -1 with the error on L's top. */
static int resume(lua_State *L, lua_State *co, int n) {
  host_account *a = host_account_of(L);
  if (!lua_checkstack(co, n)) {
    lua_pushliteral(L, "too many arguments to resume");
    return -1;
  }
  lua_xmove(L, co, n);
  __atomic_store_n(&a->running, co, __ATOMIC_SEQ_CST);
  if (host_stop_of(a) != HOST_STOP_NONE) host_arm_stop(co);
  int results = 0;
  int status = lua_resume(co, L, n, &results);
  __atomic_store_n(&a->running, L, __ATOMIC_SEQ_CST);
  if (host_stop_of(a) != HOST_STOP_NONE) return host_raise_stop(L, a);
  if (status == LUA_OK || status == LUA_YIELD) {
    if (!lua_checkstack(L, results + 1)) {
      host_pop(co, results);
      lua_pushliteral(L, "too many results to resume");
      return -1;
    }
    lua_xmove(co, L, results);
    return results;
  }
  if (status == LUA_ERRMEM) {
    host_pop(co, 1);
    lua_rawgetp(L, LUA_REGISTRYINDEX, &host_key_memory);
  } else {
    lua_xmove(co, L, 1);
  }
  return -1;
}

static int coroutine_resume(lua_State *L) {
  lua_State *co = lua_tothread(L, 1);
  luaL_argexpected(L, co != NULL, 1, "coroutine");
  int n = resume(L, co, lua_gettop(L) - 1);
  lua_pushboolean(L, n >= 0);
  if (n < 0) {
    lua_insert(L, -2);
    return 2;
  }
  lua_insert(L, -(n + 1));
  return n + 1;
}

static int wrapped(lua_State *L) {
  lua_State *co = lua_tothread(L, lua_upvalueindex(1));
  int n = resume(L, co, lua_gettop(L));
  if (n >= 0) return n;
  int status = lua_status(co);
  if (status != LUA_OK && status != LUA_YIELD) {
    lua_xmove(L, co, 1); /* an error inside: close its pending variables, which may replace the error */
    status = lua_resetthread(co);
    lua_xmove(co, L, 1);
    if (status == LUA_ERRMEM) lua_rawgetp(L, LUA_REGISTRYINDEX, &host_key_memory);
  }
  return lua_error(L);
}

static int coroutine_wrap(lua_State *L) {
  luaL_checktype(L, 1, LUA_TFUNCTION);
  lua_State *co = lua_newthread(L);
  lua_pushvalue(L, 1);
  lua_xmove(L, co, 1);
  lua_pushcclosure(L, wrapped, 1);
  return 1;
}

static int coroutine_close(lua_State *L) {
  host_account *a = host_account_of(L);
  lua_State *co = lua_tothread(L, 1);
  luaL_argexpected(L, co != NULL, 1, "coroutine");
  lua_Debug ar;
  int status = lua_status(co);
  bool suspended = status == LUA_YIELD || (status == LUA_OK && co != L && lua_getstack(co, 0, &ar) == 0);
  if (!suspended && (status == LUA_OK)) return luaL_error(L, "cannot close a running coroutine");
  __atomic_store_n(&a->running, co, __ATOMIC_SEQ_CST);
  if (host_stop_of(a) != HOST_STOP_NONE) host_arm_stop(co);
  status = lua_resetthread(co);
  __atomic_store_n(&a->running, L, __ATOMIC_SEQ_CST);
  if (host_stop_of(a) != HOST_STOP_NONE) return host_raise_stop(L, a);
  lua_pushboolean(L, status == LUA_OK);
  if (status == LUA_OK) return 1;
  lua_xmove(co, L, 1);
  return 2;
}

void host_guard_coroutines(lua_State *L) {
  host_field(L, "resume", coroutine_resume);
  host_field(L, "wrap", coroutine_wrap);
  host_field(L, "close", coroutine_close);
}
