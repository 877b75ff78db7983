/* Programs of the operator's that are run: only those that nobody but root and the user we run as can have written. */
#ifndef BASE_TRUST_H
#define BASE_TRUST_H

#include "base/err.h"

/* NOT_FOUND; REFUSED: it is no file, or others may write it; DENIED: it may not be run. */
int trust_program(const char *file, struct err *err);
/* The folder programs are taken from. CONFIG: it cannot be looked into; REFUSED. */
int trust_folder(const char *folder, struct err *err);

#endif
