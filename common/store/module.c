#include "store/module.h"

#include "store/store.h"

#include <dlfcn.h>
#include <limits.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "base/banned.h"

#define SYMBOL "autoscale_store_module"

/* DIR/../lib/autoscale/NAME.so, where DIR holds the running program. */
static int module_path(const char *name, char *out, size_t size, struct err *err)
{
	char self[PATH_MAX];
	const ssize_t n = readlink("/proc/self/exe", self, sizeof self - 1);

	if (n <= 0)
		return err_set(err, ERR_CONFIG,
		               "cannot find the driver \"%s\": /proc/self/exe does not say where this program is", name);
	self[n] = '\0';
	char *slash = strrchr(self, '/');
	if (slash)
		*slash = '\0';
	const int len = snprintf(out, size, "%s/../lib/autoscale/%s.so", self, name);
	return len > 0 && (size_t)len < size ? 0
	                                     : err_set(err, ERR_CONFIG, "the path of the driver \"%s\" is too long", name);
}

const char *const store_modules[] = {"mysql", "mongodb", NULL};

const char *store_module_library(const char *name, struct err *err)
{
	const struct store_module *m = store_module(name, err);

	return m ? m->library() : NULL;
}

const struct store_module *store_module(const char *name, struct err *err)
{
	char path[PATH_MAX + 64];

	if (module_path(name, path, sizeof path, err) < 0)
		return NULL;
	if (access(path, R_OK) < 0) {
		(void)err_set(err, ERR_CONFIG,
		              "the driver for %s is not installed (no %s): build it where its client library is (make deps)",
		              name, path);
		return NULL;
	}
	/* libmongoc, when it is loaded, makes a file of counters in /dev/shm, which a kill -9 leaves there, and warns on
	 * standard error where it cannot; nobody reads them. It asks this before any code of ours in the module runs. */
	(void)setenv("MONGOC_DISABLE_SHM", "1", 0);
	/* The same file again gives the same handle. */
	void *handle = dlopen(path, RTLD_NOW | RTLD_LOCAL | RTLD_NODELETE);
	const struct store_module *m = handle ? dlsym(handle, SYMBOL) : NULL;
	if (!m) {
		const char *why = dlerror();
		(void)err_set(err, ERR_CONFIG,
		              "cannot load the driver for %s: %s: install the library that is missing (Debian: libmariadb3 for "
		              "mysql, libmongoc-1.0-0 for mongodb)",
		              name, why ? why : "it is no driver");
		return NULL;
	}
	if (strcmp(m->version, AS_VERSION) != 0) {
		(void)err_set(err, ERR_CONFIG, "%s is of version %s, this program of %s: install both from one build", path,
		              m->version, AS_VERSION);
		return NULL;
	}
	return m;
}
