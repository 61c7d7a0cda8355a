/* A very fast stdio MCP server, so that what is measured is the gateway in front of it.
 *
 *   cc -O2 -Wall -o mcpchild mcpchild.c
 *   mcpchild [--tools N] [--schema BYTES] [--name NAME] [--ttl MS]
 *
 * tools/list answers N tools of about BYTES bytes each.  tools/call knows
 *   echo     {"text": s}             s, byte for byte: the raw JSON string is copied through
 *   sleep    {"text": s, "ms": n}    s after n milliseconds, so answers leave out of order
 *   big      {"bytes": n}            n bytes of 'x'
 *   notify   {"text": s, "n": k}     k log messages, then s
 *   progress {"text": s, "n": k}     k progress notices with the caller's token and s as message, then s
 *   stats    {}                      how many lines, calls, notices and handshakes came in
 * Any other tool echoes.  A request with an envelope in params._meta is answered as MCP 2026-07-28 has it: its list may
 * be kept for MS milliseconds by whoever likes, and what listens is told what it hears of, then nothing.  Ids and tokens are
 * given back as the raw JSON text they came in.  Everything readable is read at once and answered in one write. */
#define _GNU_SOURCE
#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

/* ---- raw JSON text ---- */

typedef struct { const char *p; size_t n; } Text;   /* p is NULL when the member is absent */

static const char *skip_space(const char *p, const char *end) {
    while (p < end && (*p == ' ' || *p == '\t' || *p == '\r' || *p == '\n')) p++;
    return p;
}

static const char *string_end(const char *p, const char *end) {
    for (p++; p < end; p++) {
        if (*p == '\\') p++;
        else if (*p == '"') return p + 1;
    }
    return NULL;
}

static const char *value_end(const char *p, const char *end) {
    if (p >= end) return NULL;
    if (*p == '"') return string_end(p, end);
    if (*p == '{' || *p == '[') {
        for (int depth = 0; p < end; p++) {
            if (*p == '"') {
                p = string_end(p, end);
                if (!p) return NULL;
                p--;
            } else if (*p == '{' || *p == '[') depth++;
            else if ((*p == '}' || *p == ']') && --depth == 0) return p + 1;
        }
        return NULL;
    }
    while (p < end && !strchr(",}] \r\n", *p)) p++;
    return p;
}

static Text member(Text object, const char *key) {
    const Text none = {NULL, 0};
    if (!object.p) return none;
    const char *end = object.p + object.n, *p = skip_space(object.p, end);
    size_t key_n = strlen(key);
    if (p >= end || *p != '{') return none;
    for (p = skip_space(p + 1, end); p < end && *p == '"';) {
        const char *name = p + 1, *name_end = string_end(p, end);
        if (!name_end) return none;
        p = skip_space(name_end, end);
        if (p >= end || *p != ':') return none;
        p = skip_space(p + 1, end);
        const char *after = value_end(p, end);
        if (!after) return none;
        if ((size_t)(name_end - 1 - name) == key_n && !memcmp(name, key, key_n))
            return (Text){p, (size_t)(after - p)};
        p = skip_space(after, end);
        if (p >= end || *p != ',') return none;
        p = skip_space(p + 1, end);
    }
    return none;
}

static int is(Text t, const char *word) {
    size_t n = strlen(word);
    return t.p && t.n == n + 2 && !memcmp(t.p + 1, word, n);
}

static long number(Text t, long otherwise) { return t.p ? strtol(t.p, NULL, 10) : otherwise; }

/* ---- output ---- */

static char *out;
static size_t out_n, out_cap;

static void reserve(size_t n) {
    if (out_n + n <= out_cap) return;
    out_cap = (out_n + n) * 2 + 65536;
    out = realloc(out, out_cap);
    if (!out) _exit(9);
}

static void put(const char *p, size_t n) { reserve(n); memcpy(out + out_n, p, n); out_n += n; }
static void put_text(Text t) { put(t.p, t.n); }
static void put_word(const char *s) { put(s, strlen(s)); }

__attribute__((format(printf, 1, 2)))
static void put_format(const char *format, ...) {
    char buffer[512];
    va_list arguments;
    va_start(arguments, format);
    int n = vsnprintf(buffer, sizeof buffer, format, arguments);
    va_end(arguments);
    put(buffer, (size_t)n);
}

static void write_out(void) {
    for (size_t done = 0; done < out_n;) {
        ssize_t k = write(1, out + done, out_n - done);
        if (k >= 0) done += (size_t)k;
        else if (errno == EAGAIN) { struct pollfd ready = {1, POLLOUT, 0}; poll(&ready, 1, -1); }
        else if (errno != EINTR) _exit(0);
    }
    out_n = 0;
}

/* ---- answers that wait: a heap by time ---- */

typedef struct { double at; char *line; size_t n; } Late;
static Late *late;
static size_t late_n, late_cap;

static double now(void) {
    struct timespec t;
    clock_gettime(CLOCK_MONOTONIC, &t);
    return (double)t.tv_sec + (double)t.tv_nsec / 1e9;
}

static void push_late(Late entry) {
    if (late_n == late_cap) {
        late_cap = late_cap ? late_cap * 2 : 64;
        late = realloc(late, late_cap * sizeof *late);
        if (!late) _exit(9);
    }
    size_t i = late_n++;
    for (size_t parent; i && late[parent = (i - 1) / 2].at > entry.at; i = parent) late[i] = late[parent];
    late[i] = entry;
}

static Late pop_late(void) {
    Late first = late[0], last = late[--late_n];
    size_t i = 0;
    for (;;) {
        size_t child = 2 * i + 1;
        if (child >= late_n) break;
        if (child + 1 < late_n && late[child + 1].at < late[child].at) child++;
        if (late[child].at >= last.at) break;
        late[i] = late[child];
        i = child;
    }
    if (late_n) late[i] = last;
    return first;
}

/* ---- the server ---- */

static int tools = 10, schema = 120, ttl = 0;
static int is_modern;   /* the request that is being answered */
static const char *server_name = "mcpchild";
static char *tool_list;
static size_t tool_list_n;
static long lines, calls, notices, handshakes;

static void write_tool_list(void) {
    static const char *known[] = {"echo", "sleep", "big", "notify", "progress", "stats"};
    const int known_n = (int)(sizeof known / sizeof *known);
    put_word("\"tools\":[");
    for (int i = 0; i < tools; i++) {
        size_t start = out_n;
        char name[32];
        if (i < known_n) snprintf(name, sizeof name, "%s", known[i]);
        else snprintf(name, sizeof name, "tool_%03d", i);
        put_format("%s{\"name\":\"%s\",\"description\":\"Measuring tool %s: does one small thing and says so.\","
                   "\"inputSchema\":{\"type\":\"object\",\"properties\":{\"text\":{\"type\":\"string\"}",
                   i ? "," : "", name, name);
        for (int k = 0; (int)(out_n - start) < schema; k++)
            put_format(",\"field_%d\":{\"type\":\"string\",\"description\":\"Optional field %d of the request\","
                       "\"enum\":[\"a\",\"b\"]}", k, k);
        put_word("}}}");
    }
    put_word("]");
    tool_list_n = out_n;
    tool_list = malloc(out_n);
    if (!tool_list) _exit(9);
    memcpy(tool_list, out, out_n);
    out_n = 0;
}

static void head(Text id) { put_word("{\"jsonrpc\":\"2.0\",\"id\":"); put_text(id); }

static void result_head(Text id) {
    head(id);
    put_word(is_modern ? ",\"result\":{\"resultType\":\"complete\"," : ",\"result\":{");
}

static void answer_text(Text id, Text text) {
    result_head(id);
    put_word("\"content\":[{\"type\":\"text\",\"text\":");
    put_text(text);
    put_word("}]}}\n");
}

static void answer_late(Text id, Text text, long ms) {
    size_t start = out_n;
    answer_text(id, text);
    Late entry = {now() + (double)ms / 1e3, malloc(out_n - start), out_n - start};
    if (!entry.line) _exit(9);
    memcpy(entry.line, out + start, entry.n);
    out_n = start;
    push_late(entry);
}

static void answer_big(Text id, long n) {
    result_head(id);
    put_word("\"content\":[{\"type\":\"text\",\"text\":\"");
    reserve((size_t)n);
    memset(out + out_n, 'x', (size_t)n);
    out_n += (size_t)n;
    put_word("\"}]}}\n");
}

static void say(long n) {
    for (long i = 0; i < n; i++)
        put_format("{\"jsonrpc\":\"2.0\",\"method\":\"notifications/message\","
                   "\"params\":{\"level\":\"info\",\"data\":\"n%ld\"}}\n", i);
}

static void report_progress(Text token, Text text, long n) {
    for (long i = 0; i < n && token.p; i++) {
        put_word("{\"jsonrpc\":\"2.0\",\"method\":\"notifications/progress\",\"params\":{\"progressToken\":");
        put_text(token);
        put_format(",\"progress\":%ld,\"message\":", i + 1);
        put_text(text);
        put_word("}}\n");
    }
}

static void call_tool(Text id, Text params) {
    Text tool = member(params, "name"), arguments = member(params, "arguments"), text = member(arguments, "text");
    calls++;
    if (!text.p) text = (Text){"\"\"", 2};
    if (is(tool, "sleep")) { answer_late(id, text, number(member(arguments, "ms"), 0)); return; }
    if (is(tool, "big")) { answer_big(id, number(member(arguments, "bytes"), 1000000)); return; }
    char counts[160];
    if (is(tool, "notify")) say(number(member(arguments, "n"), 1));
    if (is(tool, "progress"))
        report_progress(member(member(params, "_meta"), "progressToken"), text, number(member(arguments, "n"), 1));
    if (is(tool, "stats")) {
        int n = snprintf(counts, sizeof counts, "\"lines=%ld calls=%ld notices=%ld handshakes=%ld pid=%d\"",
                         lines, calls, notices, handshakes, (int)getpid());
        text = (Text){counts, (size_t)n};
    }
    answer_text(id, text);
}

static void initialize(Text id, Text params) {
    Text version = member(params, "protocolVersion");
    handshakes++;
    head(id);
    put_word(",\"result\":{\"protocolVersion\":");
    if (version.p) put_text(version);
    else put_word("\"2025-06-18\"");
    put_word(",\"capabilities\":{\"tools\":{\"listChanged\":true},\"logging\":{}},\"serverInfo\":{\"name\":\"");
    put_word(server_name);
    put_word("\",\"version\":\"1.0.0\"}}}\n");
}

/* ---- MCP 2026-07-28 ---- */

static void end_kept(void) {
    if (is_modern) put_format(",\"ttlMs\":%d,\"cacheScope\":\"public\"", ttl);
    put_word("}}\n");
}

static void discover(Text id) {
    result_head(id);
    put_word("\"supportedVersions\":[\"2026-07-28\"],\"capabilities\":{\"tools\":{\"listChanged\":true}},"
             "\"_meta\":{\"io.modelcontextprotocol/serverInfo\":{\"name\":\"");
    put_word(server_name);
    put_word("\",\"version\":\"1.0.0\"}}");
    end_kept();
}

static void acknowledge(Text id, Text params) {
    put_word("{\"jsonrpc\":\"2.0\",\"method\":\"notifications/subscriptions/acknowledged\",\"params\":{\"notifications\":");
    Text wanted = member(params, "notifications");
    put_text(wanted.p ? wanted : (Text){"{}", 2});
    put_word(",\"_meta\":{\"io.modelcontextprotocol/subscriptionId\":");
    put_text(id);
    put_word("}}}\n");
}

static void handle(Text line) {
    Text method = member(line, "method"), id = member(line, "id"), params = member(line, "params");
    lines++;
    is_modern = member(member(params, "_meta"), "io.modelcontextprotocol/protocolVersion").p != NULL;
    if (!method.p) return;
    if (!id.p) { notices++; return; }
    if (is(method, "tools/call")) call_tool(id, params);
    else if (is(method, "initialize")) initialize(id, params);
    else if (is(method, "tools/list")) {
        result_head(id);
        put(tool_list, tool_list_n);
        end_kept();
    } else if (is(method, "server/discover") && is_modern) discover(id);
    else if (is(method, "subscriptions/listen") && is_modern) acknowledge(id, params);
    else if (is(method, "ping") || is(method, "logging/setLevel")) {
        head(id);
        put_word(",\"result\":{}}\n");
    } else {
        head(id);
        put_word(",\"error\":{\"code\":-32601,\"message\":\"Method not found\"}}\n");
    }
}

static size_t handle_lines(char *in, size_t from, size_t n) {
    size_t start = 0;
    char *newline;
    while ((newline = memchr(in + from, '\n', n - from))) {
        size_t end = (size_t)(newline - in);
        if (end > start) handle((Text){in + start, end - start});
        start = from = end + 1;
    }
    memmove(in, in + start, n - start);
    return n - start;
}

static int milliseconds_to_wait(void) {
    if (!late_n) return -1;
    double left = late[0].at - now();
    return left <= 0 ? 0 : (int)(left * 1000) + 1;
}

static void release_late(void) {
    while (late_n && late[0].at <= now()) {
        Late entry = pop_late();
        put(entry.line, entry.n);
        free(entry.line);
    }
}

static void read_options(int argc, char **argv) {
    for (int i = 1; i + 1 < argc; i += 2) {
        if (!strcmp(argv[i], "--tools")) tools = atoi(argv[i + 1]);
        else if (!strcmp(argv[i], "--schema")) schema = atoi(argv[i + 1]);
        else if (!strcmp(argv[i], "--ttl")) ttl = atoi(argv[i + 1]);
        else if (!strcmp(argv[i], "--name")) server_name = argv[i + 1];
    }
}

int main(int argc, char **argv) {
    size_t cap = 1 << 18, n = 0;
    char *in = malloc(cap);
    read_options(argc, argv);
    write_tool_list();
    fcntl(0, F_SETFL, fcntl(0, F_GETFL) | O_NONBLOCK);
    for (;;) {
        struct pollfd ready = {0, POLLIN, 0};
        poll(&ready, 1, milliseconds_to_wait());
        release_late();
        if (ready.revents) {
            if (cap - n < 65536) { cap *= 2; in = realloc(in, cap); }
            if (!in) return 9;
            ssize_t k = read(0, in + n, cap - n);
            if (k > 0) n = handle_lines(in, n, n + (size_t)k);
            else if (k == 0 || (errno != EAGAIN && errno != EINTR)) { write_out(); return 0; }
        }
        if (out_n) write_out();
    }
}
