/* The exit statuses of every command, after sysexits(3). Listed in every manual. */
#ifndef BASE_EXIT_H
#define BASE_EXIT_H

enum {
	EX_DONE = 0,        /* all done */
	EX_RECORDS = 1,     /* at least one record carries an error; the rest went through */
	EX_BAD_USAGE = 64,  /* wrong use of the command */
	EX_BAD_INPUT = 65,  /* bad input line(s); the rest went through */
	EX_NO_SERVICE = 69, /* a service needed is unavailable */
	EX_NO_OUTPUT = 74,  /* output could not be written */
	EX_TRY_AGAIN = 75,  /* temporary, try again later */
	EX_NO_ACCESS = 77,  /* credentials or permission refused */
	EX_BAD_CONFIG = 78, /* configuration or schema */
};

#endif
