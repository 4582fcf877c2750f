/* Shared by the C files of CLuaHost only. */
#pragma once
#include "include/host.h"

/* Registry keys: the addresses of these. */
extern const char host_key_error, host_key_cancelled, host_key_timeout, host_key_memory, host_key_array, host_key_loaded,
    host_key_resolver, host_key_globals, host_key_platform, host_key_trusted, host_key_loading, host_key_report;

int host_raise_stop(lua_State *L, host_account *a);
int host_raise_memory(lua_State *L, host_account *a);
void host_arm_stop(lua_State *L);
void host_enter_thread(host_account *a, host_account **previous);
void host_leave_thread(host_account *previous);
int host_open_sandbox(lua_State *L);
void host_guard_coroutines(lua_State *L);   /* replaces functions of the coroutine table on the stack top */
void host_field(lua_State *L, const char *name, lua_CFunction f);
static inline int host_stop_of(host_account *a) { return __atomic_load_n(&a->stop, __ATOMIC_RELAXED); }
