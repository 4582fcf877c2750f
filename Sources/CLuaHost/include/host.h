/* CLuaHost: the C half of the Lua binding, and the only place where Lua errors are raised.
 *
 * Rule: no longjmp ever crosses a Swift frame. A Swift function returns HOST_RAISE with the error value on the stack
 * top; the trampoline raises it after the Swift frame is gone. While a Swift frame is on the C stack (host_depth > 0) the
 * allocator never fails; passing the limit is noted in `over` and raised on the way out. See docs/lua-binding.md. */
#pragma once
#include <lauxlib.h>
#include <lua.h>
#include <lualib.h>
#include <pthread.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

enum { HOST_RAISE = -1, HOST_MAX_PARAMETERS = 12 };
enum { HOST_STOP_NONE = 0, HOST_STOP_CANCELLED = 1, HOST_STOP_TIMEOUT = 2 };
/* Argument faults found before Swift is called. */
enum { HOST_FAULT_TOO_MANY = -2 };

/* A Swift object behind a userdata. Lives outside Lua's memory, so that a finalizer that could not run leaves a live
 * entry on the account's list, not a dangling one. */
typedef struct host_node {
  void *object;             /* retained Swift reference */
  uintptr_t kind;           /* identity of its Swift class */
  size_t bytes;             /* external bytes it stands for */
  struct host_node *previous, *next;
} host_node;

/* One Swift function: its checks, read by the trampoline before Swift is entered. Immortal. */
typedef struct host_function {
  void *swift;                             /* unretained Fn */
  int count;                               /* parameters with a mask */
  int maximum;                             /* most arguments, -1 for any number */
  uint16_t masks[HOST_MAX_PARAMETERS];     /* bit t: Lua type t is right; bit 15: absent or nil is right */
} host_function;
enum { HOST_OPTIONAL = 1 << 15 };

/* What Swift provides. Set once per process. */
typedef struct host_callbacks {
  int (*call)(lua_State *L, void *swift);                  /* results, or HOST_RAISE */
  int (*fault)(lua_State *L, void *swift, int argument);   /* pushes the error; returns HOST_RAISE */
  void (*release)(void *object);
  void (*print)(void *state, const char *text, size_t count);
  void (*idle)(void *state);                               /* no Swift frame is on the stack: drop what was left for later */
} host_callbacks;

typedef struct host_account {
  size_t used, peak, limit;                 /* bytes of Lua memory; limit 0 = none */
  int host_depth;                           /* Swift frames on the C stack */
  bool over;                                /* the limit was passed while host_depth > 0 */
  bool pending;                             /* `idle` has something to do */
  int defining;                             /* > 0: assignments may declare globals */
  size_t external, external_soft, external_hard;
  host_node *nodes;                         /* live objects */
  long node_count;
  int stop;                                 /* HOST_STOP_*; set by another thread */
  lua_State *main, *running;                /* the state, and the coroutine that runs now */
  pthread_t thread;                         /* the thread inside host_pcall */
  int entered;                              /* host_pcall nesting */
  uint64_t secret;                          /* mixed into the addresses that scripts see */
  const host_callbacks *callbacks;
  void *state;                              /* unretained Swift State */
} host_account;

/* Opens a state with the sandbox in place. Null when memory is short. host_depth is 1: Swift is at the bottom. */
host_account *host_open(const host_callbacks *callbacks, void *state, size_t limit);
/* Closes it: finalizers first, then objects that are still on the list. */
void host_close(host_account *a);

static inline host_account *host_account_of(lua_State *L) { return *(host_account **)lua_getextraspace(L); }

void host_push_function(lua_State *L, const host_function *f);
/* Pops a table of methods and a function (object, key); pushes an __index that tries them in this order. */
void host_push_index(lua_State *L);
/* lua_pcall with host_depth 0 inside. `report`: record position and traceback of an error (outermost call only). */
int host_pcall(lua_State *L, int arguments, int results, bool report);
/* Loads text (never bytecode) as a function whose _ENV is the sandbox, or the trusted environment. Never raises. */
int host_load(lua_State *L, const char *text, size_t count, const char *name, bool trusted);

/* Objects. */
host_node *host_push_object(lua_State *L, void *object, uintptr_t kind, size_t bytes);  /* then set the metatable */
host_node *host_node_at(lua_State *L, int index, bool *is_object);  /* null: no object, or released */
void host_set_bytes(lua_State *L, host_node *node, size_t bytes);
int host_release_object(lua_State *L);     /* lua_CFunction: release(), __gc and __close */

/* Error values. */
void host_push_where(lua_State *L);                              /* "script.lua:12", or "" */
void host_push_error(lua_State *L, const char *code, size_t code_count, const char *message, size_t count);
bool host_is_error(lua_State *L, int index);
/* The report of the last failed host_pcall with `report`: pushes chunk name and traceback, returns the line or -1. */
int host_push_report(lua_State *L);

/* Tables by registry: each pushes a value. */
void host_push_globals(lua_State *L, bool platform);             /* script globals, or the platform's */
/* SIGKILL for this process when its parent dies, and no new privileges from here on (Linux; nothing elsewhere). */
void host_die_with_parent(void);
void host_push_loaded(lua_State *L);
void host_push_trusted(lua_State *L);
void host_push_array_mark(lua_State *L);
bool host_has_array_mark(lua_State *L, int index);
void host_set_array_mark(lua_State *L, int index);
void host_freeze(lua_State *L, int index, const char *what);     /* pushes a read-only view */
void host_set_resolver(lua_State *L);                            /* pops a function (name, trusted) -> source?, chunk, native? */

/* Never raises when the table is not changed between calls (the key is one lua_next gave). */
int host_next(lua_State *L, int index);
/* Reads n numbers of a table by raw access into out; returns 0, or the 1-based index of the first that is none. */
size_t host_read_numbers(lua_State *L, int index, double *out, size_t n);
/* The same for integers, all 64 bits; strict: floats with whole values do not count as integers. */
size_t host_read_integers(lua_State *L, int index, int64_t *out, size_t n, int strict);
void host_push_numbers(lua_State *L, const double *values, size_t n);
const char *host_string(lua_State *L, int index, size_t *count); /* strings only, no conversion; null otherwise */
/* Replaces the value on top by its text as tostring() makes it; for error values of any kind. Never raises. */
void host_to_text(lua_State *L);

/* Any thread: asks the script to stop. Call again until the script has ended. */
void host_request_stop(host_account *a, int reason);
void host_clear_stop(host_account *a);

void host_collect(lua_State *L);
static inline int host_upvalue(int i) { return lua_upvalueindex(i); }
static inline void host_pop(lua_State *L, int n) { lua_settop(L, -n - 1); }
static inline int host_stop_reason(host_account *a) { return __atomic_load_n(&a->stop, __ATOMIC_SEQ_CST); }
static const int host_registry_index = LUA_REGISTRYINDEX;
