#pragma once
#include <stdio.h>
#include <editline/readline.h>

/* libedit's settings are C globals, which Swift 6 does not let code assign; these set them. */
static inline void edit_set_completer(char **(*complete)(const char *, int, int)) {
  rl_attempted_completion_function = complete;
  rl_completion_append_character = 0;
}
static inline void edit_set_word_breaks(const char *breaks) { rl_completer_word_break_characters = breaks; }
static inline void edit_set_name(const char *name) { rl_readline_name = name; }
static inline const char *edit_line(void) { return rl_line_buffer; }
static inline void edit_no_filename_completion(void) { rl_attempted_completion_over = 1; }
