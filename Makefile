# iotix. `make run` simulates a first fleet, `make test` runs every test, `make help` lists the rest.

CC        ?= gcc
BUILD     ?= build$(if $(SANITIZE),-$(subst $(comma),-,$(SANITIZE)))
PREFIX    ?= /usr/local
DESTDIR   ?=
PART      ?= unit lua e2e
VERSION   := 0.1.0
comma     := ,
Q         := $(if $(V),,@)# make V=1 shows the commands

PACKAGES_LIB := libuv luajit libmosquitto jansson libsodium openssl libcurl sqlite3 libmicrohttpd
CFLAGS_BASE  := -std=gnu11 -O2 -g -D_GNU_SOURCE -Wall -Wextra -Werror -Wshadow -Wstrict-prototypes \
                -Wno-format-truncation \
                -fvisibility=hidden -fno-omit-frame-pointer -DIX_VERSION='"$(VERSION)"'
CPPFLAGS_ALL := -Iruntime -I$(BUILD)/gen $(shell pkg-config --cflags $(PACKAGES_LIB) 2>/dev/null)
SANITIZER    := $(if $(SANITIZE),-fsanitize=$(SANITIZE) -fno-sanitize-recover=undefined)
LIBS          = $(shell pkg-config --libs $(PACKAGES_LIB)) -l:liblua5.1-cjson.a -lm -ldl -lpthread
CFLAGS_ALL    = $(CFLAGS_BASE) $(SANITIZER) $(CFLAGS)
LDFLAGS_ALL   = $(SANITIZER) $(LDFLAGS) -Wl,--as-needed

SOURCES  := $(sort $(wildcard runtime/*/*.c))
MAIN     := runtime/cli/main.c
OBJECTS  := $(patsubst runtime/%.c,$(BUILD)/obj/%.o,$(filter-out $(MAIN),$(SOURCES))) $(BUILD)/gen/embedded.o \
            $(BUILD)/gen/web_files.o
MAIN_OBJ := $(patsubst runtime/%.c,$(BUILD)/obj/%.o,$(filter $(MAIN),$(SOURCES)))
EMBEDDED := $(sort $(shell find lua models -name '*.lua' -o -name '*.json' -path 'models/*' -o -name '*.csv' -path 'models/*' 2>/dev/null))
WEB      := $(sort $(shell find runtime/api/web -type f ! -name '*.md' 2>/dev/null))
UNIT     := $(patsubst tests/unit/%.c,$(BUILD)/tests/%,$(sort $(wildcard tests/unit/test_*.c)))

FUZZ     := $(patsubst tests/fuzz/%.c,$(BUILD)/fuzz/%,$(sort $(wildcard tests/fuzz/fuzz_*.c)))
RUNS     ?= 20000

.PHONY: all deps run test unit-programs fuzz fuzz-programs lint coverage format bench bench-profile bench-table bench-rest bench-million soak install clean help web browser
.DELETE_ON_ERROR:

all: $(BUILD)/iotix

help:
	@sed -n 's/^## //p' $(MAKEFILE_LIST)

## make deps      install what building and testing needs (Debian 12; asks sudo when not root)
deps:
	@tests/deps.sh

## make run       build, then run scenarios/quickstart.lua: 1,000 devices on a private broker
run:
	@tests/deps.sh build
	@$(MAKE) --no-print-directory all
	$(BUILD)/iotix run scenarios/quickstart.lua

## make test      every test; PART="unit lua e2e" chooses; SANITIZE=address,undefined checks memory too
test: deps
	@$(MAKE) --no-print-directory all unit-programs $(if $(filter e2e,$(PART)),browser)
	@BUILD=$(BUILD) tests/run.sh $(PART)

unit-programs: $(UNIT)

## make fuzz      mutated inputs against the parsers, under the sanitizers; RUNS=20000 of each
fuzz: deps
	@$(MAKE) --no-print-directory SANITIZE=address,undefined fuzz-programs

fuzz-programs: $(FUZZ)
	@for program in $(FUZZ); do $$program $(RUNS) || exit 1; done

## make coverage  lines of C that the unit and Lua tests reach
coverage: deps
	@tests/coverage.sh

## make lint      formatting, layering, banned functions, Lua and Python checks
lint: deps
	@BUILD=$(BUILD) tests/lint.sh

## make format    clang-format over all C
format:
	clang-format -i $$(git ls-files '*.c' '*.h')

## make bench     figures against a plain C loop, in one run; BENCH="--rounds 1 --parts publish" is quicker
bench: deps
	@$(MAKE) --no-print-directory all $(addprefix $(BUILD)/bench/,baseline engine sizes empty)
	@/usr/bin/python3 tests/bench/bench.py --build $(BUILD) $(BENCH); echo $$? >$(BUILD)/bench/status
	@[ -n "$(BENCH)" ] || $(MAKE) --no-print-directory bench-rest || echo 1 >$(BUILD)/bench/status
	@exit $$(cat $(BUILD)/bench/status)

## make bench-rest  2,000 requests/s to `iotix serve` while 50,000 devices publish (2 minutes)
bench-rest: deps
	@$(MAKE) --no-print-directory all
	@mkdir -p $(BUILD)/bench
	@/usr/bin/python3 tests/bench/rest.py --iotix $(BUILD)/iotix --out $(BUILD)/bench/rest.json

## make bench-profile  where the CPU time of a message goes, by perf; PROFILE="--devices 100000"
bench-profile: deps
	@$(MAKE) --no-print-directory all $(BUILD)/bench/baseline
	@/usr/bin/python3 tests/bench/hotspots.py --build $(BUILD) $(PROFILE)

## make bench-table  puts the figures of the last make bench and make bench-million into tests/bench/README.md
bench-table:
	@/usr/bin/python3 tests/bench/table.py $(or $(wildcard $(BUILD)/bench/result.json $(BUILD)/bench/million.json),\
	  $(error nothing was measured here: make bench, make bench-million))

## make bench-million  connects a million devices on this machine, or as many as fit, and says what that costs; MILLION="--devices 2000000"
bench-million: deps
	@$(MAKE) --no-print-directory all
	@/usr/bin/python3 tests/bench/million.py --iotix $(BUILD)/iotix --out $(BUILD)/bench/million.json $(MILLION)

## make soak       ten million messages and 10,000 reconnects: memory and descriptors stay where they are (4 minutes)
soak: deps
	@$(MAKE) --no-print-directory all
	@/usr/bin/python3 tests/bench/soak.py --iotix $(BUILD)/iotix

## make install   PREFIX=/usr/local: one binary, the models and the scenarios
install: all
	install -Dm755 $(BUILD)/iotix $(DESTDIR)$(PREFIX)/bin/iotix
	install -d $(DESTDIR)$(PREFIX)/share/iotix/models $(DESTDIR)$(PREFIX)/share/iotix/scenarios
	cp -R models/. $(DESTDIR)$(PREFIX)/share/iotix/models
	cp -R scenarios/. $(DESTDIR)$(PREFIX)/share/iotix/scenarios

clean:
	rm -rf build build-*

$(BUILD)/iotix: $(MAIN_OBJ) $(OBJECTS)
	@echo '  ld $@'
	$(Q)$(CC) $(LDFLAGS_ALL) -o $@ $^ $(LIBS)

$(BUILD)/obj/%.o: runtime/%.c Makefile
	@mkdir -p $(@D)
	@echo '  cc $<'
	$(Q)$(CC) $(CPPFLAGS_ALL) $(CFLAGS_ALL) -MMD -MP -c -o $@ $<

# Lua as bytecode with line numbers, models as text: one file to install.
$(BUILD)/gen/embedded.c: runtime/script/embed.lua $(EMBEDDED)
	@mkdir -p $(@D)
	$(Q)luajit runtime/script/embed.lua $@ $(EMBEDDED)

$(BUILD)/gen/embedded.o: $(BUILD)/gen/embedded.c
	$(Q)$(CC) $(CPPFLAGS_ALL) $(CFLAGS_ALL) -c -o $@ $<

# The web page's libraries, by its lock file. Without npm or a network the build goes on, says so and remembers it.
NPM_CI := npm ci --omit=dev --ignore-scripts --no-audit --no-fund --loglevel=error --fetch-retries=1 \
          --fetch-retry-mintimeout=1000 --fetch-timeout=60000
WEB_NPM := $(BUILD)/web
$(WEB_NPM)/.fetched: runtime/api/web/package.json runtime/api/web/package-lock.json
	@rm -rf $(WEB_NPM) && mkdir -p $(WEB_NPM) && cp $^ $(WEB_NPM)
	@echo '  npm $<'
	@if ! command -v npm >/dev/null; then why='npm is not installed'; \
	 elif (cd $(WEB_NPM) && $(NPM_CI) >npm.log 2>&1); then why=; \
	 else why="npm could not fetch its libraries, see $(WEB_NPM)/npm.log"; fi; \
	 if [ -z "$$why" ]; then echo node_modules >$@; else rm -rf $(WEB_NPM)/node_modules; : >$@; \
	   echo "iotix will have a plain page in place of the live one: $$why (make web tries again)"; fi

## make web       fetches the web page's libraries (npm) again; the build does it by itself the first time
web:
	@rm -f $(WEB_NPM)/.fetched
	@$(MAKE) --no-print-directory $(WEB_NPM)/.fetched

$(BUILD)/gen/web_files.c: runtime/api/web/embed.sh $(WEB) $(WEB_NPM)/.fetched
	@mkdir -p $(@D)
	$(Q)runtime/api/web/embed.sh $@ $(BUILD)/gen/web_files $$(sed 's,^,$(WEB_NPM)/,' $(WEB_NPM)/.fetched)

$(BUILD)/gen/web_files.o: $(BUILD)/gen/web_files.c runtime/api/web_files.h
	$(Q)$(CC) $(CPPFLAGS_ALL) $(CFLAGS_ALL) -c -o $@ $<

# What the tests of the page drive a browser with.
browser: $(BUILD)/browser/.fetched
$(BUILD)/browser/.fetched: tests/e2e/browser/package.json tests/e2e/browser/package-lock.json
	@rm -rf $(BUILD)/browser && mkdir -p $(BUILD)/browser && cp $^ $(BUILD)/browser
	@echo '  npm $<'
	@cd $(BUILD)/browser && $(NPM_CI) >/dev/null
	@touch $@

# A test takes from the archive what it uses, and only that.
$(BUILD)/libiotix.a: $(OBJECTS)
	@rm -f $@
	$(Q)$(AR) rcs $@ $^

$(BUILD)/tests/%: tests/unit/%.c $(BUILD)/libiotix.a Makefile
	@mkdir -p $(@D)
	@echo '  cc $<'
	$(Q)$(CC) $(CPPFLAGS_ALL) -Itests/unit $(CFLAGS_ALL) -MMD -MP $(LDFLAGS_ALL) -o $@ $< $(BUILD)/libiotix.a $(LIBS) -lcmocka

$(BUILD)/fuzz/%: tests/fuzz/%.c $(BUILD)/libiotix.a Makefile
	@mkdir -p $(@D)
	$(CC) $(CPPFLAGS_ALL) -Itests/fuzz $(CFLAGS_ALL) -MMD -MP $(LDFLAGS_ALL) -o $@ $< $(BUILD)/libiotix.a $(LIBS)

# All that iotix loads, and nothing else.
$(BUILD)/bench/empty: tests/bench/empty.c $(BUILD)/iotix
	@mkdir -p $(@D)
	@echo '  cc $<'
	$(Q)$(CC) $(CFLAGS_ALL) $(SANITIZER) -o $@ $< -Wl,--no-as-needed \
	  $$(readelf -d $(BUILD)/iotix | sed -n 's/.*(NEEDED).*\[\(.*\)\]/-l:\1/p')

$(BUILD)/bench/%: tests/bench/%.c $(BUILD)/libiotix.a Makefile
	@mkdir -p $(@D)
	@echo '  cc $<'
	$(Q)$(CC) $(CPPFLAGS_ALL) $(CFLAGS_ALL) $(LDFLAGS_ALL) -o $@ $< $(BUILD)/libiotix.a $(LIBS)

-include $(patsubst %.o,%.d,$(OBJECTS) $(MAIN_OBJ)) $(addsuffix .d,$(UNIT) $(FUZZ))
