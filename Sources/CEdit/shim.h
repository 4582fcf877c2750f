#pragma once
#include <histedit.h>
#include <stdio.h>

/* el_set and history are variadic, which Swift cannot call; these are the calls the REPL makes. */
typedef char *(*edit_prompt)(EditLine *);
typedef unsigned char (*edit_command)(EditLine *, int);

static inline EditLine *edit_open(History *past, edit_prompt prompt, edit_command complete, edit_command interrupt) {
  EditLine *editor = el_init("moonlake", stdin, stdout, stderr);
  if (!editor) return NULL;
  el_set(editor, EL_PROMPT, prompt);
  el_set(editor, EL_EDITOR, "emacs");
  el_set(editor, EL_HIST, history, past);
  el_set(editor, EL_ADDFN, "moonlake-complete", "complete names", complete);
  el_set(editor, EL_BIND, "\t", "moonlake-complete", NULL);
  el_set(editor, EL_BIND, "^R", "em-inc-search-prev", NULL);
  /* Ctrl-C arrives as a key while a line is edited: no signal, no jump. */
  el_set(editor, EL_ADDFN, "moonlake-interrupt", "drop the line", interrupt);
  el_set(editor, EL_BIND, "^C", "moonlake-interrupt", NULL);
  el_set(editor, EL_SETTY, "-d", "-isig", NULL);
  return editor;
}

static inline History *edit_history(const char *file, int size) {
  HistEvent event;
  History *past = history_init();
  if (!past) return NULL;
  history(past, &event, H_SETSIZE, size);
  history(past, &event, H_SETUNIQUE, 1);
  if (file) history(past, &event, H_LOAD, file);
  return past;
}
static inline void edit_remember(History *past, const char *line) {
  HistEvent event;
  history(past, &event, H_ENTER, line);
}
static inline int edit_save(History *past, const char *file) {
  HistEvent event;
  return history(past, &event, H_SAVE, file);
}
static inline void edit_forget(History *past) {
  if (past) history_end(past);
}
