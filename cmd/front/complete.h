/* complete.c: completion for bash, zsh and fish. `COMMAND --completion SHELL` prints a script that asks
 * `COMMAND --completion words WORD ...` at each TAB; the option table and the operands of the usage say what may stand
 * there. Private to front/. */
#ifndef CMD_FRONT_COMPLETE_H
#define CMD_FRONT_COMPLETE_H

#include "cmd/front/front.h"

/* argv[1] is --completion, argv[2] a shell, "words", or a kind of words. Gives the exit status. */
int complete(struct front *f, int argc, char **argv);

#endif
