/* One keyed update after the other on a MongoDB server, the floor that claims are measured against.
 *
 *     build/bench/mongo_floor URL PROCESSES MS
 *
 * URL names the database; its collection bench_floor is filled and used. Prints {"floor"}: updates per second. */
#include <mongoc/mongoc.h>

#include <stdio.h>
#include <stdlib.h>
#include <sys/mman.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#define DOCUMENTS 1000

static int64_t now_ms(void)
{
	struct timespec t;

	(void)clock_gettime(CLOCK_MONOTONIC, &t);
	return t.tv_sec * 1000 + t.tv_nsec / 1000000;
}

static void silent(mongoc_log_level_t level, const char *domain, const char *message, void *data)
{
	(void)level, (void)domain, (void)message, (void)data;
}

static mongoc_collection_t *collection(const char *url, mongoc_client_t **client)
{
	mongoc_uri_t *uri = mongoc_uri_new(url);

	*client = uri ? mongoc_client_new_from_uri(uri) : NULL;
	if (!*client)
		_exit(1);
	mongoc_collection_t *c = mongoc_client_get_collection(*client, mongoc_uri_get_database(uri), "bench_floor");
	mongoc_uri_destroy(uri);
	return c;
}

static void fill(const char *url)
{
	mongoc_client_t *client;
	mongoc_collection_t *c = collection(url, &client);

	for (int i = 0; i < DOCUMENTS; i++) {
		bson_t *doc = BCON_NEW("_id", BCON_INT32(i), "n", BCON_INT64(0));
		(void)mongoc_collection_insert_one(c, doc, NULL, NULL, NULL); /* it may be there from a run before */
		bson_destroy(doc);
	}
	mongoc_collection_destroy(c);
	mongoc_client_destroy(client);
}

static int64_t work(const char *url, int64_t until, unsigned seed)
{
	mongoc_client_t *client;
	mongoc_collection_t *c = collection(url, &client);
	bson_t *update = BCON_NEW("$inc", "{", "n", BCON_INT64(1), "}");
	int64_t done = 0;

	srand(seed);
	for (; now_ms() < until; done++) {
		bson_t *key = BCON_NEW("_id", BCON_INT32(rand() % DOCUMENTS));
		if (!mongoc_collection_update_one(c, key, update, NULL, NULL, NULL))
			_exit(1);
		bson_destroy(key);
	}
	bson_destroy(update);
	mongoc_collection_destroy(c);
	mongoc_client_destroy(client);
	return done;
}

int main(int argc, char **argv)
{
	const int processes = argc == 4 ? (int)strtol(argv[2], NULL, 10) : 0;
	const int64_t ms = argc == 4 ? strtol(argv[3], NULL, 10) : 0;
	int64_t sum = 0, *done;

	if (processes < 1 || ms < 1) {
		(void)fprintf(stderr, "usage: mongo_floor URL PROCESSES MS\n");
		return 64;
	}
	mongoc_init();
	mongoc_log_set_handler(silent, NULL);
	fill(argv[1]);
	done = mmap(NULL, sizeof *done * (size_t)processes, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0);
	const int64_t start = now_ms();
	for (int i = 0; i < processes; i++)
		if (fork() == 0) {
			done[i] = work(argv[1], start + ms, (unsigned)i);
			_exit(0);
		}
	for (int i = 0; i < processes; i++) {
		int status;
		if (wait(&status) < 0 || status != 0)
			return 1;
	}
	for (int i = 0; i < processes; i++)
		sum += done[i];
	printf("{\"floor\":%lld}\n", (long long)(sum * 1000 / (now_ms() - start)));
	return 0;
}
