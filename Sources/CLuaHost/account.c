/* The accounting allocator, opening and closing a state, and the memory behind userdata.
 *
 * `limit` bounds Lua's own memory. `external` counts bytes behind objects, which Lua cannot see: above the soft limit a
 * full collection runs, and when more than 80 % stay alive the soft limit grows by 40 % (torch7's rule). */
#include "internal.h"
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

enum { EXTERNAL_SOFT_START = 64 << 20 };

static bool may_exceed(host_account *a) {
  if (a->host_depth > 0) {
    a->over = true;
    return true;
  }
  /* A finalizer (they are all ours) must not fail for want of a call frame. While one runs every lua_gc answers -1. */
  return a->main != NULL && lua_gc(a->main, LUA_GCCOUNT) == -1;
}

static void *allocate(void *ud, void *block, size_t old_size, size_t new_size) {
  host_account *a = ud;
  if (block == NULL) old_size = 0;
  if (new_size == 0) {
    free(block);
    a->used -= old_size;
    return NULL;
  }
  if (new_size > old_size && a->limit != 0 && a->used + (new_size - old_size) > a->limit && !may_exceed(a)) return NULL;
  void *result = realloc(block, new_size);
  if (result != NULL) {
    a->used += new_size - old_size;
    if (a->used > a->peak) a->peak = a->used;
  }
  return result;
}

host_account *host_open(const host_callbacks *callbacks, void *state, size_t limit) {
  host_account *a = calloc(1, sizeof *a);
  if (a == NULL) return NULL;
  a->callbacks = callbacks;
  a->state = state;
  a->external_soft = EXTERNAL_SOFT_START;
  if (getentropy(&a->secret, sizeof a->secret) != 0) a->secret = (uint64_t)(uintptr_t)a * 0x9e3779b97f4a7c15u;
  lua_State *L = lua_newstate(allocate, a);
  if (L == NULL) {
    free(a);
    return NULL;
  }
  a->main = a->running = L;
  *(host_account **)lua_getextraspace(L) = a;
  lua_pushcfunction(L, host_open_sandbox);
  if (lua_pcall(L, 0, 0, 0) != LUA_OK) {
    host_close(a);
    return NULL;
  }
  a->host_depth = 1;
  a->limit = limit;
  return a;
}

void host_close(host_account *a) {
  a->limit = 0;
  a->stop = HOST_STOP_NONE;
  lua_close(a->main);
  for (host_node *node = a->nodes; node != NULL;) {
    host_node *next = node->next;
    a->callbacks->release(node->object);
    free(node);
    node = next;
  }
  free(a);
}

void host_collect(lua_State *L) {
  host_account *a = host_account_of(L);
  size_t limit = a->limit;
  a->limit = 0; /* finalizers must not fail */
  lua_gc(L, LUA_GCCOLLECT);
  a->limit = limit;
}

/* ---- objects ---------------------------------------------------------------------------------------------------- */

static const char box_magic = 0;
typedef struct host_box {
  const void *magic;
  host_node *node;
} host_box;

host_node *host_push_object(lua_State *L, void *object, uintptr_t kind, size_t bytes) {
  host_account *a = host_account_of(L);
  host_box *box = lua_newuserdatauv(L, sizeof *box, 1);
  box->magic = &box_magic;
  box->node = NULL;
  host_node *node = malloc(sizeof *node);
  if (node == NULL) return NULL;
  *node = (host_node){.object = object, .kind = kind, .bytes = bytes, .previous = NULL, .next = a->nodes};
  if (a->nodes != NULL) a->nodes->previous = node;
  a->nodes = node;
  a->node_count++;
  a->external += bytes;
  box->node = node;
  return node;
}

static host_box *box_at(lua_State *L, int index) {
  if (lua_type(L, index) != LUA_TUSERDATA || lua_rawlen(L, index) != sizeof(host_box)) return NULL;
  host_box *box = lua_touserdata(L, index);
  return box->magic == &box_magic ? box : NULL;
}

host_node *host_node_at(lua_State *L, int index, bool *is_object) {
  host_box *box = box_at(L, index);
  *is_object = box != NULL;
  return box != NULL ? box->node : NULL;
}

void host_set_bytes(lua_State *L, host_node *node, size_t bytes) {
  host_account *a = host_account_of(L);
  a->external += bytes - node->bytes;
  node->bytes = bytes;
}

int host_release_object(lua_State *L) {
  host_box *box = box_at(L, 1);
  if (box == NULL || box->node == NULL) return 0;
  host_account *a = host_account_of(L);
  host_node *node = box->node;
  box->node = NULL;
  if (node->previous != NULL) node->previous->next = node->next; else a->nodes = node->next;
  if (node->next != NULL) node->next->previous = node->previous;
  a->external -= node->bytes;
  a->node_count--;
  void *object = node->object;
  free(node);
  a->host_depth++;
  a->callbacks->release(object);
  a->host_depth--;
  return 0;
}
