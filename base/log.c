/*
 * One write(2) a line. The level, format and sink are the only globals of the program beside the signal descriptor
 * (docs/style.md, rule 4): set once, read by every thread.
 */
#include "base/log.h"

#include <stdarg.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdio.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

#define LOG_LINE_BYTES 2048
#define GUEST_BURST    10
#define GUEST_WINDOW_S 10

static int sink_fd = STDERR_FILENO;
static enum log_level max_level = LOG_LEVEL_INFO;
static enum log_format line_format = LOG_FORMAT_TEXT;

static const char *const level_names[] = {
	[LOG_LEVEL_ERROR] = "error",
	[LOG_LEVEL_WARN] = "warning",
	[LOG_LEVEL_INFO] = "info",
	[LOG_LEVEL_DEBUG] = "debug",
};

static const char *const colon_names[] = {
	[LOG_LEVEL_ERROR] = "ERROR",
	[LOG_LEVEL_WARN] = "WARN",
	[LOG_LEVEL_INFO] = "INFO",
	[LOG_LEVEL_DEBUG] = "DEBUG",
};

void log_init(int fd, enum log_level level, enum log_format format)
{
	sink_fd = fd;
	max_level = level;
	line_format = format;
}

void log_prepare(void)
{
	tzset(); /* else the first gmtime_r(3) looks for /etc/localtime */
}

int log_fd(void)
{
	return sink_fd;
}

void log_set_level(enum log_level level)
{
	max_level = level;
}

/* Escapes into a quoted string, which JSON and logfmt share; control bytes become \u00XX. Never overruns `cap`. */
static void quote(char *out, size_t cap, const char *text)
{
	size_t n = 0;

	for (; *text && n + 7 < cap; text++) {
		unsigned char c = (unsigned char)*text;

		if (c == '"' || c == '\\') {
			out[n++] = '\\';
			out[n++] = (char)c;
		} else if (c < 0x20 || c == 0x7f) {
			n += (size_t)snprintf(out + n, cap - n, c == '\n' ? "\\n" : "\\u%04x", c);
		} else {
			out[n++] = (char)c;
		}
	}
	out[n] = '\0';
}

/* As snprintf(3). `text` is quoted, `when` has seconds. */
static int format_line(char *out, size_t cap, enum log_level level, const char *text,
		       const char *when, long nsec)
{
	switch (line_format) {
	case LOG_FORMAT_TEXT:
		break;
	case LOG_FORMAT_JSON:
		return snprintf(out, cap,
				"{\"level\":\"%s\",\"msg\":\"%s\",\"time\":\"%s.%09ldZ\"}\n",
				level_names[level], text, when, nsec);
	case LOG_FORMAT_COLON:
		return snprintf(out, cap, "%s.%09ldZ :%s: %s\n", when, nsec, colon_names[level],
				text);
	}
	return snprintf(out, cap, "time=\"%s.%09ldZ\" level=%s msg=\"%s\"\n", when, nsec,
			level_names[level], text);
}

PRINTF_LIKE(2, 0)
static void log_line(enum log_level level, const char *fmt, va_list args)
{
	char text[LOG_LINE_BYTES / 2], quoted[LOG_LINE_BYTES - 128], line[LOG_LINE_BYTES], when[40];
	struct timespec now;
	struct tm tm;
	int n;

	if (level > max_level)
		return;
	(void)vsnprintf(text, sizeof(text), fmt, args);
	quote(quoted, sizeof(quoted), text);
	(void)clock_gettime(CLOCK_REALTIME, &now);
	(void)gmtime_r(&now.tv_sec, &tm);
	(void)strftime(when, sizeof(when), "%Y-%m-%dT%H:%M:%S", &tm);

	n = format_line(line, sizeof(line), level, quoted, when, now.tv_nsec);
	if (n > 0 && (size_t)n < sizeof(line) && write(sink_fd, line, (size_t)n) < 0)
		return; /* nowhere left to say it */
}

#define DEFINE_LOG(name, level)                                                                    \
	void name(const char *fmt, ...)                                                            \
	{                                                                                          \
		va_list args;                                                                      \
                                                                                                   \
		va_start(args, fmt);                                                               \
		log_line(level, fmt, args);                                                        \
		va_end(args);                                                                      \
	}

DEFINE_LOG(log_error, LOG_LEVEL_ERROR)
DEFINE_LOG(log_warn, LOG_LEVEL_WARN)
DEFINE_LOG(log_info, LOG_LEVEL_INFO)
DEFINE_LOG(log_debug, LOG_LEVEL_DEBUG)

static bool limit_allows(struct log_limit *limit)
{
	struct timespec now;

	limit->hits++;
	(void)clock_gettime(CLOCK_MONOTONIC_COARSE, &now);
	if (now.tv_sec - limit->window_start_s >= GUEST_WINDOW_S) {
		limit->window_start_s = now.tv_sec;
		limit->in_window = 0;
	}
	return limit->in_window++ < GUEST_BURST;
}

void log_guest(struct log_limit *limit, const char *fmt, ...)
{
	va_list args;

	if (!limit_allows(limit))
		return;
	va_start(args, fmt);
	log_line(LOG_LEVEL_WARN, fmt, args);
	va_end(args);
}
