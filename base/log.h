/* log.h - one line on stderr for what an operator should know; nothing else is a log line. */
#pragma once

enum log_level { LOG_LEVEL_DEBUG, LOG_LEVEL_INFO, LOG_LEVEL_WARNING, LOG_LEVEL_ERROR };

/* `program` opens every line and must outlive the process; the level comes from the environment
 * variable CUPEL_LOG (debug, info, warning, error), info otherwise. */
void log_open(const char *program);

/* Control characters are written as \xNN, so that no stranger's text can forge a line.
 * errno stays as it is. */
void log_line(enum log_level level, const char *format, ...) __attribute__((format(printf, 2, 3)));

#define log_debug(...)   log_line(LOG_LEVEL_DEBUG, __VA_ARGS__)
#define log_info(...)    log_line(LOG_LEVEL_INFO, __VA_ARGS__)
#define log_warning(...) log_line(LOG_LEVEL_WARNING, __VA_ARGS__)
#define log_error(...)   log_line(LOG_LEVEL_ERROR, __VA_ARGS__)
