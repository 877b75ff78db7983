# The table of contents. `make` builds, `make check` tests, `make demo` shows, `make help` lists the rest.

.DEFAULT_GOAL = all
VERSION = 0.1.0
PREFIX = /usr/local
DESTDIR =
B = build$(if $(SANITIZE),/sanitize)
Q = $(if $(V),,@)
SAY = @$(if $(V),:,echo)

# ---- libraries: asked of pkg-config once ----
lib = $(shell pkg-config --libs $(1) 2>/dev/null || echo -l$(patsubst lib%,%,$(1)))
JSON   := $(call lib,jansson)
CURL   := $(call lib,libcurl) $(call lib,libcrypto) -pthread
SQLITE := $(call lib,sqlite3) $(call lib,libcrypto)
INI    := $(call lib,inih)

# ---- commands: rooms of common/ they link, and libraries beyond base ----
COMMANDS =
define command
COMMANDS += $(1)
$(B)/bin/$(1): $(patsubst %.c,$(B)/obj/%.o,$(wildcard cmd/$(1)/*.c)) $(B)/lib/front.a $(patsubst %,$(B)/lib/%.a,$(2) base)
$(B)/bin/$(1): private LIBS = $(3)
endef
$(eval $(call command,as-ingest,alert store,$(SQLITE)))
$(eval $(call command,as-listen,alert store,$(SQLITE) $(call lib,libmicrohttpd)))
$(eval $(call command,as-fetch-alerts,store,$(SQLITE) -pthread))
$(eval $(call command,as-watch,alert engine store,$(CURL) $(JSON) $(SQLITE)))
$(eval $(call command,as-inspect,engine store,$(CURL) $(JSON) $(SQLITE)))
$(eval $(call command,as-sample,policy engine lb,$(CURL) $(JSON)))
$(eval $(call command,as-resolve-policy,policy store,$(SQLITE)))
$(eval $(call command,as-decide,policy,))
$(eval $(call command,as-start,engine,$(CURL) $(JSON)))
$(eval $(call command,as-clone,engine,$(CURL) $(JSON)))
$(eval $(call command,as-remove,engine,$(CURL) $(JSON)))
$(eval $(call command,as-lb-update,engine lb,$(CURL) $(JSON)))
$(eval $(call command,as-audit,store,$(SQLITE)))
$(eval $(call command,as-report,policy,))
$(eval $(call command,as-ack-alerts,store,$(SQLITE)))
$(eval $(call command,as-store,store,$(SQLITE)))
$(eval $(call command,as-policy,policy store,$(SQLITE) $(JSON)))
$(eval $(call command,as-doctor,alert policy engine lb store,$(CURL) $(JSON) $(SQLITE)))
$(eval $(call command,as-status,policy engine lb store,$(CURL) $(JSON) $(SQLITE)))

# ---- store drivers that a URL asks for: loaded when needed (common/store/module.h), built where their library is ----
first = $(firstword $(foreach p,$(1),$(shell pkg-config --exists $(p) 2>/dev/null && echo $(p))))
MYSQL := $(call first,libmariadb mariadb mysqlclient)
MONGO := $(call first,libmongoc-1.0 mongoc2)
MODULES =
define module
ifneq ($(and $(2),$(wildcard common/store/modules/$(1).c)),)
MODULES += $(B)/lib/autoscale/$(1).so
$(B)/pic/common/store/modules/$(1)%: private CPPFLAGS_ALL += $(patsubst -I%,-isystem %,$(shell pkg-config --cflags $(2) 2>/dev/null))
$(B)/lib/autoscale/$(1).so: $(patsubst %.c,$(B)/pic/%.o,$(wildcard common/store/modules/$(1)*.c)) $(patsubst %.c,$(B)/pic/common/%.o,$(3) base/err.c base/buf.c base/clock.c base/jv.c)
$(B)/lib/autoscale/$(1).so: private LIBS = $(shell pkg-config --libs $(2) 2>/dev/null)
endif
endef
$(eval $(call module,mysql,$(MYSQL),store/url.c store/option_file.c))
$(eval $(call module,mongodb,$(MONGO),store/url.c store/fits.c store/alerts_common.c))

ROOMS  = base alert policy engine lb store
PROGRAMS = $(patsubst %,$(B)/bin/%,$(COMMANDS))
UNITS  = $(patsubst tests/unit/%.c,$(B)/unit/%,$(wildcard tests/unit/*_test.c))
PIPES  = pipelines/pass pipelines/autoscale pipelines/track pipelines/reconcile pipelines/availability pipelines/lb-sync pipelines/replay pipelines/backup
MANS   = $(wildcard man/*.[157])

# ---- flags ----
CFLAGS   = -O2 -g
CPPFLAGS_ALL = -D_GNU_SOURCE -DAS_VERSION='"$(VERSION)"' -Icommon -I. $(if $(findstring -O,$(CFLAGS)),$(if $(SANITIZE),,-D_FORTIFY_SOURCE=2)) $(CPPFLAGS)
CFLAGS_ALL   = -std=c11 -Wall -Wextra -Wno-missing-field-initializers -fPIE -fstack-protector-strong -MMD -MP $(CFLAGS) $(STRICT) $(SAN)
# What --version says beside the version: the newest of the store's schemas. front.h has it as AS_SCHEMA.
SCHEMA = $(words $(wildcard common/store/schema/*.sql))
$(B)/obj/cmd/front/front.o: private CPPFLAGS_ALL += -DAS_SCHEMA=$(SCHEMA)
$(B)/obj/cmd/front/front.o: $(wildcard common/store/schema/*.sql)
LDFLAGS_ALL  = -pie -Wl,-z,relro,-z,now,--as-needed $(SAN) $(LDFLAGS)
ifdef DEVELOPER
STRICT = -Werror -Wconversion -Wshadow -Wformat=2 -Wstrict-prototypes -Wmissing-prototypes -Wpointer-arith -Wundef -Wvla
endif
ifdef SANITIZE
SAN = -fsanitize=$(SANITIZE) -fno-sanitize-recover=all -fno-omit-frame-pointer
endif

.PHONY: all units check lint demo deps install uninstall deb clean help
.DELETE_ON_ERROR:
.SECONDARY:
all: $(PROGRAMS) $(MODULES) completions

help:
	@echo 'make                 build into $(B)/bin'
	@echo 'make check           install test packages if missing, build, run every test'
	@echo 'make demo            a container, a load, copies behind HAProxy, and away again'
	@echo 'make deps            install the packages for building and testing (Debian, Ubuntu)'
	@echo 'make install         DESTDIR=$(DESTDIR) PREFIX=$(PREFIX)'
	@echo 'make readme          write the reference part of README.md from the manuals'
	@echo 'make deb             a Debian package in build/deb'
	@echo 'make lint            cppcheck, shellcheck, layering and the like'
	@echo 'V=1                  show the commands;  '
	@echo 'DEVELOPER=1          strict warnings are errors;  SANITIZE=address,undefined'

# ---- rules ----
$(B)/obj/%.o: %.c
	@mkdir -p $(@D)
	$(SAY) '  CC   $<'
	$(Q)$(CC) $(CPPFLAGS_ALL) $(CFLAGS_ALL) -c -o $@ $<

$(B)/pic/%.o: %.c
	@mkdir -p $(@D)
	$(SAY) '  CC   $< (module)'
	$(Q)$(CC) $(CPPFLAGS_ALL) $(CFLAGS_ALL) -fPIC -fvisibility=hidden -c -o $@ $<

$(B)/lib/autoscale/%.so:
	@mkdir -p $(@D)
	$(SAY) '  LINK $@'
	$(Q)$(CC) -shared -Wl,-z,relro,-z,now,--as-needed,--no-undefined $(SAN) $(LDFLAGS) -o $@ $^ $(LIBS)

$(B)/obj/common/store/schema.o: $(B)/gen/schema.c
	@mkdir -p $(@D)
	$(Q)$(CC) $(CPPFLAGS_ALL) -Icommon/store $(CFLAGS_ALL) -c -o $@ $<

$(B)/gen/schema.c: common/store/schema/embed.sh $(wildcard common/store/schema/*.sql)
	@mkdir -p $(@D)
	$(Q)sh $^ >$@

$(B)/obj/common/alert/sources_table.o: $(B)/gen/sources.c
	@mkdir -p $(@D)
	$(Q)$(CC) $(CPPFLAGS_ALL) $(CFLAGS_ALL) -c -o $@ $<

$(B)/gen/sources.c: common/alert/sources/embed.sh $(wildcard common/alert/sources/*.ini)
	@mkdir -p $(@D)
	$(Q)sh $^ >$@

# What a room has besides its *.c: tables made of data.
made = $(if $(filter store,$(1)),$(B)/obj/common/store/schema.o)$(if $(filter alert,$(1)),$(B)/obj/common/alert/sources_table.o)
define room
$(B)/lib/$(1).a: $$(patsubst %.c,$(B)/obj/%.o,$$(wildcard common/$(1)/*.c)) $(call made,$(1))
endef
$(foreach r,$(ROOMS),$(eval $(call room,$(r))))
$(B)/lib/front.a: $(patsubst %.c,$(B)/obj/%.o,$(wildcard cmd/front/*.c))
$(B)/lib/%.a:
	@mkdir -p $(@D)
	@rm -f $@
	$(Q)$(AR) rcs $@ $^

$(B)/bin/%:
	@mkdir -p $(@D)
	$(SAY) '  LINK $@'
	$(Q)$(CC) $(LDFLAGS_ALL) -o $@ $(filter %.o,$^) $(filter %.a,$^) $(LIBS) $(INI)

units: $(UNITS) $(B)/unit/http_load
$(B)/unit/%: $(B)/obj/tests/unit/%.o $(patsubst %,$(B)/lib/%.a,alert policy engine lb store base)
	@mkdir -p $(@D)
	$(Q)$(CC) $(LDFLAGS_ALL) -o $@ $(filter %.o,$^) $(filter %.a,$^) $(CURL) $(JSON) $(SQLITE) $(INI)
$(B)/unit/lb_suite_test: $(B)/obj/tests/unit/lb_memory.o

# ---- benchmarks: tests/bench ----
benches: $(B)/bench/claims $(B)/bench/attach $(if $(MONGO),$(B)/bench/mongo_floor)
.PHONY: benches
$(B)/bench/mongo_floor: tests/bench/mongo_floor.c
	@mkdir -p $(@D)
	$(Q)$(CC) $(CPPFLAGS_ALL) $(CFLAGS_ALL) $(LDFLAGS_ALL) $(patsubst -I%,-isystem %,$(shell pkg-config --cflags $(MONGO))) -o $@ $< $(shell pkg-config --libs $(MONGO))

$(B)/bench/attach: $(B)/obj/tests/bench/attach.o $(patsubst %,$(B)/lib/%.a,lb base)
	@mkdir -p $(@D)
	$(Q)$(CC) $(LDFLAGS_ALL) -o $@ $(filter %.o,$^) $(filter %.a,$^) $(CURL) $(INI)

$(B)/bench/%: $(B)/obj/tests/bench/%.o $(patsubst %,$(B)/lib/%.a,store base)
	@mkdir -p $(@D)
	$(Q)$(CC) $(LDFLAGS_ALL) -o $@ $(filter %.o,$<) $(filter %.a,$^) $(SQLITE)

# ---- completions come from the option tables of the commands ----
completions: $(foreach c,$(COMMANDS),$(B)/completions/$(c).bash $(B)/completions/_$(c) $(B)/completions/$(c).fish)
.PHONY: completions
$(B)/completions/%.bash: $(B)/bin/%
	@mkdir -p $(@D) && $< --completion bash >$@
$(B)/completions/_%: $(B)/bin/%
	@mkdir -p $(@D) && $< --completion zsh >$@
$(B)/completions/%.fish: $(B)/bin/%
	@mkdir -p $(@D) && $< --completion fish >$@

# ---- the README's reference part comes from the manuals ----
readme:
	@man/reference >$(B)/reference.md
	@sed -i -e '/^<!-- from here on/,/^<!-- until here/{/^<!--/!d}' -e '/^<!-- from here on/r $(B)/reference.md' README.md
.PHONY: readme

# ---- tests ----
check:
	@tests/deps.sh build test
	@tests/check DEVELOPER='$(DEVELOPER)' SANITIZE='$(SANITIZE)'

lint:
	@tests/deps.sh build test
	@tests/lint

demo:
	@tests/deps.sh build demo
	@echo "building"; $(MAKE) --no-print-directory -s SAY=@: all
	@tests/demo

deps:
	@tests/deps.sh build test

# ---- installing ----
# The programs read /etc/autoscale/autoscale.conf; below another prefix the configuration is only an example.
SYSCONFDIR = $(if $(filter /usr /usr/local,$(PREFIX)),/etc,$(PREFIX)/etc)
SYSTEMD = $(PREFIX)/lib/systemd/system
ZSH  = $(PREFIX)/share/zsh/site-functions
BIN  = $(DESTDIR)$(PREFIX)/bin
LIB  = $(DESTDIR)$(PREFIX)/lib/autoscale
EXEC = $(DESTDIR)$(PREFIX)/libexec/autoscale
MAN  = $(DESTDIR)$(PREFIX)/share/man
DOC  = $(DESTDIR)$(PREFIX)/share/doc/autoscale
BASH = $(DESTDIR)$(PREFIX)/share/bash-completion/completions
FISH = $(DESTDIR)$(PREFIX)/share/fish/vendor_completions.d
CONF = $(DESTDIR)$(SYSCONFDIR)/autoscale
TIMED = autoscale.service autoscale.timer autoscale-upkeep.service autoscale-upkeep.timer autoscale@.service as-listen.service
# Files of cron/ say /usr/local, and "# hardened" where cron/hardened belongs.
placed = sed -e 's,/usr/local,$(PREFIX),g' -e '/^\# hardened$$/{r cron/hardened' -e 'd;}' cron/$(1) >$(2)/$(or $(3),$(1)) && chmod 644 $(2)/$(or $(3),$(1))
install: all
	install -d $(BIN) $(LIB) $(EXEC)/pipelines $(MAN)/man1 $(MAN)/man5 $(MAN)/man7 $(DOC)/examples $(DOC)/sources $(BASH) $(FISH) \
	  $(DESTDIR)$(ZSH) $(DESTDIR)$(SYSTEMD) $(DESTDIR)$(PREFIX)/lib/sysusers.d $(DESTDIR)$(PREFIX)/lib/tmpfiles.d $(CONF)
	install -m 755 $(PROGRAMS) $(BIN)
	for m in $(MODULES); do install -m 644 $$m $(LIB); done
	install -m 755 $(PIPES) $(EXEC)/pipelines
	install -m 644 pipelines/line.sh pipelines/replay.jq $(EXEC)/pipelines
	for s in 1 5 7; do for m in man/*.$$s; do [ ! -e $$m ] || install -m 644 $$m $(MAN)/man$$s; done; done
	for c in $(COMMANDS); do install -m 644 $(B)/completions/$$c.bash $(BASH)/$$c; \
	  install -m 644 $(B)/completions/_$$c $(DESTDIR)$(ZSH); install -m 644 $(B)/completions/$$c.fish $(FISH); done
	install -m 644 README.md CHANGELOG.md LICENSE $(DOC)
	cd examples && find . -type f -exec install -D -m 644 {} $(abspath $(DOC))/examples/{} \;
	install -m 644 common/alert/sources/*.ini $(DOC)/sources
	$(call placed,crontab.example,$(DOC))
	$(foreach t,$(TIMED),$(call placed,$(t),$(DESTDIR)$(SYSTEMD)) &&) :
	$(call placed,autoscale.sysusers,$(DESTDIR)$(PREFIX)/lib/sysusers.d,autoscale.conf)
	$(call placed,autoscale.tmpfiles,$(DESTDIR)$(PREFIX)/lib/tmpfiles.d,autoscale.conf)
	[ -e $(CONF)/autoscale.conf ] || install -m 640 examples/autoscale.conf $(CONF)/autoscale.conf

# The configuration, and the store in /var/lib/autoscale, are the operator's and stay.
uninstall:
	rm -rf $(EXEC) $(LIB) $(DOC)
	for c in $(COMMANDS); do rm -f $(BIN)/$$c $(BASH)/$$c $(DESTDIR)$(ZSH)/_$$c $(FISH)/$$c.fish; done
	for m in $(notdir $(MANS)); do rm -f $(MAN)/man?/$$m; done
	rm -f $(addprefix $(DESTDIR)$(SYSTEMD)/,$(TIMED))
	rm -f $(DESTDIR)$(PREFIX)/lib/sysusers.d/autoscale.conf $(DESTDIR)$(PREFIX)/lib/tmpfiles.d/autoscale.conf

# ---- a Debian package, in build/deb ----
deb:
	@tests/deps.sh build package
	@debian/package

clean:
	rm -rf build

-include $(shell find $(B)/obj $(B)/pic -name '*.d' 2>/dev/null)
