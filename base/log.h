/*
 * Logging to one descriptor (standard error by default) as text or JSON lines. The level and the sink are process
 * globals, set once at start; lines are written with one write(2) each, so lines of several threads do not mix.
 * Format text: "time=... level=... msg=..." as logrus users expect it; json: {"level":,"msg":,"time":}; colon:
 * "TIME :INFO: ...", or WARN and so on, by which those who read StratoVirt's lines know a level.
 */
#ifndef NACRE_BASE_LOG_H
#define NACRE_BASE_LOG_H

#include <stdint.h>

#include "base/compiler.h"

enum log_level { LOG_LEVEL_ERROR, LOG_LEVEL_WARN, LOG_LEVEL_INFO, LOG_LEVEL_DEBUG };
enum log_format { LOG_FORMAT_TEXT, LOG_FORMAT_JSON, LOG_FORMAT_COLON };

/* Borrows fd for the life of the process. */
void log_init(int fd, enum log_level level, enum log_format format);
/* What the first line makes the C library read has been read afterwards: for one who will not be allowed to open files. */
void log_prepare(void);
/* For one who learns the level later, still before there is a second thread. */
void log_set_level(enum log_level level);
/* Where the lines go, for one who closes all else. */
int log_fd(void);

void log_error(const char *fmt, ...) PRINTF_LIKE(1, 2);
void log_warn(const char *fmt, ...) PRINTF_LIKE(1, 2);
void log_info(const char *fmt, ...) PRINTF_LIKE(1, 2);
void log_debug(const char *fmt, ...) PRINTF_LIKE(1, 2);

/*
 * For lines a guest or peer can trigger (rule 13): at most 10 lines each 10 seconds per limiter; suppressed
 * lines are counted in `hits`. Any thread.
 */
struct log_limit {
	_Atomic uint64_t hits;
	_Atomic int64_t window_start_s;
	_Atomic uint32_t in_window;
};

void log_guest(struct log_limit *limit, const char *fmt, ...) PRINTF_LIKE(2, 3);

#endif
