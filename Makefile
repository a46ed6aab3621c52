# One Makefile for everything; no recursion. Variants live side by side: build/debug, build/asan, ...
#
#   make           the programs, variant debug         make V=release   another variant
#   make check     everything that must hold           make help        all targets
#
# A folder's programs are the files named cupel*.c; all its other files are its library.

V      ?= $(if $(filter bench install install-library library,$(MAKECMDGOALS)),release,debug)
O      ?= build/$(V)
PREFIX ?= /usr/local
VERSION := 0.1.0
CC     := gcc

.DEFAULT_GOAL := all
.SECONDARY:
.DELETE_ON_ERROR:
MAKEFLAGS += $(if $(filter unit asan valgrind fuzz lint coverage,$(MAKECMDGOALS)),--keep-going)

# --- variants ---------------------------------------------------------------------------------
# -Wno-unused-result: gcc doesn't take our (void) for an answer, and glibc asks only when it fortifies.
WARN  := -Wall -Wextra -Wshadow -Wstrict-prototypes -Wmissing-prototypes -Wpointer-arith \
         -Wwrite-strings -Wvla -Wformat=2 -Wundef -Wno-missing-field-initializers -Wno-unused-result
ifdef CI
WARN  += -Werror
endif
HARDEN := -fstack-protector-strong -fstack-clash-protection -fcf-protection=full -fPIE
LDHARDEN := -pie -Wl,-z,relro,-z,now,-z,noexecstack
FLAGS_debug    := -O1 -g3 $(HARDEN)
FLAGS_release  := -O2 -g -D_FORTIFY_SOURCE=3 $(HARDEN) -ftrivial-auto-var-init=zero
FLAGS_asan     := -O1 -g3 -fsanitize=address,undefined -fno-sanitize-recover=undefined -fno-omit-frame-pointer -fPIE
FLAGS_coverage := -O0 -g3 --coverage -fPIE
FLAGS_fuzz     := -O1 -g3 -fsanitize=address,undefined,fuzzer-no-link -fno-sanitize-recover=undefined -fPIE
ifeq ($(V),fuzz)
CC := clang
WARN += -Wno-unused-command-line-argument
endif
ifeq ($(origin FLAGS_$(V)),undefined)
$(error V=$(V): there are the variants debug, release, asan, coverage, fuzz)
endif

PACKAGES := libevent libevent_openssl libgit2 libprotobuf-c sqlite3 yaml-0.1 jansson openssl
ifneq ($(filter-out clean help check format format-check layers print-layers,$(or $(MAKECMDGOALS),all)),)
PKG_CFLAGS := $(shell pkg-config --cflags $(PACKAGES)) $(shell pkg-config --exists $(PACKAGES) || echo MISSING)
ifneq ($(filter MISSING,$(PKG_CFLAGS)),)
$(error libraries are missing: run ci/install build)
endif
endif
CPPFLAGS := -I. -I$(O)/generated -D_GNU_SOURCE $(PKG_CFLAGS) -DCUPEL_VERSION='"$(VERSION)"' -DCUPEL_BINDIR='"$(PREFIX)/bin"'
CFLAGS   := -std=gnu17 $(WARN) $(FLAGS_$(V)) -pthread
LDFLAGS  := $(FLAGS_$(V)) $(if $(filter debug release,$(V)),$(LDHARDEN)) -pthread -Wl,--as-needed

# --- the layers: a folder, what it may use, the libraries that it owns ---------------------------
FOLDERS := base proto sandbox observer dispatcher runner cli
USES_base       :=
USES_proto      := base
USES_sandbox    := base
USES_observer   := proto base
USES_dispatcher := proto base
USES_runner     := sandbox proto base
USES_cli        := proto base
LIBS_base       := yaml-0.1
LIBS_proto      := libprotobuf-c libevent libevent_openssl openssl
LIBS_sandbox    :=
LIBS_observer   := libgit2
LIBS_dispatcher := sqlite3
LIBS_runner     := libgit2
LIBS_cli        := jansson

# --- objects and programs ------------------------------------------------------------------------
define folder
SRC_$(1)  := $(filter-out $(1)/cupel%.c,$(wildcard $(1)/*.c))
MAIN_$(1) := $(wildcard $(1)/cupel*.c)
LIB_$(1)  := $(O)/lib$(1).a
BIN_$(1)  := $$(patsubst $(1)/%.c,$(O)/bin/%,$$(MAIN_$(1)))
NEED_$(1) := $(O)/lib$(1).a $(foreach f,$(USES_$(1)),$(O)/lib$(f).a)
PC_$(1)   := $(LIBS_$(1)) $(foreach f,$(USES_$(1)),$(LIBS_$(f)))
endef
$(foreach f,$(FOLDERS),$(eval $(call folder,$(f))))
GENERATED := $(O)/generated/proto/cupel.pb-c.c

define folder_rules
$(LIB_$(1)): $(patsubst %.c,$(O)/obj/%.o,$(SRC_$(1))) $(if $(filter proto,$(1)),$(O)/obj/proto/cupel.pb-c.o)
	@rm -f $$@
	$$(if $$^,ar rcs $$@ $$^,ar rcs $$@)
$(BIN_$(1)): $(O)/bin/%: $(O)/obj/$(1)/%.o $(NEED_$(1))
	@mkdir -p $$(@D)
	$$(CC) $$(LDFLAGS) -o $$@ $$^ $$(shell pkg-config --libs $(PC_$(1)) </dev/null)
endef
$(foreach f,$(FOLDERS),$(eval $(call folder_rules,$(f))))

PROGRAMS := $(foreach f,$(FOLDERS),$(BIN_$(f)))
all: $(PROGRAMS) ## the programs, into $(O)/bin

$(O)/obj/%.o: %.c | $(GENERATED)
	@mkdir -p $(@D)
	$(CC) $(CPPFLAGS) $(CFLAGS) -MMD -MP -c -o $@ $<
$(O)/obj/proto/cupel.pb-c.o: $(GENERATED)
	@mkdir -p $(@D)
	$(CC) $(CPPFLAGS) -std=gnu17 -w $(FLAGS_$(V)) -c -o $@ $<
$(GENERATED): proto/cupel.proto
	@mkdir -p $(O)/generated
	protoc-c --c_out=$(O)/generated $<
-include $(shell find $(O)/obj $(O)/lint -name '*.d' 2>/dev/null)

# --- unit tests: tests/unit/FOLDER/test_*.c, each a program over FOLDER and what it may use --------
UNIT_SRC := $(wildcard tests/unit/*/test_*.c)
UNIT     := $(patsubst tests/unit/%.c,$(O)/unit/%,$(UNIT_SRC))
define unit_rules
$(patsubst tests/unit/%.c,$(O)/unit/%,$(wildcard tests/unit/$(1)/test_*.c)): $(O)/unit/%: $(O)/obj/tests/unit/%.o $(NEED_$(1))
	@mkdir -p $$(@D)
	$$(CC) $$(LDFLAGS) -o $$@ $$^ $$(shell pkg-config --libs $(PC_$(1)) cmocka)
endef
$(foreach f,$(FOLDERS),$(eval $(call unit_rules,$(f))))
unit-tests: $(UNIT)
$(filter $(O)/unit/sandbox/%,$(UNIT)): | $(O)/bin/cupel-sandbox

# One target a run, so that one failure doesn't hide the others. The debug build goes under valgrind,
# but for tests that say `not under valgrind: REASON`.
variant = $(MAKE) V=$(1) O=$(if $(filter file,$(origin O)),build/$(1),$(O)-$(1))
UNIT_TIME := 300 # seconds for one program; valgrind is some thirty times slower than the processor
NOT_UNDER_VALGRIND := $(shell grep -ls '^/\* not under valgrind: ' $(UNIT_SRC) </dev/null)
VALGRIND := valgrind -q --error-exitcode=99 --leak-check=full --trace-children=no

unit: $(UNIT:%=run/%) ## the unit tests
run/%: %
	@echo "== $*"; CMOCKA_MESSAGE_OUTPUT=STDOUT timeout $(UNIT_TIME) $<
valgrind: $(patsubst tests/unit/%.c,memcheck/$(O)/unit/%,$(UNIT_SRC)) ## the unit tests under valgrind
memcheck/%: %
	@echo "== $* under valgrind"; CMOCKA_MESSAGE_OUTPUT=STDOUT timeout $(UNIT_TIME) $(VALGRIND) $<
$(patsubst tests/unit/%.c,memcheck/$(O)/unit/%,$(NOT_UNDER_VALGRIND)): memcheck/$(O)/unit/%:
	@sed -n '/^\/\* not under valgrind: /{:more;/\*\/$$/!{N;bmore};s/\n \*//g;s|^/\* not under valgrind: \(.*\) \*/$$|SKIP $*: \1|p;q}' \
		tests/unit/$*.c
asan: ## the unit tests with the address and undefined behaviour sanitizers
	@$(call variant,asan) unit
coverage: ## the lines that the unit tests run
	@$(call variant,coverage) coverage-sum
coverage-sum: unit
	@find $(O)/obj -name '*.gcda' -not -path '*/tests/*' -exec gcov -n {} + 2>/dev/null | ci/coverage

# --- fuzzers: tests/fuzz/FOLDER/fuzz_*.c with seeds in tests/fuzz/corpus/fuzz_* ---------------------
FUZZERS := $(patsubst tests/fuzz/%.c,$(O)/fuzz/%,$(wildcard tests/fuzz/*/fuzz_*.c))
FUZZ_EFFORT ?= -runs=20000 -max_len=4096 -seed=1
define fuzz_rules
$(patsubst tests/fuzz/%.c,$(O)/fuzz/%,$(wildcard tests/fuzz/$(1)/fuzz_*.c)): $(O)/fuzz/%: $(O)/obj/tests/fuzz/%.o $(NEED_$(1))
	@mkdir -p $$(@D)
	$$(CC) $$(LDFLAGS) -fsanitize=fuzzer -o $$@ $$^ $$(shell pkg-config --libs $(PC_$(1)) </dev/null)
endef
$(foreach f,$(FOLDERS),$(eval $(call fuzz_rules,$(f))))
fuzz-programs: ## the fuzzers, into build/fuzz/fuzz
	@$(call variant,fuzz) fuzz-build
fuzz: ## every fuzzer, with a fixed effort
	@$(call variant,fuzz) fuzz-run
fuzz-build: $(FUZZERS)
fuzz-run: $(FUZZERS:%=fuzzing/%)
fuzzing/%: %
	@rm -rf $<.corpus; mkdir -p $<.corpus $<.found
	@cp -r tests/fuzz/corpus/$(*F)/. $<.corpus/
	@echo "== $*"; timeout 300 $< $(FUZZ_EFFORT) -artifact_prefix=$<.found/ $<.corpus 2>$<.log || \
		{ tail -n 40 $<.log; echo "found: $<.found/"; exit 1; }

# --- whole programs: SYSTEM="word..." takes the tests whose names hold one of the words ---------------
system: all ## the system tests
	CUPEL_BIN=$(O)/bin tests/system/run $(SYSTEM)
hostile: all ## attacks on the sandbox
	CUPEL_BIN=$(O)/bin tests/hostile/run

vm: $(filter $(O)/unit/sandbox/%,$(UNIT)) $(O)/bin/cupel-sandbox ## the sandbox in guests with either version of control groups
	@tests/vm/check $(O)

# --- figures: programs tests/bench/bench_*.c and the driver that starts daemons ------------------
BENCH := $(patsubst tests/bench/%.c,$(O)/bench/%,$(wildcard tests/bench/bench_*.c))
$(BENCH): $(O)/bench/%: $(O)/obj/tests/bench/%.o $(foreach f,runner dispatcher observer sandbox proto base,$(LIB_$(f)))
	@mkdir -p $(@D)
	$(CC) $(LDFLAGS) -o $@ $^ $(shell pkg-config --libs $(PACKAGES) </dev/null)
$(O)/bench/tiny: tests/bench/tiny.c
	@mkdir -p $(@D)
	$(CC) -O2 -static -nostdlib -o $@ $<
bench-programs: $(BENCH) $(O)/bench/tiny
bench: all bench-programs ## figures
	@CUPEL_BIN=$(O)/bin CUPEL_SANDBOX=$(abspath $(O))/bin/cupel-sandbox tests/bench/run $(BENCH)

# --- the text ------------------------------------------------------------------------------------
OWN     := $(foreach f,$(FOLDERS),$(SRC_$(f)) $(MAIN_$(f)))
C_FILES := $(foreach d,$(FOLDERS) tests/* tests/*/*,$(wildcard $(d)/*.c $(d)/*.h))
format: ## lay out every C file
	clang-format -i $(C_FILES)
format-check:
	clang-format --dry-run --Werror $(C_FILES)

print-layers:
	@$(foreach f,$(FOLDERS),echo $(f): $(USES_$(f));)
layers: ## no include runs up, each foreign library has its owner
	@ci/layers && ci/layers --self-test

# gcc 12 loses sight of what a caller's structure holds, and calls it leaked.
ANALYZER := -fanalyzer -Wno-analyzer-malloc-leak
lint: $(OWN:%.c=$(O)/lint/%.ok) lint-cppcheck ## gcc's analyzer, clang-tidy, cppcheck
$(O)/lint/%.ok: %.c .clang-tidy | $(GENERATED)
	@mkdir -p $(@D)
	gcc $(CPPFLAGS) $(CFLAGS) -Werror $(ANALYZER) -MMD -MP -MT $@ -c -o $(@:.ok=.o) $<
	clang-tidy --quiet --warnings-as-errors='*' $< -- $(CPPFLAGS) -std=gnu17 2>/dev/null
	@touch $@
lint-cppcheck:
	cppcheck -q --enable=warning,performance,portability --inline-suppr --error-exitcode=1 \
		--suppressions-list=ci/cppcheck --std=c11 -D_GNU_SOURCE -D__x86_64__ -I. \
		--include=$(firstword $(wildcard /usr/include/*/sys/queue.h)) $(OWN)

# --- the end ---------------------------------------------------------------------------------------
check: ## everything that must hold, in one go
	ci/check
install: all ## programs and manuals below $(DESTDIR)$(PREFIX)
	install -d $(DESTDIR)$(PREFIX)/bin
	install -m 755 $(PROGRAMS) $(DESTDIR)$(PREFIX)/bin
	$(if $(wildcard docs/*.1),install -d $(DESTDIR)$(PREFIX)/share/man/man1)
	$(if $(wildcard docs/*.1),install -m 644 $(wildcard docs/*.1) $(DESTDIR)$(PREFIX)/share/man/man1)
help:
	@sed -n 's/^\([a-z-]*\):.*## \(.*\)/\1\t\2/p' Makefile | expand -t 16
clean: ## remove build/
	rm -rf build
.PHONY: all unit-tests unit valgrind asan coverage coverage-sum fuzz-programs fuzz fuzz-build fuzz-run \
	system hostile vm bench bench-programs format format-check print-layers layers lint lint-cppcheck check install help clean

# --- libcupel-sandbox: the sandbox for other C programs, static and shared, with a pkg-config file ---
LIBSANDBOX := $(O)/lib/libcupel-sandbox
SANDBOX_PIC := $(patsubst %.c,$(O)/pic/%.o,$(filter-out sandbox/options.c sandbox/report.c \
	sandbox/report_file.c sandbox/prove.c,$(SRC_sandbox)) $(foreach f,buffer clock error fd units,base/$(f).c))
$(O)/pic/%.o: %.c | $(GENERATED)
	@mkdir -p $(@D)
	$(CC) $(CPPFLAGS) $(CFLAGS) -fPIC -MMD -MP -c -o $@ $<
-include $(SANDBOX_PIC:.o=.d)
$(LIBSANDBOX).a: $(SANDBOX_PIC)
	@mkdir -p $(@D); rm -f $@
	ld -r -o $(@:.a=.o) $^
	objcopy --wildcard --keep-global-symbol='sandbox_*' $(@:.a=.o)
	ar rcs $@ $(@:.a=.o)
$(LIBSANDBOX).so.0: $(SANDBOX_PIC) sandbox/libcupel-sandbox.map
	@mkdir -p $(@D)
	$(CC) $(filter-out -pie,$(LDFLAGS)) -shared -Wl,-soname,$(@F) \
		-Wl,--version-script=sandbox/libcupel-sandbox.map -o $@ $(SANDBOX_PIC)
library: $(LIBSANDBOX).a $(LIBSANDBOX).so.0 ## libcupel-sandbox
install-library: library $(O)/bin/cupel-sandbox ## libcupel-sandbox, its headers and pkg-config file below $(DESTDIR)$(PREFIX)
	install -d $(DESTDIR)$(PREFIX)/bin $(DESTDIR)$(PREFIX)/lib/pkgconfig $(DESTDIR)$(PREFIX)/share/man/man1 $(foreach d,base sandbox,$(DESTDIR)$(PREFIX)/include/cupel/$(d))
	install -m 755 $(O)/bin/cupel-sandbox $(DESTDIR)$(PREFIX)/bin
	install -m 644 $(LIBSANDBOX).a $(DESTDIR)$(PREFIX)/lib
	install -m 755 $(LIBSANDBOX).so.0 $(DESTDIR)$(PREFIX)/lib
	ln -sf libcupel-sandbox.so.0 $(DESTDIR)$(PREFIX)/lib/libcupel-sandbox.so
	install -m 644 docs/cupel-sandbox.1 $(DESTDIR)$(PREFIX)/share/man/man1
	install -m 644 sandbox/sandbox.h $(DESTDIR)$(PREFIX)/include/cupel/sandbox
	install -m 644 base/error_value.h base/owned.h $(DESTDIR)$(PREFIX)/include/cupel/base
	sed 's|@PREFIX@|$(PREFIX)|; s|@VERSION@|$(VERSION)|' sandbox/cupel-sandbox.pc.in \
		>$(DESTDIR)$(PREFIX)/lib/pkgconfig/cupel-sandbox.pc
# The header must promise nothing that isn't there.
try-library: ## installs the library below $(O), builds its example with it, shared and static, and runs that
	$(MAKE) install-library DESTDIR= PREFIX=$(abspath $(O))/installed
	cd $(O)/installed && export PKG_CONFIG_PATH=lib/pkgconfig && \
		$(CC) -Wall -Werror -o shared $(CURDIR)/docs/examples/sandbox.c $$(pkg-config --cflags --libs cupel-sandbox) && \
		$(CC) -Wall -Werror -o static $(CURDIR)/docs/examples/sandbox.c $$(pkg-config --cflags cupel-sandbox) \
			-Wl,-Bstatic $$(pkg-config --static --libs cupel-sandbox) -Wl,-Bdynamic && \
		LD_LIBRARY_PATH=lib ./shared true && ./static true && \
		nm -D --defined-only -P lib/libcupel-sandbox.so.0 | cut -d' ' -f1 >exported && \
		cat include/cupel/*/*.h | grep -oE '^[a-z].*\b\w+\(' | grep -v 'static inline\|^#' | grep -oE '\w+\($$' | tr -d '(' | \
		{ status=0; while read -r name; do grep -qx "$$name" exported || { echo "$$name is declared and not exported"; status=1; }; done; exit $$status; }
.PHONY: library install-library try-library
