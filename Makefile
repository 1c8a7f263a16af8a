# nginx-mark: builds everything into build/.
#
#   make                the module, mark-server, mark-load and mark-lambda
#   make module         only the nginx module, against Debian's nginx-dev
#   make module NGINX_SRC=DIR
#                       against a configured-or-not vanilla nginx source tree
#   make lambda [MODELS="FILE.pt ..."]
#                       mark-lambda's package, build/mark-lambda.zip
#   make unit           unit tests (TAP programs under build/unit), and what
#                       other tests run of the module alone
#   make fuzzers        libFuzzer targets (clang)
#   make build/bench/codec
#                       what ./run bench codec runs
#
# ./run installs what the build needs and calls this file.

BUILD       = build
CC          = gcc
CXX         = g++
OPT         = -O2 -g
WARN        = -W -Wall -Wpointer-arith -Wno-unused-parameter -Werror
INCS        = $(addprefix -Isrc/,codec batch pool overflow plan metrics torch)
CFLAGS      = -std=gnu99 $(OPT) $(WARN) -fno-strict-aliasing $(INCS) $(EXTRA)
CXXFLAGS    = -std=c++17 $(OPT) -W -Wall -Wno-unused-parameter $(INCS) $(EXTRA)
NGINX_DEV   = /usr/share/nginx/src

PURE_SRCS   = $(sort $(wildcard src/*/mark_*.c))
PURE_OBJS   = $(PURE_SRCS:%.c=$(BUILD)/obj/%.o)
HEADERS     = $(wildcard src/*.h src/*/*.h)
LIBMARK     = $(BUILD)/libmark.a

SERVER_SRCS = $(sort $(wildcard src/server/*.c))
SERVER_OBJS = $(SERVER_SRCS:%.c=$(BUILD)/obj/%.o)
TORCH_OBJS  = $(BUILD)/obj/src/torch/torch_shim.o
PURE_LIBS   = -ljansson -lcrypto -lm
SERVER_LIBS = -ltorch -ltorch_cpu -lc10 -lmicrohttpd -lz -lpthread -lm
LAMBDA_BOOT = src/lambda/bootstrap.c
LAMBDA_SRCS = $(filter-out $(LAMBDA_BOOT),$(sort $(wildcard src/lambda/*.c)))
LAMBDA_OBJS = $(LAMBDA_SRCS:%.c=$(BUILD)/obj/%.o)
LAMBDA_USES = $(addprefix $(BUILD)/obj/src/server/,digits.o executor.o \
                  metrics.o instances.o model.o request.o tensor.o)
LAMBDA_LIBS = -ltorch -ltorch_cpu -lc10 -lcurl -ljansson -lcrypto -lz \
                  -lpthread -lm
LOAD_SRCS   = $(sort $(wildcard src/load/*.c))
LOAD_OBJS   = $(LOAD_SRCS:%.c=$(BUILD)/obj/%.o)
MODULE_SRCS = config ngx_http_mark_module.c \
              $(wildcard src/ngx_http_mark_*.c src/*/ngx_http_mark_*.c)

UNIT_SRCS   = $(sort $(wildcard t/unit/*.c))
UNIT_BINS   = $(UNIT_SRCS:t/unit/%.c=$(BUILD)/unit/%)
SIGNER      = $(BUILD)/lib/signer
FUZZ_SRCS   = $(sort $(wildcard t/fuzz/*.c))
FUZZ_BINS   = $(FUZZ_SRCS:t/fuzz/%.c=$(BUILD)/fuzz/%)

.PHONY: all module server load lambda unit fuzzers clean

all: module server load $(BUILD)/mark-lambda

module: $(BUILD)/ngx_http_mark_module.so
server: $(BUILD)/mark-server
load: $(BUILD)/mark-load
unit: $(UNIT_BINS) $(SIGNER)
lambda: $(BUILD)/mark-lambda.zip
fuzzers: $(FUZZ_BINS)

# The module: nginx's own build system compiles it, so that its flags and its
# binary signature are those of the nginx that will load it.

$(BUILD)/ngx_http_mark_module.so: $(MODULE_SRCS) $(PURE_SRCS) $(HEADERS)
	@mkdir -p $(BUILD)
	t/lib/build-module $(BUILD)/module $@ $(NGINX_SRC)

$(LIBMARK): $(PURE_OBJS)
	rm -f $@ && $(AR) rcs $@ $^

$(BUILD)/obj/%.o: %.c $(HEADERS) Makefile
	@mkdir -p $(@D)
	$(CC) $(CFLAGS) -c -o $@ $<

$(BUILD)/obj/%.o: %.cc $(HEADERS) Makefile
	@mkdir -p $(@D)
	$(CXX) $(CXXFLAGS) -c -o $@ $<

$(BUILD)/mark-server: $(SERVER_OBJS) $(TORCH_OBJS) $(LIBMARK)
	$(CXX) $(EXTRA) -o $@ $^ $(SERVER_LIBS)

# Answers of mark-lambda are mark-server's: the same objects make them.

$(LAMBDA_OBJS): INCS += -Isrc/server

$(BUILD)/mark-lambda: $(LAMBDA_OBJS) $(LAMBDA_USES) $(TORCH_OBJS) $(LIBMARK)
	$(CXX) $(EXTRA) -o $@ $^ $(LAMBDA_LIBS)

$(BUILD)/mark-lambda-bootstrap: $(LAMBDA_BOOT) Makefile
	$(CC) $(CFLAGS) -static -o $@ $<

$(BUILD)/mark-lambda.zip: $(BUILD)/mark-lambda $(BUILD)/mark-lambda-bootstrap \
		$(BUILD)/mark-server src/lambda/package.pl $(MODELS)
	src/lambda/package.pl $(BUILD) $(MODELS)

$(BUILD)/mark-load: $(LOAD_OBJS) $(LIBMARK)
	$(CC) $(EXTRA) -o $@ $^ -levent_core -lnghttp2 -lm

# Some include a file of mark-server.

UNIT_DEPS   = $(wildcard t/unit/*.h) $(LIBMARK) $(SERVER_SRCS) $(HEADERS)

$(BUILD)/unit/%: t/unit/%.c $(UNIT_DEPS)
	@mkdir -p $(@D)
	$(CC) $(CFLAGS) -It/unit -o $@ $< $(LIBMARK) $(PURE_LIBS)

$(SIGNER): t/lib/signer.c $(UNIT_DEPS)
	@mkdir -p $(@D)
	$(CC) $(CFLAGS) -It/unit -o $@ $< $(LIBMARK) $(PURE_LIBS)

# Fuzz targets are compiled with their pure sources, all instrumented.

$(BUILD)/fuzz/%: t/fuzz/%.c $(PURE_SRCS) $(HEADERS) $(wildcard t/unit/*.h)
	@mkdir -p $(@D)
	clang -std=gnu99 -O1 -g $(INCS) -It/unit \
	    -fsanitize=fuzzer,address,undefined \
	    -fno-sanitize-recover=undefined -o $@ $< $(PURE_SRCS) \
	    $(PURE_LIBS)

$(BUILD)/bench/codec: $(wildcard t/bench/*.c t/bench/*.h) $(LIBMARK) $(HEADERS)
	@mkdir -p $(@D)
	$(CC) $(CFLAGS) -o $@ $(filter %.c,$^) $(LIBMARK) $(PURE_LIBS)

clean:
	rm -rf $(BUILD)
