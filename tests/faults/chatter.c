/* Preloaded, makes MongoDB's client library say INFO at each find, as some of its versions do on some servers. Where it
 * is not told otherwise it prints that on standard output. */
#define _GNU_SOURCE
#include <dlfcn.h>
#include <stdio.h>
#include <stdlib.h>

#define INFO 4 /* MONGOC_LOG_LEVEL_INFO */

void *mongoc_collection_find_with_opts(void *collection, void *filter, void *opts, void *prefs)
{
	void *lib = dlopen("libmongoc-1.0.so.0", RTLD_LAZY | RTLD_NOLOAD);
	if (!lib)
		lib = dlopen("libmongoc2.so.2", RTLD_LAZY | RTLD_NOLOAD);
	if (!lib)
		abort();
	void (*say)(int, const char *, const char *, ...) = dlsym(lib, "mongoc_log");
	void *(*find)(void *, void *, void *, void *) = dlsym(lib, "mongoc_collection_find_with_opts");

	(void)setvbuf(stdout, NULL, _IONBF, 0); /* now, not when the buffer is full */
	say(INFO, "chatter", "a word on standard output");
	return find(collection, filter, opts, prefs);
}
