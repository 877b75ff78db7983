/* Functions of the C library that this project does not use: each has no bound, a hidden static buffer, or a
 * shell behind it. Include this header last; `make check` looks that every file does. */
#ifndef BASE_BANNED_H
#define BASE_BANNED_H

#undef strcpy
#undef strcat
#undef strncpy
#undef strncat
#undef sprintf
#undef vsprintf

#pragma GCC poison strcpy strcat strncpy strncat sprintf vsprintf strtok gets
#pragma GCC poison gmtime localtime ctime asctime atoi atol atoll atof
#pragma GCC poison system popen tmpnam mktemp

#endif
