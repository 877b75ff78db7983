/* Text for a person's terminal. What tenants write in labels cannot move the cursor, turn the writing around or hide;
 * widths are columns of the terminal, near enough. */
#ifndef CMD_FRONT_TEXT_H
#define CMD_FRONT_TEXT_H

#include "base/buf.h"

#include <stdbool.h>
#include <stddef.h>

/* Adds the text with what is not for a terminal escaped: control characters (C0, DEL, C1) as \n or \x1b, characters
 * that change the direction or have no width as \u202e, bytes that are no UTF-8 as \xff. ascii: for a terminal that
 * does not take UTF-8, all else beyond ASCII as a question mark. */
void text_put(struct buf *out, const char *text, bool ascii);
/* How many columns this takes, of text that text_put wrote. */
size_t text_width(const char *safe);
/* Adds such text, at most `columns` of it; what does not fit ends with an ellipsis. */
void text_cut(struct buf *out, const char *safe, size_t columns, bool ascii);
void text_pad(struct buf *out, size_t columns);

#endif
